"""Joining the spots of two files by their barcodes, which the files may pad or end differently."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from stclip.errors import DataError, shorten

_GRID = re.compile(
    r"^0*(\d+)x0*(\d+)$"
)  # Spatial Transcriptomics: row x column, here and there padded with zeros
_LANE = re.compile(
    r"^([ACGTN]{8,})(?:-\d+)?$"
)  # 10x: a sequence, then the number of the capture area, or not


def canonical(barcode: str) -> str:
    """`010x014` as `10x14`, `AAACAAGT...-1` without its end; any other as it is, without outer blanks."""
    text = barcode.strip()
    grid, lane = _GRID.match(text), _LANE.match(text)
    return f"{grid[1]}x{grid[2]}" if grid else lane[1] if lane else text


def matched(
    spots: Sequence[str], barcodes: Sequence[str], slide: str, spots_file: str, barcodes_file: str
) -> tuple[np.ndarray, np.ndarray]:
    """Places int64 [n] in `spots` and in `barcodes` of those that both have, in the order of `barcodes`.

    Raises DataError: a barcode stands twice in one of them, or none is in both.
    """
    left, right = (
        _places(names, slide, file) for names, file in ((spots, spots_file), (barcodes, barcodes_file))
    )
    both = [name for name in right if name in left]
    if not both:
        raise DataError(
            f"slide '{slide}': {spots_file} and {barcodes_file} have no barcode in common: {_three(spots)} against "
            f"{_three(barcodes)}; take both files from the same slide"
        )
    return np.array([left[name] for name in both]), np.array([right[name] for name in both])


def _places(names: Sequence[str], slide: str, file: str) -> dict[str, int]:
    found: dict[str, int] = {}
    for at, name in enumerate(names):
        first = found.setdefault(canonical(name), at)
        if first != at:
            raise DataError(
                f"slide '{slide}': {file}: two spots have one barcode: '{names[first]}' and '{name}'; "
                "give every spot its own"
            )
    return found


def _three(names: Sequence[str]) -> str:
    return shorten(", ".join(names[:3]) or "none", 120)
