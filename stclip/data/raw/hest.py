"""HEST-1k's layout: `st/<id>.h5ad` (raw counts), `patches/<id>.h5` (tiles), metadata as one csv and `metadata/<id>.json`.

Jaume et al. 2024, arXiv 2406.16192. Read with anndata and h5py (`pip install 'stclip[hest]'`).
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cached_property
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from stclip.data.raw.barcodes import matched
from stclip.data.raw.counts_file import CountsFile
from stclip.data.raw.hdf5_file import little_memory, opened_hdf5, reading
from stclip.data.raw.hdf5_heaps import check_heaps
from stclip.data.raw.hdf5_parts import dataset, number, texts
from stclip.data.raw.slide import RawSlide, SlideFacts
from stclip.data.raw.tile_places import check_places
from stclip.data.shards.spot import MAX_TILE_SIDE
from stclip.errors import DataError
from stclip.files.paths import plain_name
from stclip.files.regular_files import read_text
from stclip.files.whole_files import read_json_object

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

AT_ONCE = 32  # tiles read together
KIND = "a file of patches"


@dataclass(frozen=True)
class HestFolder:
    """A folder in HEST-1k's layout. `swap_xy`: slides whose x and y are exchanged against the patches are exchanged back."""

    folder: Path
    swap_xy: bool = False
    layer: str | None = None  # where the counts are; None: in X
    genome: str | None = None  # whose genes are taken, where a slide has several

    def slides(self) -> tuple[str, ...]:
        """The ids of all slides, sorted, also of those that lack one of their two files. Raises DataError for none."""
        names = {path.stem for path in self.folder.glob("st/*.h5ad")}
        names |= {path.stem for path in self.folder.glob("patches/*.h5")}
        found = tuple(sorted(name for name in names if not name.startswith(".")))
        if not found:
            raise DataError(
                f"{self.folder}: no slide in HEST-1k's layout: neither st/<id>.h5ad nor patches/<id>.h5 is there; "
                "give the folder that holds st and patches"
            )
        return found

    def facts(self, slide: str) -> SlideFacts:
        """From the headers and the metadata. Raises DataError: a file is missing, damaged or not laid out like HEST-1k's."""
        with self._patches(slide) as patches:
            about = self._about(slide)
            pixel = _number(about, "pixel_size_um_estimated", "pixel_size_um_embedded")
            with reading(_where(slide, self._h5(slide)), KIND):
                spots, side = patches["img"].shape[:2]
                source = _side_in_source(patches["img"])
                embedded = _positive(number(patches["img"], "pixel_size"))
            return SlideFacts(
                spots=int(spots),
                tile_side=int(side),
                species=_text(about, "species"),
                technology=_text(about, "st_technology"),
                organ=_text(about, "organ"),
                donor=_text(about, "donor"),
                study=_text(about, "dataset_title"),
                patient=_text(about, "patient"),
                microns_per_pixel=pixel or embedded,
                tile_microns=pixel * source if pixel else None,
                image_size=_image_size(about),
            )

    def stamp(self, slide: str) -> list[tuple[str, int, int]]:
        """Of the two files, and of what is taken from them; the metadata are read anew each time."""
        chosen = [
            (f"{what} {name}", 0, 0)
            for what, name in (("layer", self.layer), ("genome", self.genome))
            if name
        ]
        files = (self._st(slide), self._h5(slide))
        return [*((p.name, p.stat().st_size, p.stat().st_mtime_ns) for p in files), *chosen]

    @contextmanager
    def opened(self, slide: str) -> Iterator[RawSlide]:
        """The slide, its counts joined to its tiles by barcode.

        Raises DataError: a damaged file, no barcode in common, coordinates that do not fit the tiles.
        """
        with ExitStack() as stack:
            patches = stack.enter_context(self._patches(slide))
            counts = stack.enter_context(CountsFile.opened(self._st(slide), self.layer, self.genome))
            yield _joined(slide, counts, patches, self._h5(slide), self.swap_xy)

    def _st(self, slide: str) -> Path:
        return self.folder / "st" / f"{slide}.h5ad"

    def _h5(self, slide: str) -> Path:
        return self.folder / "patches" / f"{slide}.h5"

    @contextmanager
    def _patches(self, slide: str) -> Iterator[Mapping[str, Any]]:
        """The open patch file, its arrays checked by shape and type."""
        plain_name(slide, "slide id")
        pair = (self._st(slide), self._h5(slide))
        for path, other in (pair, pair[::-1]):
            if not path.is_file():
                raise DataError(
                    f"slide '{slide}': {path} is missing beside {other.name}; put it there, or leave the slide out with --slides"
                )
        where = _where(slide, self._h5(slide))
        with opened_hdf5(self._h5(slide), where, KIND, "hest", "HEST-1k slides") as file:
            with reading(where, KIND):
                wrong = _wrong_layout(file)
            if wrong:
                raise DataError(
                    f"{where}: {wrong}; HEST-1k patches have img uint8 [N, S, S, 3], coords [N, 2] and barcode [N, 1]"
                )
            yield file

    def _about(self, slide: str) -> dict[str, Any]:
        """The metadata of a slide: its row of the csv, then what only its JSON file has."""
        path = self.folder / "metadata" / f"{slide}.json"
        own: dict[str, Any] = {}
        if path.is_file():
            try:
                own = read_json_object(path)
            except DataError as error:
                raise DataError(f"slide '{slide}': {error}") from None
        row = {key: value for key, value in self._table.get(slide, {}).items() if value not in ("", None)}
        return {**own, **row}

    @cached_property
    def _table(self) -> dict[str, dict[str, str]]:
        found: dict[str, dict[str, str]] = {}
        for path in sorted(self.folder.glob("*.csv")):
            try:
                rows = list(csv.DictReader(StringIO(read_text(path, encoding="utf-8-sig"), newline="")))
            except (OSError, UnicodeDecodeError, csv.Error) as error:
                raise DataError(
                    f"{path}: cannot be read as CSV ({error}); put it right or remove it"
                ) from None
            for row in rows:
                found.setdefault((row.get("id") or "").strip(), row)
        return found


