"""Joining the spots of two files by their barcodes, which the files may pad or end differently."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import numpy as np

from stclip.errors import DataError, shorten

# Spatial Transcriptomics: row x column, here and there padded with zeros.
_GRID = re.compile(r"^0*(\d+)x0*(\d+)$")
# 10x: a sequence, then the number of the capture area, or not.
_LANE = re.compile(r"^([ACGTN]{8,})(?:-\d+)?$")


def unpadded(barcode: str) -> str:
    """`010x014` as `10x14`; any other as it is, without outer blanks."""
    grid = _GRID.match(barcode.strip())
    return f"{grid[1]}x{grid[2]}" if grid else barcode.strip()


def without_lane(barcode: str) -> str:
    """`AAACAAGTATCTCCCA-1` without its end; any other as `unpadded` has it."""
    lane = _LANE.match(barcode.strip())
    return lane[1] if lane else unpadded(barcode)


def matched(
    spots: Sequence[str], barcodes: Sequence[str], slide: str, spots_file: str, barcodes_file: str
) -> tuple[np.ndarray, np.ndarray]:
    """Places int64 [n] in `spots` and in `barcodes` of those that both have, in the order of `barcodes`.

    The end `-1` is part of a barcode (aggregated samples differ in nothing else) unless one of the files leaves it out.
    Raises DataError: a barcode stands twice in one of them, or none is in both.
    """
    for form in (unpadded, without_lane):
        left = _places(spots, form, slide, spots_file)
        right = _places(barcodes, form, slide, barcodes_file)
        both = [name for name in right if name in left]
        if both:
            return np.array([left[name] for name in both]), np.array([right[name] for name in both])
    raise DataError(
        f"slide '{slide}': {spots_file} and {barcodes_file} have no barcode in common: {_three(spots)} against "
        f"{_three(barcodes)}; take both files from the same slide"
    )


def _places(names: Sequence[str], form: Callable[[str], str], slide: str, file: str) -> dict[str, int]:
    found: dict[str, int] = {}
    for at, name in enumerate(names):
        first = found.setdefault(form(name), at)
        if first != at:
            raise DataError(
                f"slide '{slide}': {file}: two spots have one barcode: '{names[first]}' and '{name}'; "
                "give every spot its own"
            )
    return found


def _three(names: Sequence[str]) -> str:
    return shorten(", ".join(names[:3]) or "none", 120)
