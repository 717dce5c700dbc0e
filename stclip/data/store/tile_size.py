"""Tiles of another size."""

from __future__ import annotations

import numpy as np


def resized(tile: np.ndarray, side: int) -> np.ndarray:
    """The tile uint8 [H, W, 3] with `side` pixels a side: means over blocks where these are whole, else bilinear."""
    from PIL import Image

    height, width = tile.shape[:2]
    if (height, width) == (side, side):
        return tile
    whole = height % side == 0 and width % side == 0
    how = Image.Resampling.BOX if whole else Image.Resampling.BILINEAR
    return np.asarray(Image.fromarray(tile).resize((side, side), how))
