"""The counts of an .h5ad file, a block of rows at a time, so that no slide has to fit into memory.

Only what is needed is read: the names, the coordinates, one matrix. So neither a damaged table beside them nor a form that
anndata no longer reads keeps a slide from being used. Files of anndata 0.6 and of SeuratDisk are read, too.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from stclip.data.raw.gene_columns import (
    GENE_EXPRESSION,
    ID_COLUMNS,
    OTHER_FEATURES,
    SYMBOL_COLUMNS,
    GeneColumns,
    gene_columns,
)
from stclip.data.raw.h5ad_parts import column, columns_of, names_of, open_matrix
from stclip.data.raw.hdf5_file import little_memory, opened_hdf5, reading
from stclip.data.raw.hdf5_heaps import check_heaps
from stclip.data.raw.sparse_rows import Rows
from stclip.data.shards.spot import LARGEST_PLACE
from stclip.errors import DataError, unknown_name
from stclip.extras import extra
from stclip.terminal.text import many

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

RAW = "raw"  # the name by which `raw/X` is asked for: counts that scanpy put aside before it normalised X
KIND = "an .h5ad"
PLACES = ("pxl_col_in_fullres", "pxl_row_in_fullres")  # x, y


@dataclass(frozen=True)
class CountsFile:
    """An open .h5ad."""

    path: Path
    spots: Sequence[str]
    xy: np.ndarray  # float64 [spots, 2], pixels of the slide's image
    way_out: str  # where raw counts belong, or lie in this file
    _columns: GeneColumns
    _matrix: Rows  # [spots, all columns]

    @classmethod
    @contextmanager
    def opened(cls, path: Path, layer: str | None = None, genome: str | None = None) -> Iterator[CountsFile]:
        """The file, its counts taken from X or from a layer; of several genomes, the one named.

        Raises DataError: not an .h5ad, damaged, no such layer, no names of genes, several genomes, no pixel coordinates.
        """
        extra("anndata", "hest", ".h5ad files")
        where = f"slide '{path.stem}': {path}"
        with opened_hdf5(path, where, KIND, "hest", ".h5ad files") as file:
            with reading(where, KIND), little_memory(path):
                check_heaps(path)
                opened = cls._of(file, path, where, layer, genome)
            yield opened

    @classmethod
    def _of(cls, file: Any, path: Path, where: str, layer: str | None, genome: str | None) -> CountsFile:
        spots = names_of(file["obs"])
        at, var = _matrix_place(file, layer, where)
        names = names_of(file[var])
        there = {key: column(file[var], key) for key in (*SYMBOL_COLUMNS, *ID_COLUMNS)}
        candidates = {"var_names": names, **{key: texts for key, texts in there.items() if texts is not None}}
        kinds = column(file[var], "feature_types")
        if kinds is not None and not {GENE_EXPRESSION, *OTHER_FEATURES} & set(map(str, kinds)):
            kinds = None  # somebody's own words
        genes = gene_columns(candidates, kinds, column(file[var], "genome"), genome, where)
        matrix = open_matrix(file[at], (len(spots), len(names)))
        return cls(path, spots, _coordinates(file, len(spots), where), _way_out(file), genes, matrix)

    @property
    def genes(self) -> Sequence[str]:
        """The names of the columns that `rows` gives."""
        return self._columns.names

    def rows(self, rows: np.ndarray) -> csr_matrix:
        """Counts float32 [n, genes] of these rows, in the order given; zeros are not stored. Raises DataError: damaged."""
        with reading(f"slide '{self.path.stem}': {self.path}", KIND):
            block = self._matrix.rows(rows)
        found = block[:, self._columns.places]
        found.eliminate_zeros()
        return found


def _matrix_place(file: Any, layer: str | None, where: str) -> tuple[str, str]:
    """The paths of the matrix and of the table of its columns. Raises DataError when it is not there."""
    layers = _layers(file)
    if layer is not None:
        if layer not in layers:
            raise DataError(f"{where}: {unknown_name('layer', layer, layers)}")
        aside = layer == RAW and RAW not in _names(file, "layers")
        return ("raw/X", "raw/var") if aside else (f"layers/{layer}", "var")
    if "X" in file and getattr(file["X"], "shape", ()) is not None:  # the shape of an empty dataset is None
        return "X", "var"
    raise DataError(f"{where}: has no X; {_way_out(file)}")


def _layers(file: Any) -> list[str]:
    """What `--layer` may name in this file."""
    own = _names(file, "layers")
    return [*own, *([RAW] if RAW not in own and "raw/X" in file and "raw/var" in file else [])]


def _names(file: Any, group: str) -> list[str]:
    """What a group holds; nothing where there is none, or a dataset has its name."""
    return list(file[group]) if group in file and hasattr(file[group], "keys") else []


def _way_out(file: Any) -> str:
    layers = _layers(file)
    if not layers:
        return "store raw counts in X"
    likely = next((name for name in layers if "count" in name.lower() or "raw" in name.lower()), layers[0])
    return (
        f"its layers are {', '.join(layers[:5])}: name the one that holds raw counts, as in --layer {likely}"
    )


def _coordinates(file: Any, spots: int, where: str) -> np.ndarray:
    obs = file["obs"]
    if all(name in columns_of(obs) for name in PLACES):
        found = np.stack([_numbers(column(obs, name), f"obs['{name}']", where) for name in PLACES], axis=1)
    elif "obsm" in file and "spatial" in columns_of(file["obsm"]):
        found = _numbers(column(file["obsm"], "spatial"), "obsm['spatial']", where)
    else:
        raise DataError(
            f"{where}: has no pixel coordinates: neither obs {' and '.join(PLACES)} nor obsm['spatial']; add one of them"
        )
    wrong = f"got {list(found.shape)}" if found.shape != (spots, 2) else _without_place(found)
    if wrong:
        raise DataError(f"{where}: coordinates must be finite numbers [spots, 2]: {wrong}; put them right")
    return found


def _without_place(xy: np.ndarray) -> str:
    """How many spots have no place; nothing for none."""
    wrong = int((~(np.abs(xy) < LARGEST_PLACE)).any(1).sum())
    return f"{many(wrong, 'spot has', 'spots have')} none" if wrong else ""


def _numbers(values: Any, what: str, where: str) -> np.ndarray:
    try:
        return np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        raise DataError(f"{where}: {what} must hold numbers, the pixel coordinates; put it right") from None
