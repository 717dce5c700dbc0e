"""Random changes of training tiles, a whole batch at a time, on the device the tiles are on."""

from __future__ import annotations

import torch

from stclip.config import AugmentConfig


def augment_tiles(tiles: torch.Tensor, config: AugmentConfig) -> torch.Tensor:
    """Flips, quarter turns and colour jitter, drawn for each tile on its own.

    Args:
        tiles: float [B, 3, H, W] in 0..1. Quarter turns need H = W and are left out otherwise.
        config: what to apply. A tissue section has no up or down, so flips and turns keep the label true.

    Returns:
        float [B, 3, H, W] in 0..1, a new tensor. Randomness comes from torch's generator of that device.
    """
    if config.flips:
        tiles = _where(tiles, tiles.flip(-1))
        tiles = _where(tiles, tiles.flip(-2))
    if config.quarter_turns and tiles.shape[-1] == tiles.shape[-2]:
        tiles = _where(tiles, tiles.transpose(-1, -2))  # with both flips: all eight orientations
    if config.color_jitter > 0:
        tiles = _jitter(tiles, config.color_jitter)
    return tiles


def _where(tiles: torch.Tensor, changed: torch.Tensor) -> torch.Tensor:
    coin = torch.rand(len(tiles), 1, 1, 1, device=tiles.device) < 0.5
    return torch.where(coin, changed, tiles)


def _jitter(tiles: torch.Tensor, strength: float) -> torch.Tensor:
    """Contrast about the tile's mean and a gain for each channel (brightness and tint), within 1 +- strength."""
    size = (len(tiles), 1, 1, 1)
    contrast = 1 + strength * (2 * torch.rand(size, device=tiles.device) - 1)
    brightness = 1 + strength * (2 * torch.rand(size, device=tiles.device) - 1)
    tint = 1 + 0.5 * strength * (2 * torch.rand((len(tiles), 3, 1, 1), device=tiles.device) - 1)
    mean = tiles.mean(dim=(1, 2, 3), keepdim=True)
    return ((tiles - mean) * contrast + mean).mul(brightness * tint).clamp(0, 1)
