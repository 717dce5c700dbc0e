"""Spots of two files are joined by barcodes that the files write in different ways."""

import pytest

from stclip.data.raw.barcodes import matched
from stclip.errors import DataError


@pytest.mark.parametrize(
    ("one", "other"),
    [("010x014", "10x14"), ("0x00", "0x0"), ("AAACAAGTATCTCCCA-1", "AAACAAGTATCTCCCA"), (" 10x14", "10x14")],
)
def test_two_ways_to_write_one(one, other):
    rows, tiles = matched([one], [other], "S", "S.h5ad", "S.h5")
    assert (rows.tolist(), tiles.tolist()) == ([0], [0])


@pytest.mark.parametrize(
    ("one", "other"), [("10x14", "14x10"), ("AAACAAGTATCTCCCA-1", "AAACAAGTATCTCCCC-1"), ("cell-1", "cell-2")]
)
def test_two_that_are_not_one(one, other):
    with pytest.raises(DataError, match="no barcode in common"):
        matched([one], [other], "S", "S.h5ad", "S.h5")


def test_aggregated_samples_differ_in_the_end_alone():
    sequence = "AAACAAGTATCTCCCA"
    rows, tiles = matched(
        [f"{sequence}-1", f"{sequence}-2"], [f"{sequence}-2", f"{sequence}-1"], "S", "a", "b"
    )
    assert (rows.tolist(), tiles.tolist()) == ([1, 0], [0, 1])
    with pytest.raises(DataError, match=f"a: two spots have one barcode: '{sequence}-1' and '{sequence}-2'"):
        matched([f"{sequence}-1", f"{sequence}-2"], [sequence], "S", "a", "b")


def test_places_follow_the_tiles():
    rows, tiles = matched(["1x1", "2x2", "3x3"], ["03x03", "4x4", "01x01"], "S", "S.h5ad", "S.h5")
    assert (rows.tolist(), tiles.tolist()) == ([2, 0], [0, 2])


def test_nothing_in_common_shows_three_of_each():
    rule = r"slide 'S': S.h5ad and S.h5 have no barcode in common: a, b, c against e, f, g; take both files from the same slide"
    with pytest.raises(DataError, match=rule):
        matched(list("abcd"), list("efgh"), "S", "S.h5ad", "S.h5")


def test_a_barcode_twice_is_named():
    with pytest.raises(
        DataError, match="slide 'S': S.h5: two spots have one barcode: '1x1' and '01x01'; give every"
    ):
        matched(["1x1"], ["1x1", "01x01"], "S", "S.h5ad", "S.h5")
