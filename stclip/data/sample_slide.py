"""One slide in short: its numbers, its places, and a few tiles spread over it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from stclip.data.neighbors import spot_neighbors
from stclip.data.shards import raw_spots
from stclip.data.spot import RawSpot, decode, decode_text


@dataclass
class SlideSample:
    """What `info` tells of a slide."""

    xy: np.ndarray  # float64 [N, 2], pixels
    tile_side: int = 0
    words: int = 0  # of all sentences
    genes: set[str] = field(default_factory=set)
    tiles: list[np.ndarray] = field(default_factory=list)
    spacing: float = 0.0  # median distance of a spot to its nearest, pixels; 0 of a lone spot


def sample_slide(
    dataset_dir: Path, slide: str, tiles: int, tell: Callable[[int], None] = lambda spots: None
) -> SlideSample:
    """Reads all sentences and places, and decodes `tiles` tiles at equal steps. Raises DataError for a spot it cannot read."""
    count = sum(1 for _ in raw_spots(dataset_dir, slide))
    shown = set(np.linspace(0, count - 1, min(tiles, count)).astype(int).tolist()) if count else set()
    places: list[tuple[float, float]] = []
    found = SlideSample(np.zeros((0, 2)))
    for row, raw in enumerate(raw_spots(dataset_dir, slide)):
        _take(raw, row in shown, found, places)
        tell(1)
    found.xy = np.array(places, dtype=np.float64).reshape(-1, 2)
    ids, _ = spot_neighbors(found.xy, 1)
    rows = np.flatnonzero(ids[:, 0] >= 0)
    if len(rows):
        found.spacing = float(np.median(np.linalg.norm(found.xy[rows] - found.xy[ids[rows, 0]], axis=1)))
    return found


def _take(raw: RawSpot, shown: bool, found: SlideSample, places: list[tuple[float, float]]) -> None:
    x, y, sentence = decode_text(raw)
    places.append((x, y))
    genes = sentence.split()
    found.words += len(genes)
    found.genes.update(genes)
    if shown:
        found.tiles.append(decode(raw).tile)
        found.tile_side = found.tiles[-1].shape[0]
