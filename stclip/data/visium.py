"""10x Visium: the `outs` of Space Ranger (counts, positions, scale factors) and the full-resolution image it was given.

A folder holds one folder a slide; `outs` may lie in between. Layout and units: Space Ranger's own documentation.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from stclip.data.raw.barcodes import matched
from stclip.data.raw.slide import RawSlide, SlideFacts
from stclip.data.raw.slide_image import SlideImage, find_image
from stclip.data.raw.ten_x_matrix import TenXMatrix, matrix_file
from stclip.data.shards import plain_name
from stclip.errors import DataError

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

PITCH = 100.0  # µm from spot to spot
POSITIONS = ("tissue_positions.csv", "tissue_positions_list.csv", "tissue_positions.parquet")
COLUMNS = ("barcode", "in_tissue", "array_row", "array_col", "pxl_row_in_fullres", "pxl_col_in_fullres")
MOST_OUTSIDE = 0.05  # share of spots whose centre may lie outside the image


@dataclass(frozen=True)
class VisiumFolder:
    """Slides as Space Ranger leaves them. `tile_microns`: side of the square of tissue around a spot that becomes its tile."""

    folder: Path
    tile_microns: float = 112.0  # as in HEST-1k
    genome: str | None = None  # whose genes are taken, where a slide has several

    def slides(self) -> tuple[str, ...]:
        """The names of the slides' folders, sorted; the folder itself where it is a single slide. Raises DataError for none."""
        if _outs(self.folder) is not None:
            return (self._own_name,)
        found = tuple(sorted(path.name for path in self.folder.glob("*") if _outs(path) is not None))
        if not found:
            raise DataError(
                f"{self.folder}: no slide of Space Ranger: neither spatial nor outs/spatial is there or one folder below; give "
                "the folder that holds a folder a slide"
            )
        return found

    def facts(self, slide: str) -> SlideFacts:
        """From the positions and the scale factors. Raises DataError: a file is missing or not as Space Ranger writes it."""
        plain_name(slide, "slide id")
        outs, image = self._outs(slide), self._image(slide)
        matrix_file(outs, slide)
        barcodes, xy = _positions(outs, slide)
        pixel = _microns_per_pixel(outs, xy, slide)
        with SlideImage.opened(image, slide) as opened:
            size = (opened.width, opened.height)
        return SlideFacts(
            spots=len(barcodes),
            tile_side=self._side(pixel),
            technology="Visium",
            microns_per_pixel=pixel,
            tile_microns=self.tile_microns,
            image_size=size,
        )

    def stamp(self, slide: str) -> list[tuple[str, int, int]]:
        """Of the counts, the positions and the image, and of what is taken from them."""
        outs = self._outs(slide)
        files = (matrix_file(outs, slide), _positions_file(outs, slide), self._image(slide))
        chosen = [(f"genome {self.genome}", 0, 0)] if self.genome else []
        return [*((path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in files), *chosen]

    @contextmanager
    def opened(self, slide: str) -> Iterator[RawSlide]:
        """The slide, its counts joined to the positions by barcode, spots from top to bottom.

        Raises DataError: a damaged file, no barcode in common, positions that lie outside the image.
        """
        outs = self._outs(slide)
        with ExitStack() as stack:
            counts = stack.enter_context(TenXMatrix.opened(outs, slide, self.genome))
            image = stack.enter_context(SlideImage.opened(self._image(slide), slide))
            barcodes, xy = _positions(outs, slide)
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
                _side=self._side(_microns_per_pixel(outs, xy, slide)),
            )

    @property
    def _own_name(self) -> str:
        folder = self.folder.resolve()
        return folder.parent.name if folder.name == "outs" else folder.name

    def _place(self, slide: str) -> Path:
        return (
            self.folder if _outs(self.folder) is not None and slide == self._own_name else self.folder / slide
        )

    def _outs(self, slide: str) -> Path:
        found = _outs(self._place(slide))
        if found is None:
            raise DataError(
                f"slide '{slide}': {self._place(slide)} has neither spatial nor outs/spatial; put it there"
            )
        return found

    def _image(self, slide: str) -> Path:
        place = self._place(slide)
        return find_image((place.parent, place) if place.name == "outs" else (place, place / "outs"), slide)

    def _side(self, microns_per_pixel: float) -> int:
        return max(8, round(self.tile_microns / microns_per_pixel))


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

    def counts(self, start: int, stop: int) -> csr_matrix:
        return self._counts.rows(self._rows[start:stop])

    def tiles(self, rows: Sequence[int]) -> Iterator[np.ndarray]:
        corners = np.round(self.xy[np.asarray(rows, dtype=np.int64)] - self._side / 2).astype(np.int64)
        return self._image.squares(corners, self._side)


