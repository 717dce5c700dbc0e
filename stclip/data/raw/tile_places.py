"""Whether a slide's coordinates fit the places that its tiles were cut from."""

from __future__ import annotations

import numpy as np

from stclip.errors import DataError

MOST_OFF = 0.05  # share of spots that may lie further than half a tile from their tile's centre


def check_places(slide: str, xy: np.ndarray, corners: np.ndarray, side: float, swap_xy: bool) -> np.ndarray:
    """The centres `xy` [N, 2], checked against the tiles' top left `corners` [N, 2]; all in pixels, as `side`.

    A constant shift is allowed, since some files keep corners and others centres. Where only the exchanged coordinates fit,
    they are returned if `swap_xy`. Raises DataError otherwise.
    """
    centres = corners + side / 2
    off, off_swapped = _share_off(xy, centres, side), _share_off(xy[:, ::-1], centres, side)
    if off <= MOST_OFF:
        return xy
    if off_swapped <= MOST_OFF:
        if swap_xy:
            return np.ascontiguousarray(xy[:, ::-1])
        raise DataError(
            f"slide '{slide}': x and y are exchanged: {off:.0%} of the spots lie away from their tiles, with x for y "
            f"{off_swapped:.0%}; put them right, or add --swap-xy"
        )
    raise DataError(
        f"slide '{slide}': the coordinates do not fit the tiles: {off:.0%} of {len(xy)} spots lie more than half a tile "
        f"({side / 2:g} pixels) from theirs, such as {_place(xy[0])} against {_place(centres[0])}; take both from the same image"
    )


def _share_off(xy: np.ndarray, centres: np.ndarray, side: float) -> float:
    away = xy - centres
    away = away - np.median(away, axis=0)
    return float((~(np.abs(away).max(axis=1) <= side / 2)).mean())  # NaN is away


def _place(at: np.ndarray) -> str:
    return f"({at[0]:.0f}, {at[1]:.0f})"
