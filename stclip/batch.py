"""What one training batch holds."""

from __future__ import annotations

from typing import TypedDict

import torch


class Batch(TypedDict):
    """B spots drawn together. Spot ids are rows of the SpotStore."""

    image: torch.Tensor  # uint8 tiles [B, H, W, 3], or float32 frozen features [B, F]
    genes: torch.Tensor  # int64 [B, T] gene ids, most expressed first, padded with -1
    tile_ids: torch.Tensor  # int64 [B] spot ids
    neighbor_tile_ids: torch.Tensor  # int64 [B, k], padded with -1
    neighbor_alphas: torch.Tensor  # float32 [B, k], rows sum to 1 (0 where padded)
    slide_ids: torch.Tensor  # int64 [B]
