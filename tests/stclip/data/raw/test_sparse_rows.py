"""Damaged sparse matrices are refused before scipy's C code reads what their indices point at."""

import numpy as np
import pytest
from scipy.sparse import random as random_matrix

from stclip.data.raw.sparse_rows import DenseRows, MatrixError, SparseRows, transposed

WHOLE = random_matrix(20, 30, density=0.3, format="csr", random_state=0)


def parts(**changed):
    arrays = {name: getattr(WHOLE, name).copy() for name in ("data", "indices", "indptr")}
    return {**arrays, "shape": WHOLE.shape, **changed}


def put(name, at, value, dtype=np.int64):
    array = getattr(WHOLE, name).astype(dtype)
    array[at] = value
    return {name: array}


@pytest.mark.parametrize("rows", [[3], [5, 4, 19, 0], [1, 2, 3, 7, 8], [], [6, 6]], ids=str)
def test_rows_come_in_the_order_asked_for(rows):
    found = SparseRows.of(**parts()).rows(np.array(rows, dtype=np.int64))
    assert (found.toarray() == WHOLE.toarray()[rows].astype(np.float32)).all()


def test_compressed_columns_are_turned():
    columns = WHOLE.tocsc()
    stored = SparseRows.of(columns.data, columns.indices, columns.indptr, WHOLE.shape[::-1])
    found = transposed(stored, WHOLE.shape).rows(np.array([4, 2]))
    assert (found.toarray() == WHOLE.toarray()[[4, 2]].astype(np.float32)).all()


@pytest.mark.parametrize(
    ("changed", "rule"),
    [
        (put("indptr", 5, 10**6), "indptr does not ascend"),
        (put("indptr", 5, -1), "indptr does not ascend"),
        (put("indptr", 0, 3), "indptr runs from 3 to"),
        (put("indptr", -1, 2**40), "indptr runs from 0 to 1099511627776, there are 180 values"),
        ({"indptr": WHOLE.indptr[:-1]}, "indptr has 20 entries for 20 rows"),
        ({"indptr": WHOLE.indptr.astype(float)}, "indptr holds float64, not whole numbers"),
        (put("indptr", slice(1, 20), 180), "indptr gives a row 180 values, there are 30 columns"),
        ({"indices": WHOLE.indices[:-5]}, "180 values have 175 indices"),
        ({"data": WHOLE.data[:-5]}, "175 values have 180 indices"),
        ({"data": WHOLE.data.astype("S5")}, r"data holds \|S5, not numbers"),
        ({"data": WHOLE.data.reshape(2, -1)}, "data is not a list of numbers"),
        ({"indices": np.zeros((), np.int32)}, "indices is not a list of numbers"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_parts_that_do_not_fit_are_refused_at_once(changed, rule):
    with pytest.raises(MatrixError, match=rule):
        SparseRows.of(**parts(**changed))


@pytest.mark.parametrize(
    ("changed", "rule"),
    [
        (put("indices", 3, 30), "an index is 30, there are 30 columns"),
        (put("indices", 3, -1), "an index is -1, there are 30 columns"),
        (put("indices", 3, 2**31 - 1), "an index is 2147483647,"),
        (put("indices", 3, 2**64 - 1, np.uint64), "an index is 18446744073709551615,"),
        (put("indices", 1, WHOLE.indices[0]), "an index stands twice in a row"),
    ],
)
def test_an_index_that_cannot_be_is_refused_when_it_is_read(changed, rule):
    with pytest.raises(MatrixError, match=rule):
        SparseRows.of(**parts(**changed)).rows(np.arange(20))


def test_arrays_that_end_early():
    class Short:
        """A dataset that gives less than it says, as a file that was cut does."""

        shape, dtype = WHOLE.data.shape, WHOLE.data.dtype

        def __len__(self):
            return len(WHOLE.data)

        def __getitem__(self, span):
            return WHOLE.data[span][:-1]

    with pytest.raises(MatrixError, match="its arrays are shorter than they say"):
        SparseRows.of(**parts(data=Short())).rows(np.arange(3))


def test_a_dense_matrix_has_its_shape_and_numbers():
    values = WHOLE.toarray()
    assert (
        DenseRows.of(values, (20, 30)).rows(np.array([7, 2])).toarray() == values[[7, 2]].astype("f4")
    ).all()
    with pytest.raises(MatrixError, match=r"its shape is \[20, 30\], not \[20, 31\]"):
        DenseRows.of(values, (20, 31))
    with pytest.raises(MatrixError, match="its values are <U1, not numbers"):
        DenseRows.of(np.full((20, 30), "1"), (20, 30))
