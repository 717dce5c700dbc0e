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

from stclip.errors import DataError
from stclip.extras import extra
from stclip.regular_files import open_regular, read_unpacked

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

NAME = "filtered_feature_bc_matrix"
GENES = "Gene Expression"
LARGEST_LIST = 2**31  # bytes, unpacked; of barcodes or features: 11 million squares of 2 µm take 300 MB


@dataclass(frozen=True)
class TenXMatrix:
    """An open matrix; only its columns of gene expression are given."""

    path: Path
    barcodes: Sequence[str]
    genes: Sequence[str]
    _columns: np.ndarray  # int64, places of the genes among all features
    _features: int
    _indptr: np.ndarray  # of the barcodes
    _indices: Any  # h5py's datasets, or arrays
    _data: Any
    _where: str

    @classmethod
    @contextmanager
    def opened(cls, outs: Path, slide: str) -> Iterator[TenXMatrix]:
        """Raises DataError: missing, damaged, or not as Cell Ranger and Space Ranger write it."""
        path = matrix_file(outs, slide)
        where = f"slide '{slide}': {path}"
        if path.suffix != ".h5":
            yield _from_mtx(path.parent, where)
            return
        h5py = extra("h5py", "visium", "10x matrices")
        try:
            file = h5py.File(path, "r")
        except OSError as error:
            raise _damaged(where, error) from None
        with file:
            try:
                matrix = file["matrix"]
                kinds = _texts(matrix["features/feature_type"])
                names = _texts(matrix["features/name"])
                columns = np.flatnonzero(np.array(kinds) == GENES)
                opened = cls(
                    path, _texts(matrix["barcodes"]), [names[at] for at in columns], columns, len(names),
                    np.asarray(matrix["indptr"], dtype=np.int64), matrix["indices"], matrix["data"], where,
                )  # fmt: skip
            except (OSError, KeyError, RuntimeError, ValueError) as error:
                raise _damaged(where, error) from None
            yield opened

    def rows(self, rows: np.ndarray) -> csr_matrix:
        """Counts float32 [n, genes] of these barcodes, in the order given. Raises DataError: damaged."""
        from scipy.sparse import csr_matrix

        spans = [slice(int(self._indptr[row]), int(self._indptr[row + 1])) for row in rows]
        try:
            indices = [np.asarray(self._indices[span]) for span in spans]
            data = [np.asarray(self._data[span]) for span in spans]
        except (OSError, RuntimeError) as error:
            raise _damaged(self._where, error) from None
        indptr = np.concatenate([[0], np.cumsum([len(one) for one in data])])
        shape = (len(rows), self._features)
        whole = csr_matrix(
            (np.concatenate(data).astype(np.float32), np.concatenate(indices).astype(np.int64), indptr),
            shape=shape,
        )
        found = whole[:, self._columns]
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


def _from_mtx(folder: Path, where: str) -> TenXMatrix:
    from scipy.io import mmread

    try:
        path = _plain_or_gz(folder, "matrix.mtx")
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            matrix = mmread(file).tocsc()  # type: ignore[union-attr, arg-type]
        features = list(csv.reader(_lines(folder, "features.tsv"), delimiter="\t"))
        barcodes = _lines(folder, "barcodes.tsv")
        if matrix.shape != (len(features), len(barcodes)):
            raise ValueError(
                f"{matrix.shape} counts for {len(features)} features and {len(barcodes)} barcodes"
            )
        columns = np.array(
            [at for at, row in enumerate(features) if len(row) < 3 or row[2] == GENES], dtype=np.int64
        )
        names = [row[1] if len(row) > 1 else row[0] for row in features]
    except (OSError, EOFError, ValueError, IndexError, csv.Error) as error:
        raise _damaged(where, error) from None
    return TenXMatrix(
        path, barcodes, [names[at] for at in columns], columns, len(features), matrix.indptr.astype(np.int64),
        matrix.indices, matrix.data, where,
    )  # fmt: skip


def _lines(folder: Path, name: str) -> list[str]:
    path = _plain_or_gz(folder, name)
    with open_regular(path, LARGEST_LIST) as file:
        data = read_unpacked(file, LARGEST_LIST) if path.suffix == ".gz" else file.read()
    return data.decode().splitlines()


def _plain_or_gz(folder: Path, name: str) -> Path:
    packed = folder / f"{name}.gz"
    return packed if packed.is_file() else folder / name


def _texts(values: Any) -> list[str]:
    return [value.decode() if isinstance(value, bytes) else str(value) for value in values[:]]


def _damaged(where: str, error: Exception) -> DataError:
    return DataError(
        f"{where}: truncated, damaged or not a 10x matrix ({' '.join(str(error).split())[:120]}); copy it again"
    )
