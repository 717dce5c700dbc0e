"""Counts to sentences, against the obvious way: sort everything."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_matrix

from stclip.data.raw.expression import check_counts, gene_sentences
from stclip.errors import DataError

SYMBOLS = tuple("ABCDEFGH")


def by_sorting(row, top):
    expressed = [(-count, symbol) for count, symbol in zip(row, SYMBOLS, strict=True) if count > 0]
    return [symbol for _, symbol in sorted(expressed)][:top]


@settings(deadline=None)
@given(
    st.lists(st.lists(st.integers(0, 4), min_size=8, max_size=8), min_size=1, max_size=6), st.integers(1, 9)
)
def test_sentences_are_what_sorting_gives(counts, top):
    found = gene_sentences(csr_matrix(np.array(counts, np.float32)), SYMBOLS, top)
    assert found == [by_sorting(row, top) for row in counts]


def test_zeros_that_are_stored_are_no_expression():
    counts = csr_matrix((np.array([0.0, 2.0], np.float32), ([0, 0], [0, 3])), shape=(1, 8))
    assert gene_sentences(counts, SYMBOLS, 5) == [["D"]]


@given(st.lists(st.integers(0, 50), min_size=8, max_size=8))
def test_normalisation_would_not_change_the_order(counts):
    """By library size and log1p, which keep the order within a spot."""
    row = np.array(counts, np.float64)
    normalised = np.log1p(1e4 * row / max(row.sum(), 1))
    assert gene_sentences(csr_matrix(row[None].astype(np.float32)), SYMBOLS, 8) == [by_sorting(normalised, 8)]


@pytest.mark.parametrize(
    ("value", "rule"),
    [
        (np.nan, "counts must be finite, got nan"),
        (np.inf, "counts must be finite, got inf"),
        (-1.0, "counts must not be negative, got -1"),
        (1.386, "counts must be whole numbers, got 1.386"),
    ],
)
def test_what_is_no_count_names_its_spot_and_gene(value, rule):
    counts = csr_matrix(np.array([[1, 2, 0], [0, 3, 0], [4, value, 5]], np.float32))
    with pytest.raises(
        DataError,
        match=rf"S.h5ad: {rule} for gene 'B' of spot 's3' \(1 such in these 3 spots\); store raw counts",
    ):
        check_counts(counts, ["s1", "s2", "s3"], SYMBOLS[:3], "S.h5ad", "store raw counts in X")


def test_whole_numbers_are_counts():
    check_counts(csr_matrix(np.array([[1, 2**20, 0]], np.float32)), ["s"], SYMBOLS[:3], "S.h5ad", "-")