def _outs(folder: Path) -> Path | None:
    return next((place for place in (folder, folder / "outs") if (place / "spatial").is_dir()), None)


def _positions_file(outs: Path, slide: str) -> Path:
    for name in POSITIONS:
        if (outs / "spatial" / name).is_file():
            return outs / "spatial" / name
    raise DataError(
        f"slide '{slide}': {outs / 'spatial'} has none of {', '.join(POSITIONS)}; copy it from Space Ranger's outs"
    )


def _positions(outs: Path, slide: str) -> tuple[list[str], np.ndarray]:
    """Barcodes under tissue and their centres, float64 [N, 2] as x, y in pixels of the full-resolution image."""
    path = _positions_file(outs, slide)
    try:
        rows = _parquet_rows(path) if path.suffix == ".parquet" else _csv_rows(path)
        under = [row for row in rows if int(float(row["in_tissue"]))]
        xy = np.array([(float(row["pxl_col_in_fullres"]), float(row["pxl_row_in_fullres"])) for row in under])
    except (OSError, KeyError, TypeError, ValueError, csv.Error) as error:
        raise DataError(
            f"slide '{slide}': {path}: not as Space Ranger writes it ({error!r:.100}); its columns are {', '.join(COLUMNS)}"
        ) from None
    if not len(xy) or not np.isfinite(xy).all():
        raise DataError(
            f"slide '{slide}': {path}: no spot under tissue, or one without a place; copy it again"
        )
    return [row["barcode"] for row in under], xy


def _csv_rows(path: Path) -> list[dict[str, Any]]:
    with path.open(newline="", encoding="utf-8-sig") as file:
        lines = [line for line in csv.reader(file) if line]
    if lines and lines[0][0] != "barcode":  # before Space Ranger 2 the columns had no names
        lines = [list(COLUMNS), *lines]
    return [dict(zip(lines[0], line, strict=True)) for line in lines[1:]]


def _parquet_rows(path: Path) -> list[dict[str, Any]]:
    import pyarrow.parquet  # Ray brings it

    return pyarrow.parquet.read_table(path, columns=list(COLUMNS)).to_pylist()


def _microns_per_pixel(outs: Path, xy: np.ndarray, slide: str) -> float:
    """As Space Ranger says (it does for Visium HD); else by the distance from spot to spot, which is 100 µm."""
    from scipy.spatial import cKDTree

    path = outs / "spatial" / "scalefactors_json.json"
    if path.is_file():
        try:
            said = json.loads(path.read_text(encoding="utf-8")).get("microns_per_pixel")
            if said is not None and 0 < float(said) < float("inf"):
                return float(said)
        except (OSError, ValueError, TypeError, AttributeError, RecursionError) as error:
            raise DataError(f"slide '{slide}': {path}: not valid JSON ({error}); copy it again") from None
    nearest = np.asarray(cKDTree(xy).query(xy, k=2)[0])[:, 1] if len(xy) > 1 else np.zeros(1)
    distance = float(np.median(nearest))
    if not 0 < distance < float("inf"):
        raise DataError(
            f"slide '{slide}': its spots lie on one another, so no scale can be told; give {path.name}"
        )
    return PITCH / distance


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
