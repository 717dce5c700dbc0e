"""A compressed sparse matrix of a file, checked before scipy sees it: its C code trusts index arrays and reads beyond them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix


class MatrixError(ValueError):
    """Why the parts of a matrix do not fit each other, in a few words."""


class Rows(Protocol):
    """A matrix that is read some rows at a time."""

    def rows(self, rows: np.ndarray) -> csr_matrix:
        """float32 [n, columns], these rows in the order given. Raises MatrixError, or what the file's reader raises."""


@dataclass(frozen=True)
class SparseRows:
    """A matrix in compressed rows (10x keeps features x barcodes in compressed columns, which is the same)."""

    _data: Any  # [stored values], a dataset of h5py or an array
    _indices: Any
    _indptr: np.ndarray  # int64 [rows + 1]
    _columns: int

    @classmethod
    def of(cls, data: Any, indices: Any, indptr: Any, shape: tuple[int, int]) -> SparseRows:
        """Of the three arrays of a matrix [rows, columns]; `indices` are checked as they are read.

        Raises MatrixError: a length, a type or a row pointer cannot be right.
        """
        return cls(data, indices, _checked_indptr(data, indices, indptr, shape), shape[1])

    def rows(self, rows: np.ndarray) -> csr_matrix:
        """float32 [n, columns], these rows in the order given. Raises MatrixError: a column out of range, or twice in a row."""
        from scipy.sparse import csr_matrix

        order = np.argsort(rows, kind="stable")
        ascending = np.asarray(rows, dtype=np.int64)[order]
        spans = _spans(ascending, self._indptr)
        data, indices = _read(self._data, spans), _read(self._indices, spans)
        lengths = self._indptr[ascending + 1] - self._indptr[ascending]
        indptr = np.concatenate([[0], np.cumsum(lengths)])
        if len(data) != indptr[-1] or len(indices) != indptr[-1]:
            raise MatrixError("its arrays are shorter than they say")
        _check_indices(indices, self._columns)
        parts = (data.astype(np.float32), indices.astype(np.int64), indptr)
        block = csr_matrix(parts, shape=(len(ascending), self._columns))
        block.sort_indices()
        _check_once(block)
        return block[np.argsort(order)]


@dataclass(frozen=True)
class DenseRows:
    """A dense matrix [rows, columns], a dataset of h5py or an array."""

    _values: Any

    @classmethod
    def of(cls, values: Any, shape: tuple[int, int]) -> DenseRows:
        """Raises MatrixError: another shape, or no numbers."""
        if tuple(values.shape) != shape:
            raise MatrixError(f"its shape is {list(values.shape)}, not {list(shape)}")
        if values.dtype.kind not in "iufb":
            raise MatrixError(f"its values are {values.dtype}, not numbers")
        return cls(values)

    def rows(self, rows: np.ndarray) -> csr_matrix:
        """float32 [n, columns], these rows in the order given."""
        from scipy.sparse import csr_matrix

        order = np.argsort(rows)  # a file is read in ascending order
        return csr_matrix(self._values[np.asarray(rows)[order]].astype(np.float32))[np.argsort(order)]


def transposed(columns: SparseRows, shape: tuple[int, int]) -> SparseRows:
    """A matrix [rows, columns] that is stored in compressed columns, as compressed rows in memory. Raises MatrixError."""
    rows = columns.rows(np.arange(shape[1])).T.tocsr()
    return SparseRows.of(rows.data, rows.indices, rows.indptr, shape)


def _checked_indptr(data: Any, indices: Any, indptr: Any, shape: tuple[int, int]) -> np.ndarray:
    for name, part in (("data", data), ("indices", indices), ("indptr", indptr)):
        if getattr(part, "shape", None) is None or len(part.shape) != 1:
            raise MatrixError(f"{name} is not a list of numbers")
    if data.dtype.kind not in "iufb":
        raise MatrixError(f"data holds {data.dtype}, not numbers")
    for name, part in (("indices", indices), ("indptr", indptr)):
        if part.dtype.kind not in "iu":
            raise MatrixError(f"{name} holds {part.dtype}, not whole numbers")
    if len(data) != len(indices):
        raise MatrixError(f"{len(data)} values have {len(indices)} indices")
    if len(indptr) != shape[0] + 1:
        raise MatrixError(f"indptr has {len(indptr)} entries for {shape[0]} rows")
    pointers = np.asarray(indptr[:])
    if int(pointers[0]) != 0 or int(pointers[-1]) != len(data):
        raise MatrixError(f"indptr runs from {pointers[0]} to {pointers[-1]}, there are {len(data)} values")
    if (pointers[1:] < pointers[:-1]).any():
        raise MatrixError("indptr does not ascend")
    pointers = pointers.astype(np.int64)
    longest = int(np.diff(pointers).max(initial=0))
    if longest > shape[1]:
        raise MatrixError(f"indptr gives a row {longest} values, there are {shape[1]} columns")
    return pointers


def _spans(ascending: np.ndarray, indptr: np.ndarray) -> list[slice]:
    """What to read for these rows; rows that follow each other are read together."""
    if not len(ascending):
        return []
    firsts = np.flatnonzero(np.diff(ascending, prepend=ascending[0] - 2) != 1)
    lasts = np.append(firsts[1:], len(ascending)) - 1
    pairs = zip(indptr[ascending[firsts]].tolist(), indptr[ascending[lasts] + 1].tolist(), strict=True)
    return [slice(start, stop) for start, stop in pairs]


def _read(values: Any, spans: list[slice]) -> np.ndarray:
    parts = [np.asarray(values[span]) for span in spans]
    return np.concatenate(parts) if parts else np.asarray(values[:0])


def _check_indices(indices: np.ndarray, columns: int) -> None:
    wrong = (indices < 0) | (indices >= columns)
    if wrong.any():
        raise MatrixError(f"an index is {indices[wrong][0]}, there are {columns} columns")


def _check_once(block: csr_matrix) -> None:
    """No column twice in a row: who writes matrices does not write that, a flipped bit does."""
    same = np.diff(block.indices) == 0
    ends = block.indptr[1:-1] - 1  # the step from a row to the next
    same[ends[(ends >= 0) & (ends < len(same))]] = False
    if same.any():
        raise MatrixError("an index stands twice in a row")
