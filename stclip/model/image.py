"""Image towers: a batch of tiles, or of frozen features, to a batch of embeddings (not yet of unit length)."""

from __future__ import annotations

import torch
from torch import nn

from stclip.config import AugmentConfig, ImageTowerConfig
from stclip.model.augment import jitter_colors, turn_tiles


class ShortcutMlp(nn.Module):
    """An MLP with a linear short cut beside it.

    The short cut is the part that a linear method (CCA) would find; the MLP adds what is not linear.
    """

    def __init__(self, input_dim: int, width: int, dropout: float, embed_dim: int) -> None:
        """From vectors of length `input_dim`, over `width` hidden units, to length `embed_dim`."""
        super().__init__()
        self.linear = nn.Linear(input_dim, embed_dim)
        self.mlp = nn.Sequential(
            nn.Linear(input_dim, width), nn.GELU(), nn.Dropout(dropout), nn.Linear(width, embed_dim)
        )

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """float [B, F] -> float [B, D]."""
        return self.linear(features) + self.mlp(features)


class FeatureTower(ShortcutMlp):
    """The tower on frozen features."""

    def __init__(
        self, config: ImageTowerConfig, augment: AugmentConfig, input_dim: int, embed_dim: int
    ) -> None:
        """`input_dim`: length F of a feature vector. `augment` has nothing to act on: the features are frozen."""
        super().__init__(input_dim, config.width, config.dropout, embed_dim)


class CnnTower(nn.Module):
    """Four strided convolutions, batch norm, mean pooling and a projection; trained from scratch."""

    def __init__(
        self, config: ImageTowerConfig, augment: AugmentConfig, input_dim: int, embed_dim: int
    ) -> None:
        """`input_dim` is the tile's side in pixels; any side from 16 up will do, since the maps are pooled."""
        super().__init__()
        self.augment = augment
        widths = [max(8, config.width // 2**shift) for shift in (4, 3, 2, 1)]
        layers: list[nn.Module] = []
        channels = 3
        for width in widths:
            layers += [
                nn.Conv2d(channels, width, 3, stride=2, padding=1, bias=False),
                nn.BatchNorm2d(width),
                nn.ReLU(inplace=True),
            ]
            channels = width
        self.maps = nn.Sequential(*layers)
        # Mean and spread over the tile: composition and texture both matter, position does not.
        self.head = nn.Sequential(
            nn.LayerNorm(2 * channels),
            nn.Linear(2 * channels, config.width),
            nn.GELU(),
            nn.Dropout(config.dropout),
            nn.Linear(config.width, embed_dim),
        )

    def forward(self, tiles: torch.Tensor) -> torch.Tensor:
        """uint8 [B, H, W, 3] -> float [B, D]. Augments while training."""
        if self.training:
            tiles = turn_tiles(tiles, self.augment)
        pixels = tiles.permute(0, 3, 1, 2).float().div(255)
        if self.training:
            pixels = jitter_colors(pixels, self.augment.color_jitter)
        maps = self.maps(pixels.sub(0.5).mul(4))
        pooled = torch.cat([maps.mean(dim=(2, 3)), maps.flatten(2).std(dim=2, correction=0)], dim=1)
        return self.head(pooled)
