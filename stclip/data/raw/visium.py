"""10x Visium: the `outs` of Space Ranger (counts, positions, scale factors) and the full-resolution image it was given.

A folder holds one folder a slide; `outs` may lie in between, of Visium HD also `binned_outputs/square_0NNum`.
Layout and units: Space Ranger's own documentation.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from stclip.data.raw.barcodes import matched
from stclip.data.raw.image_fit import check_image, small_copy
from stclip.data.raw.slide import RawSlide, SlideFacts
from stclip.data.raw.slide_image import SlideImage, find_image
from stclip.data.raw.ten_x_matrix import TenXMatrix, matrix_file
from stclip.data.raw.visium_places import VisiumPlace, visium_places
from stclip.data.raw.visium_positions import (
    SCALES,
    microns_per_pixel,
    positions_file,
    read_positions,
    read_scales,
)
from stclip.data.shards.spot import MAX_TILE_SIDE
from stclip.errors import DataError
from stclip.files.paths import plain_name

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

MOST_OUTSIDE = 0.05  # share of spots whose centre may lie outside the image


@dataclass(frozen=True)
class VisiumFolder:
    """Slides as Space Ranger leaves them. `tile_microns`: side of the square of tissue around a spot that becomes its tile."""

    folder: Path
    tile_microns: float = 112.0  # as in HEST-1k
    genome: str | None = None  # whose genes are taken, where a slide has several
    bin_microns: int = 16  # of Visium HD: the side of the squares that are taken for spots

    def slides(self) -> tuple[str, ...]:
        """The names of the slides' folders, sorted; the folder itself where it is a single slide. Raises DataError for none."""
        found = tuple(sorted(self._places))
        if not found:
            raise DataError(
                f"{self.folder}: no slide of Space Ranger: neither spatial nor outs/spatial is there or one folder below; give "
                "the folder that holds a folder a slide"
            )
        return found

    def facts(self, slide: str) -> SlideFacts:
        """From the positions and the scale factors. Raises DataError: a file is missing or not as Space Ranger writes it."""
        plain_name(slide, "slide id")
        place, image = self._place(slide), self._image(slide)
        matrix_file(place.outs, slide)
        barcodes, xy = read_positions(place.outs, slide)
        pixel = microns_per_pixel(place.outs, xy, slide, place.pitch)
        with SlideImage.opened(image, slide) as opened:
            size = (opened.width, opened.height)
        return SlideFacts(
            spots=len(barcodes),
            tile_side=self._side(slide, pixel),
            technology="Visium" if place.bin_microns is None else "Visium HD",
            microns_per_pixel=pixel,
            tile_microns=self.tile_microns,
            image_size=size,
        )

    def stamp(self, slide: str) -> list[tuple[str, int, int]]:
        """Of the counts, the positions and the image, and of what is taken from them."""
        outs = self._place(slide).outs
        files = (matrix_file(outs, slide), positions_file(outs, slide), self._image(slide))
        chosen = [(f"genome {self.genome}", 0, 0)] if self.genome else []
        return [*((path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in files), *chosen]

    @contextmanager
    def opened(self, slide: str) -> Iterator[RawSlide]:
        """The slide, its counts joined to the positions by barcode, spots from top to bottom.

        Raises DataError: a damaged file, no barcode in common, positions that lie outside the image.
        """
        place = self._place(slide)
        outs = place.outs
        with ExitStack() as stack:
            counts = stack.enter_context(TenXMatrix.opened(outs, slide, self.genome))
            image = stack.enter_context(SlideImage.opened(self._image(slide), slide))
            barcodes, xy = read_positions(outs, slide)
            rows, places = matched(counts.barcodes, barcodes, slide, counts.path.name, "tissue positions")
            order = np.argsort(xy[places, 1], kind="stable")
            rows, places = rows[order], places[order]
            _check_inside(slide, xy[places], image)
            yield _VisiumSlide(
                where=f"slide '{slide}': {counts.path}",
                way_out="take the matrix that Space Ranger wrote",
                names=[counts.barcodes[row] for row in rows],
                genes=counts.genes,
                xy=xy[places],
                unmatched=len(counts.barcodes) + len(barcodes) - 2 * len(rows),
                _counts=counts,
                _rows=rows,
                _image=image,
                _side=self._side(slide, microns_per_pixel(outs, xy, slide, place.pitch)),
                _copy=small_copy(outs / "spatial", read_scales(outs)),
                _slide=slide,
            )

    @cached_property
    def _places(self) -> dict[str, VisiumPlace]:
        return visium_places(self.folder, self.bin_microns)

    def _place(self, slide: str) -> VisiumPlace:
        place = self._places.get(slide)
        if place is not None and place.wrong:
            raise DataError(f"slide '{slide}': {place.wrong}")
        if place is None:
            raise DataError(
                f"slide '{slide}': {self.folder / slide} has neither spatial nor outs/spatial; put it there"
            )
        return place

    def _image(self, slide: str) -> Path:
        return find_image(self._place(slide).images, slide)

    def _side(self, slide: str, microns_per_pixel: float) -> int:
        side = self.tile_microns / microns_per_pixel
        if side > MAX_TILE_SIDE:
            raise DataError(
                f"slide '{slide}': a tile of {self.tile_microns:g} µm is {side:.0f} pixels a side at {microns_per_pixel:g} µm a "
                f"pixel, more than {MAX_TILE_SIDE}; check microns_per_pixel in {SCALES}, or lower --tile-microns"
            )
        return max(8, round(side))


@dataclass
class _VisiumSlide:
    where: str
    way_out: str
    names: Sequence[str]
    genes: Sequence[str]
    xy: np.ndarray
    unmatched: int
    _counts: TenXMatrix
    _rows: np.ndarray
    _image: SlideImage
    _side: int
    _copy: tuple[Path, float] | None  # Space Ranger's small copy of the image, and its scale
    _slide: str
    _fits: bool = False  # whether the image has been compared with it

    def counts(self, start: int, stop: int) -> csr_matrix:
        return self._counts.rows(self._rows[start:stop])

    def tiles(self, rows: Sequence[int]) -> Iterator[np.ndarray]:
        if not self._fits:
            if self._copy is not None:
                check_image(self._image, *self._copy, self.xy, self._slide)
            self._fits = True
        corners = np.round(self.xy[np.asarray(rows, dtype=np.int64)] - self._side / 2).astype(np.int64)
        return self._image.squares(corners, self._side)


def _check_inside(slide: str, xy: np.ndarray, image: SlideImage) -> None:
    size = np.array([image.width, image.height])
    outside = float(((xy < 0) | (xy >= size)).any(1).mean())
    if outside <= MOST_OUTSIDE:
        return
    exchanged = float(((xy[:, ::-1] < 0) | (xy[:, ::-1] >= size)).any(1).mean())
    hint = (
        "x and y may be exchanged"
        if exchanged <= MOST_OUTSIDE
        else "it may not be the image that Space Ranger was given"
    )
    raise DataError(
        f"slide '{slide}': {outside:.0%} of the spots lie outside {image.path.name} of {image.width} x {image.height} pixels; "
        f"{hint}"
    )
