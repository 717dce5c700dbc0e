"""Parts of an .h5ad: names, single columns, a matrix; as anndata writes them today, and as older programs did."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from stclip.data.raw.hdf5_parts import attribute, check_column, check_values, dataset
from stclip.data.raw.sparse_rows import DenseRows, MatrixError, Rows, SparseRows, transposed


def columns_of(table: Any) -> Sequence[str]:
    """The names of the columns of a table: a group, or, before anndata 0.7, one dataset with a field a column."""
    return list(table) if hasattr(table, "keys") else list(table.dtype.names or ())


def column(table: Any, name: str) -> Any:
    """A column: an array, or texts where it holds texts; None where it is not there."""
    if name not in columns_of(table):
        return None
    if not hasattr(table, "keys"):
        check_values(table)
        return _texts_or_numbers(table[name])
    from anndata.io import read_elem

    check_column(table[name])
    with warnings.catch_warnings(action="ignore"):  # of files that older programs wrote
        return _texts_or_numbers(read_elem(table[name]))


def names_of(table: Any) -> list[str]:
    """The names of a table's rows. SeuratDisk writes them without saying what they are, so anndata numbers the rows instead.

    Raises KeyError when it has none.
    """
    if not hasattr(table, "keys"):
        check_values(table)
        return [_text(name) for name in table[table.dtype.names[0]]]
    said = attribute(table, "_index")
    for name in (*([_text(said)] if said is not None else []), "_index", "index"):
        if name in columns_of(table):
            return [_text(value) for value in column(table, name)]
    raise KeyError(f"{table.name} has no _index, the names of its rows")


def open_matrix(element: Any, shape: tuple[int, int]) -> Rows:
    """The matrix [rows, columns], checked. Raises MatrixError: of another shape or form, or its parts do not fit."""
    if not hasattr(element, "keys"):
        check_values(element)
        return DenseRows.of(element, shape)
    form = _text(attribute(element, "encoding-type", attribute(element, "h5sparse_format", "")))
    form = form.removesuffix("_matrix")
    if form not in ("csr", "csc"):
        raise MatrixError(f"{element.name} is stored as '{form}', not as an array, csr_matrix or csc_matrix")
    said = attribute(element, "shape", attribute(element, "h5sparse_shape"))
    if said is not None and tuple(int(side) for side in said) != shape:
        raise MatrixError(
            f"{element.name} is {list(map(int, said))}, there are {shape[0]} spots and {shape[1]} genes"
        )
    missing = [part for part in ("data", "indices", "indptr") if part not in element]
    if missing:
        raise MatrixError(f"{element.name} lacks its {' and '.join(missing)}")
    parts = (dataset(element, "data"), dataset(element, "indices"), dataset(element, "indptr"))
    if form == "csr":
        return SparseRows.of(*parts, shape)
    return transposed(SparseRows.of(*parts, shape[::-1]), shape)  # whose rows cannot be read one by one


def _texts_or_numbers(values: Any) -> Any:
    array = np.asarray(values)
    return array if array.dtype.kind in "iufb" else [_text(value) for value in array.tolist()]


def _text(value: Any) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)
