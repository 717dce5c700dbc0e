"""Image towers on a pretrained vision model (`hf:...`): CLIP and SigLIP vision towers, ViT, DINOv2 and their kin."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from stclip.config import AugmentConfig, ImageTowerConfig
from stclip.errors import ConfigError
from stclip.model.augment import jitter_colors, turn_tiles
from stclip.model.image import FeatureTower
from stclip.model.pretrained import fingerprint, image_transform, load_pretrained

TRANSFORM = 1  # raised when tiles are brought to the model in another way
CHUNK = 64  # tiles at once


class VisionBackbone(nn.Module):
    """A vision model with its transform: uint8 tiles of any size to one vector each."""

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, name: str) -> None:
        """Raises ConfigError: `hf:...` is not there, or is not a model of images."""
        super().__init__()
        whole: Any = load_pretrained(name)
        self.model = getattr(whole, "vision_model", whole)
        config = self.model.config
        if not isinstance(getattr(config, "image_size", None), int):
            raise ConfigError(
                f"{name}: is not a vision model of square images (its type is {config.model_type}); name a CLIP, SigLIP, ViT or "
                "DINOv2 model"
            )
        self.side, self.dim = int(config.image_size), int(config.hidden_size)
        # Where the model itself pools for contrast, that is taken; else the class token: a ViT's pooler is often untrained.
        self._pooled = "clip" in config.model_type or "siglip" in config.model_type
        mean, std = image_transform(name)
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(1, 3, 1, 1), persistent=False)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """float [B, 3, H, W] in 0..1 -> float [B, F]."""
        size = (self.side, self.side)
        if pixels.shape[2:] != size:
            pixels = F.interpolate(pixels, size=size, mode="bicubic", antialias=True).clamp(0, 1)
        out = self.model(pixel_values=(pixels - self.mean) / self.std)
        return out.pooler_output if self._pooled else out.last_hidden_state[:, 0]


class PretrainedFeatures:
    """The frozen encoder `hf:...`: tiles uint8 [N, H, W, 3] -> float32 [N, F], on a GPU where there is one.

    `version` names model and transform by their content; the model is loaded at the first call.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._backbone: VisionBackbone | None = None

    @property
    def version(self) -> str:
        """Raises ConfigError when the model is not there."""
        return f"{fingerprint(self._name)}_{TRANSFORM}"

    def __call__(self, tiles: torch.Tensor) -> torch.Tensor:
        """Raises ConfigError when the model cannot be loaded."""
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        if self._backbone is None:
            self._backbone = VisionBackbone(self._name).to(device).eval()
        with torch.inference_mode():
            parts = [self._backbone(to_pixels(part.to(device))).float().cpu() for part in tiles.split(CHUNK)]
        return torch.cat(parts).clone()  # an ordinary tensor, which may take part in training


class FinetunedImageTower(nn.Module):
    """A vision model that is trained on, and a projection."""

    def __init__(
        self, config: ImageTowerConfig, augment: AugmentConfig, input_dim: int, embed_dim: int
    ) -> None:
        """`input_dim` is the tile's side in pixels; any will do, since tiles are resized to what the model reads."""
        super().__init__()
        self.augment = augment
        self.backbone = VisionBackbone(config.name).train()
        self.head = nn.Sequential(
            nn.LayerNorm(self.backbone.dim),
            nn.Dropout(config.dropout),
            nn.Linear(self.backbone.dim, embed_dim),
        )

    def forward(self, tiles: torch.Tensor) -> torch.Tensor:
        """uint8 [B, H, W, 3] -> float [B, D]. Augments while training."""
        if self.training:
            tiles = turn_tiles(tiles, self.augment)
        pixels = to_pixels(tiles)
        if self.training:
            pixels = jitter_colors(pixels, self.augment.color_jitter)
        return self.head(self.backbone(pixels))


def to_pixels(tiles: torch.Tensor) -> torch.Tensor:
    """uint8 [B, H, W, 3] -> float [B, 3, H, W] in 0..1."""
    return tiles.permute(0, 3, 1, 2).float().div(255)


def pretrained_image_tower(
    config: ImageTowerConfig, augment: AugmentConfig, input_dim: int, embed_dim: int
) -> nn.Module:
    """The tower of `hf:...`: an MLP on the frozen model's outputs, or with `finetune` the model itself."""
    tower = FinetunedImageTower if config.finetune else FeatureTower
    return tower(config, augment, input_dim, embed_dim)
