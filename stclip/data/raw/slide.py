"""What a converter reads of a lab's slide, whatever its format: facts, counts in blocks, tiles one after another."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix


@dataclass(frozen=True)
class SlideFacts:
    """What is known of a slide before its spots are read; None for what the source does not say."""

    spots: int  # that have a tile
    tile_side: int  # pixels of a tile as it is stored
    species: str | None = None
    technology: str | None = None
    organ: str | None = None
    donor: str | None = None  # a name that is unique in all the world,
    study: str | None = None  # or else what is unique together: the study,
    patient: str | None = None  # and the name that it gives the patient
    microns_per_pixel: float | None = None  # of the coordinates
    tile_microns: float | None = None  # side of a tile
    image_size: tuple[int, int] | None = None  # width and height of the slide's image, pixels


class RawSlide(Protocol):
    """An open slide. Its spots are those that have counts and a tile, in the order of the tiles."""

    @property
    def where(self) -> str:
        """What messages call it: the file of its counts."""

    @property
    def way_out(self) -> str:
        """What to do when its counts are none: where the format has raw counts."""

    @property
    def names(self) -> Sequence[str]:
        """The spots' names."""

    @property
    def genes(self) -> Sequence[str]:
        """The columns' names, as the source spells them."""

    @property
    def xy(self) -> np.ndarray:
        """Centres of the spots, float64 [N, 2], pixels of the slide's image."""

    @property
    def unmatched(self) -> int:
        """Spots that have counts but no tile, or a tile but no counts."""

    def counts(self, start: int, stop: int) -> csr_matrix:
        """Counts [stop - start, genes] of these spots, as stored; not checked."""

    def tiles(self, rows: Sequence[int]) -> Iterator[np.ndarray]:
        """The tiles uint8 [H, W, 3] of these spots, ascending."""


class Source(Protocol):
    """A folder of slides in one format. Picklable: every process of a conversion opens its own slides."""

    def slides(self) -> tuple[str, ...]:
        """The ids of all slides, sorted. Raises DataError when there is none."""

    def facts(self, slide: str) -> SlideFacts:
        """What is cheap to learn of a slide. Raises DataError, naming the slide, when it cannot be used."""

    def stamp(self, slide: str) -> list[tuple[str, int, int]]:
        """Name, size and time of the slide's files: equal as long as they are the same."""

    def opened(self, slide: str) -> AbstractContextManager[RawSlide]:
        """The slide, open. Raises DataError, naming the slide, when it cannot be used."""