@dataclass
class _HestSlide:
    where: str
    way_out: str
    names: Sequence[str]
    genes: Sequence[str]
    xy: np.ndarray
    unmatched: int
    _counts: CountsFile
    _count_rows: np.ndarray  # int64 [N], rows of the count matrix
    _tile_rows: np.ndarray  # int64 [N], rows of the patch file, ascending
    _patches: Mapping[str, Any]
    _patches_where: str

    def counts(self, start: int, stop: int) -> csr_matrix:
        return self._counts.rows(self._count_rows[start:stop])

    def tiles(self, rows: Sequence[int]) -> Iterator[np.ndarray]:
        """Read some together, since a chunk of the file may hold more than one."""
        wanted = self._tile_rows[np.asarray(rows, dtype=np.int64)]
        for at in range(0, len(wanted), AT_ONCE):
            with reading(self._patches_where, KIND):
                some = self._patches["img"][wanted[at : at + AT_ONCE]]
            yield from some


def _joined(
    slide: str, counts: CountsFile, patches: Mapping[str, Any], h5: Path, swap_xy: bool
) -> _HestSlide:
    where = _where(slide, h5)
    with reading(where, KIND), little_memory(h5):
        check_heaps(h5)
        barcodes = texts(patches["barcode"])
        corners = np.asarray(patches["coords"], dtype=np.float64)
        side = _side_in_source(patches["img"])
    rows, tile_rows = matched(counts.spots, barcodes, slide, counts.path.name, h5.name)
    xy = check_places(slide, counts.xy[rows], corners[tile_rows], side, swap_xy)
    return _HestSlide(
        where=f"slide '{slide}': {counts.path}",
        way_out=counts.way_out,
        names=[counts.spots[row] for row in rows],
        genes=counts.genes,
        xy=xy,
        unmatched=len(counts.spots) + len(barcodes) - 2 * len(rows),
        _counts=counts,
        _count_rows=rows,
        _tile_rows=tile_rows,
        _patches=patches,
        _patches_where=where,
    )


def _wrong_layout(file: Mapping[str, Any]) -> str | None:
    """What is not as in HEST-1k's patch files; None for nothing."""
    missing = [name for name in ("img", "coords", "barcode") if name not in file]
    if missing:
        return f"has no {', '.join(missing)}"
    image, coords, barcode = (dataset(file, name) for name in ("img", "coords", "barcode"))
    shape = image.shape
    if image.dtype != np.uint8 or len(shape) != 4 or shape[3] != 3 or shape[1] != shape[2] or not image.size:
        return f"img is {image.dtype} {list(shape)}"
    if shape[1] > MAX_TILE_SIDE:
        return f"its tiles are {shape[1]} pixels a side, more than {MAX_TILE_SIDE}"
    if coords.shape != (shape[0], 2) or coords.dtype.kind not in "iuf":
        return f"coords is {coords.dtype} {list(coords.shape)} for {shape[0]} tiles"
    if barcode.size != shape[0]:
        return f"barcode is {list(barcode.shape)} for {shape[0]} tiles"
    return None


def _side_in_source(image: Any) -> float:
    """The side of a tile in pixels of the slide's image, which `coords` is in."""
    return _positive(number(image, "patch_size_src")) or float(image.shape[1])


def _where(slide: str, path: Path) -> str:
    return f"slide '{slide}': {path}"


def _text(about: Mapping[str, Any], key: str) -> str | None:
    value = about.get(key)
    return str(value).strip() or None if value is not None and value == value else None  # NaN is not itself


def _number(about: Mapping[str, Any], *keys: str) -> float | None:
    return next((value for key in keys if (value := _positive(about.get(key))) is not None), None)


def _positive(value: Any) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if np.isfinite(number) and number > 0 else None


def _image_size(about: Mapping[str, Any]) -> tuple[int, int] | None:
    width, height = _number(about, "fullres_px_width"), _number(about, "fullres_px_height")
    return (int(width), int(height)) if width and height else None
