"""One slide in short: its numbers, its places, and a few tiles spread over it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from stclip.data.shards import empty_slide, raw_spots
from stclip.data.shards.spot import RawSpot, decode, decode_text
from stclip.data.store.neighbors import spot_neighbors


@dataclass
class SlideSample:
    """What `info` tells of a slide."""

    xy: np.ndarray = field(default_factory=lambda: np.zeros((0, 2)))  # float64 [N, 2], pixels
    words: int = 0  # of all sentences
    genes: set[str] = field(default_factory=set)
    tiles: list[np.ndarray] = field(default_factory=list)
    spacing: float = 0.0  # median distance of a spot to its nearest, pixels; 0 of a lone spot


def sample_slide(
    dataset_dir: Path, slide: str, tiles: int, tell: Callable[[int], None] = lambda spots: None
) -> SlideSample:
    """Reads all sentences and places, and decodes about `tiles` tiles at equal steps, at most that many.

    Raises DataError for a spot that it cannot read.
    """
    places: list[tuple[float, float]] = []
    found = SlideSample()
    kept: list[RawSpot] = []  # every `step`-th spot
    step = 1
    for row, raw in enumerate(raw_spots(dataset_dir, slide)):
        x, y, sentence = decode_text(raw)
        places.append((x, y))
        genes = sentence.split()
        found.words += len(genes)
        found.genes.update(genes)
        if row % step == 0:
            kept.append(raw)
            if len(kept) > 2 * tiles:
                kept, step = kept[::2], 2 * step
        tell(1)
    if not places:
        raise empty_slide(dataset_dir, slide, skipped=0)
    found.xy = np.array(places, dtype=np.float64)
    shown = np.linspace(0, len(kept) - 1, min(tiles, len(kept))).astype(int)
    found.tiles = [decode(kept[at]).tile for at in shown]
    ids, _ = spot_neighbors(found.xy, 1)
    rows = np.flatnonzero(ids[:, 0] >= 0)
    if len(rows):
        found.spacing = float(np.median(np.linalg.norm(found.xy[rows] - found.xy[ids[rows, 0]], axis=1)))
    return found
