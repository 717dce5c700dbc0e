"""10x's feature-barcode matrix: `filtered_feature_bc_matrix.h5`, or the folder of that name with matrix.mtx.gz."""

from __future__ import annotations

import csv
import gzip
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from stclip.data.raw.gene_columns import GeneColumns, gene_columns
from stclip.data.raw.hdf5_file import little_memory, opened_hdf5, reading
from stclip.data.raw.hdf5_heaps import check_heaps
from stclip.data.raw.hdf5_parts import dataset, group, texts
from stclip.data.raw.sparse_rows import MatrixError, Rows, SparseRows
from stclip.errors import DataError
from stclip.files.regular_files import open_regular, read_unpacked

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

KIND = "a 10x matrix"
NAME = "filtered_feature_bc_matrix"
LARGEST_LIST = 2**31  # bytes, unpacked; of barcodes or features: 11 million squares of 2 µm take 300 MB


@dataclass(frozen=True)
class TenXMatrix:
    """An open matrix; only its columns of gene expression are given."""

    path: Path
    barcodes: Sequence[str]
    _columns: GeneColumns
    _matrix: Rows  # [barcodes, all features]
    _where: str

    @classmethod
    @contextmanager
    def opened(cls, outs: Path, slide: str, genome: str | None = None) -> Iterator[TenXMatrix]:
        """Of several genomes, the one named.

        Raises DataError: missing, damaged, not as Cell Ranger and Space Ranger write it, no gene expression, several genomes.
        """
        path = matrix_file(outs, slide)
        where = f"slide '{slide}': {path}"
        if path.suffix != ".h5":
            yield _from_mtx(path, where, genome)
            return
        with opened_hdf5(path, where, KIND, "visium", "10x matrices") as file:
            with reading(where, KIND), little_memory(path):
                check_heaps(path)
                opened = _from_h5(group(file, "matrix"), path, where, genome)
            yield opened

    @property
    def genes(self) -> Sequence[str]:
        """The names of the columns that `rows` gives."""
        return self._columns.names

    def rows(self, rows: np.ndarray) -> csr_matrix:
        """Counts float32 [n, genes] of these barcodes, in the order given. Raises DataError: damaged."""
        with reading(self._where, KIND):
            whole = self._matrix.rows(rows)
        found = whole[:, self._columns.places]
        found.eliminate_zeros()
        return found


def matrix_file(outs: Path, slide: str) -> Path:
    """The .h5, else the matrix.mtx.gz of the folder. Raises DataError when neither is there."""
    for path in (outs / f"{NAME}.h5", outs / NAME / "matrix.mtx.gz", outs / NAME / "matrix.mtx"):
        if path.is_file():
            return path
    raise DataError(
        f"slide '{slide}': {outs} has neither {NAME}.h5 nor {NAME}/matrix.mtx.gz; copy one from Space Ranger's outs"
    )


def _from_h5(matrix: Any, path: Path, where: str, genome: str | None) -> TenXMatrix:
    barcodes, features = texts(dataset(matrix, "barcodes")), group(matrix, "features")
    parts = {
        key: texts(dataset(features, key))
        for key in ("name", "id", "feature_type", "genome")
        if key in features
    }
    lengths = {key: len(texts) for key, texts in parts.items()}
    if not {"name", "feature_type"} <= parts.keys() or len(set(lengths.values())) != 1:
        raise MatrixError(
            f"its features have {lengths}, of which name and feature_type are needed, all of one length"
        )
    shape = (len(barcodes), lengths["name"])
    said = dataset(matrix, "shape")[:].tolist() if "shape" in matrix else list(shape[::-1])
    if said != list(shape[::-1]):
        raise MatrixError(f"its shape is {said}, there are {shape[1]} features and {shape[0]} barcodes")
    data, indices, indptr = (dataset(matrix, name) for name in ("data", "indices", "indptr"))
    rows = SparseRows.of(data, indices, indptr, shape)
    candidates: dict[str, list[str]] = {key: parts[key] for key in ("name", "id") if key in parts}
    columns = gene_columns(candidates, parts["feature_type"], parts.get("genome"), genome, where)
    return TenXMatrix(path, barcodes, columns, rows, where)


def _from_mtx(path: Path, where: str, genome: str | None) -> TenXMatrix:
    with reading(where, KIND):  # gzip, csv and scipy raise what their parts raise, too
        features = list(csv.reader(_lines(path.parent, "features.tsv"), delimiter="\t"))
        barcodes = _lines(path.parent, "barcodes.tsv")
        rows = _read_mtx(path, (len(barcodes), len(features)))
        candidates = {
            "name": [row[1] if len(row) > 1 else row[0] for row in features],
            "id": [row[0] for row in features],
        }
        kinds = [row[2] for row in features] if all(len(row) > 2 for row in features) else None
        columns = gene_columns(candidates, kinds, None, genome, where)
    return TenXMatrix(path, barcodes, columns, rows, where)


def _read_mtx(path: Path, shape: tuple[int, int]) -> SparseRows:
    """The matrix [barcodes, features] of a file that holds features x barcodes; its header is checked before it is read."""
    from scipy.io import mminfo, mmread

    def opened() -> Any:
        file = open_regular(path)
        return gzip.open(file) if path.suffix == ".gz" else file

    with opened() as file:
        height, width, _, form, kind, symmetry = mminfo(file)
    if (form, symmetry) != ("coordinate", "general") or kind not in ("integer", "unsigned-integer", "real"):
        raise MatrixError(f"it is a {form} {kind} {symmetry} matrix, not a coordinate general one of numbers")
    if (width, height) != shape:
        raise MatrixError(f"it is {height} x {width}, there are {shape[1]} features and {shape[0]} barcodes")
    with opened() as file:
        entries: Any = mmread(file)
    columns = entries.tocsc()
    if columns.nnz != entries.nnz:
        raise MatrixError("an entry stands there twice")
    return SparseRows.of(columns.data, columns.indices, columns.indptr, shape)


def _lines(folder: Path, name: str) -> list[str]:
    path = _plain_or_gz(folder, name)
    with open_regular(path, LARGEST_LIST) as file:
        data = read_unpacked(file, LARGEST_LIST) if path.suffix == ".gz" else file.read()
    return data.decode().splitlines()


def _plain_or_gz(folder: Path, name: str) -> Path:
    packed = folder / f"{name}.gz"
    return packed if packed.is_file() else folder / name
