"""Rungs that come too late are refused, and those of a space follow `--epochs`."""

from __future__ import annotations

from fractions import Fraction
from itertools import product

import pytest

from sweeps.search.rung_places import (
    is_of_use,
    moved_first_rung,
    nearest_first_rung,
    rungs_before_the_end,
    what_is_wrong,
)


@pytest.mark.parametrize(
    ("first_rung", "factor", "epochs", "rungs"),
    [
        (4, 3, 12, [4]),
        (4, 3, 13, [4, 12]),
        (4, 3, 40, [4, 12, 36]),
        (1, 2, 1, []),
        (5, 2, 5, []),
        (9, 2, 5, []),
    ],
)
def test_nothing_is_decided_at_the_end(first_rung, factor, epochs, rungs):
    assert rungs_before_the_end(first_rung, factor, epochs) == rungs


@pytest.mark.parametrize(
    ("epochs", "words"),
    [
        (12, None),  # rung 4
        (16, None),  # rungs 4 and 12, at exactly 3/4
        (15, "got rung 12 of 15 epochs (first_rung 4, factor 3): a trial that is stopped there saves next to nothing; "
             "write first_rung: 5 or epochs: 16"),
        (40, "got rung 36 of 40 epochs (first_rung 4, factor 3): a trial that is stopped there saves next to nothing; "
             "write first_rung: 5 or epochs: 36"),
        (3, None),  # no rung before the end
    ],
)  # fmt: skip
def test_a_last_rung_after_three_quarters_is_refused_with_the_nearest_that_are_fine(epochs, words):
    found = what_is_wrong(4, 3, epochs)
    rule = "the last rung of early stopping must lie at 3/4 of `epochs` or before, "
    assert found == (None if words is None else rule + words)


@pytest.mark.parametrize(
    ("epochs", "first_rung"), [(12, 4), (3, 1), (6, 2), (24, 8), (40, 14), (10, 4), (1, 1), (120, 40)]
)
def test_rungs_keep_their_share_of_the_training(epochs, first_rung):
    """A third of it; at 40 epochs 13 would do too but for its second rung, 39."""
    assert moved_first_rung(4, 3, 12, epochs) == first_rung


def test_a_rule_that_never_stops_anything_goes_on_so():
    assert [moved_first_rung(20, 3, 12, epochs) for epochs in (1, 6, 30)] == [1, 10, 50]


def test_the_first_rung_is_the_nearest_of_those_that_are_fine():
    for factor, epochs in product((2, 3, 5), range(2, 40)):
        for tenths in range(1, 10 * epochs):
            wanted = Fraction(tenths, 10)
            found = nearest_first_rung(wanted, factor, epochs)
            fine = [rung for rung in range(1, epochs) if is_of_use(rung, factor, epochs)]
            assert found in fine
            assert abs(found - wanted) == min(abs(rung - wanted) for rung in fine)
