"""Random changes of training tiles, a whole batch at a time, on the device the tiles are on."""

from __future__ import annotations

import torch

from stclip.config import AugmentConfig


def turn_tiles(tiles: torch.Tensor, config: AugmentConfig) -> torch.Tensor:
    """Flips and quarter turns, drawn for each tile on its own; with both on, all eight orientations are as likely.

    Args:
        tiles: [B, H, W, 3] of any type; bytes are a quarter of the work of floats. Quarter turns need H = W and are
            left out otherwise.
        config: what to apply. A tissue section has no up or down, so both keep the pair true.

    Returns:
        [B, H, W, 3], the same pixels. Randomness comes from torch's generator of that device.
    """
    if config.flips:
        tiles = _for_half(tiles, tiles.flip(1))
        tiles = _for_half(tiles, tiles.flip(2))
    if config.quarter_turns and tiles.shape[1] == tiles.shape[2]:
        tiles = _for_half(tiles, tiles.transpose(1, 2))
    return tiles


def jitter_colors(pixels: torch.Tensor, strength: float) -> torch.Tensor:
    """Contrast about the tile's mean, brightness, and a gain for each channel, drawn for each tile on its own.

    Args:
        pixels: float [B, 3, H, W] in 0..1.
        strength: contrast and brightness vary within 1 +- strength, the channels' gains within 1 +- strength / 2; 0..1.

    Returns:
        float [B, 3, H, W] in 0..1; `pixels` itself when strength is 0.
    """
    if strength == 0:
        return pixels
    contrast, brightness = 1 + strength * _uniform(pixels, 1), 1 + strength * _uniform(pixels, 1)
    gain = brightness * (1 + 0.5 * strength * _uniform(pixels, 3))
    mean = pixels.mean(dim=(1, 2, 3), keepdim=True)
    # ((pixels - mean) * contrast + mean) * gain, in one pass
    return torch.addcmul(mean * (1 - contrast) * gain, pixels, contrast * gain).clamp_(0, 1)


def _for_half(tiles: torch.Tensor, changed: torch.Tensor) -> torch.Tensor:
    coin = torch.rand(len(tiles), 1, 1, 1, device=tiles.device) < 0.5
    # Mixed strides would slow down whatever reads the result.
    return torch.where(coin, changed.contiguous(), tiles)


def _uniform(pixels: torch.Tensor, channels: int) -> torch.Tensor:
    """[B, channels, 1, 1] in -1..1."""
    return 2 * torch.rand(len(pixels), channels, 1, 1, device=pixels.device) - 1
