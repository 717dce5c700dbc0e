"""Two towers that end in one space, and the temperature between them."""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.nn import functional as F

from stclip.config import AugmentConfig, ModelConfig
from stclip.config.registry import GENE_TOWERS, IMAGE_TOWERS, lookup


class DualEncoder(nn.Module):
    """Image and gene tower; both outputs have unit length, so a dot product is a cosine (Radford et al. 2021).

    The logit scale is 1/temperature. It is a parameter when `learnable_temperature`, else a buffer.
    """

    log_logit_scale: torch.Tensor

    def __init__(
        self, config: ModelConfig, augment: AugmentConfig, input_dim: int, num_genes: int, max_genes: int
    ) -> None:
        """`input_dim`: frozen feature length, or the tile's side in pixels for towers that read tiles."""
        super().__init__()
        image_tower = lookup("image tower", IMAGE_TOWERS, config.image.name).load()
        gene_tower = lookup("gene tower", GENE_TOWERS, config.genes.name).load()
        self.image = image_tower(config.image, augment, input_dim, config.embed_dim)
        self.genes = gene_tower(config.genes, num_genes, max_genes, config.embed_dim)
        start = torch.tensor(-math.log(config.temperature))
        if config.learnable_temperature:
            self.log_logit_scale = nn.Parameter(start)
        else:
            self.register_buffer("log_logit_scale", start)

    @property
    def logit_scale(self) -> torch.Tensor:
        """Scalar tensor [], 1/temperature."""
        return self.log_logit_scale.exp()

    def encode_image(self, image: torch.Tensor) -> torch.Tensor:
        """uint8 tiles [B, H, W, 3] or frozen features [B, F] -> unit vectors [B, D]."""
        return F.normalize(self.image(image), dim=-1)

    def encode_genes(self, genes: torch.Tensor) -> torch.Tensor:
        """Gene ids int64 [B, T], padded with -1 -> unit vectors [B, D]."""
        return F.normalize(self.genes(genes), dim=-1)
