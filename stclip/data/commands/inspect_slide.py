"""One slide's shards, read whole: what is there, and what is wrong with it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from stclip.data.shards import raw_spots
from stclip.data.shards.spot import decode
from stclip.errors import DataError

MOST_FAULTS = 5  # told of a slide one by one


@dataclass
class SlideContent:
    """What the shards of a slide hold."""

    spots: int = 0
    # Height and width in pixels -> spots.
    tile_sides: Counter[tuple[int, int]] = field(default_factory=Counter)
    words: int = 0  # of all sentences
    genes: set[str] = field(default_factory=set)
    faults: list[str] = field(default_factory=list)

    @property
    def usual_tile(self) -> tuple[int, int]:
        """Height and width of most tiles; only of a slide that has some."""
        return self.tile_sides.most_common(1)[0][0]

    @property
    def sentence(self) -> float:
        """Mean genes of a sentence."""
        return self.words / self.spots if self.spots else 0.0


def inspect_slide(
    dataset_dir: Path, slide: str, tell: Callable[[int], None] = lambda spots: None
) -> SlideContent:
    """Every spot decoded. Faults are collected, never raised: broken members, keys given twice, two spots in one place."""
    found = SlideContent()
    places: list[tuple[float, float]] = []
    bad = 0
    try:
        for raw in raw_spots(dataset_dir, slide):
            tell(1)
            try:
                spot = decode(raw)
            except DataError as error:
                bad += 1
                if bad <= MOST_FAULTS:
                    found.faults.append(str(error))
                continue
            genes = spot.sentence.split()
            found.spots += 1
            found.tile_sides[spot.tile.shape[0], spot.tile.shape[1]] += 1
            found.words += len(genes)
            found.genes.update(genes)
            places.append((spot.x, spot.y))
            if len(set(genes)) < len(genes):
                found.faults.append(f"slide '{slide}': spot '{spot.spot}' names a gene twice in its sentence")
    except DataError as error:
        found.faults.append(str(error))
    if bad > MOST_FAULTS:
        found.faults.append(f"slide '{slide}': {bad - MOST_FAULTS} more spots are broken")
    _check_whole(found, slide, places)
    return found


def _check_whole(found: SlideContent, slide: str, places: list[tuple[float, float]]) -> None:
    if not found.spots:
        found.faults.append(f"slide '{slide}': has no usable spot")
        return
    if len(found.tile_sides) > 1:
        told = ", ".join(f"{count} of {h} x {w}" for (h, w), count in found.tile_sides.most_common(3))
        found.faults.append(f"slide '{slide}': its tiles are of different sizes ({told} pixels)")
    twice = len(places) - len(set(places))
    if twice:
        found.faults.append(f"slide '{slide}': {twice} spots lie where another lies")
