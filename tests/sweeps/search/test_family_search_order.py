"""The same command gives the same table: at any concurrency, in any order of ends, and whatever kills the driver."""

from __future__ import annotations

import random
from collections import Counter

import optuna
import pytest

from sweeps.search.space import EarlyStopping
from tests.sweeps.fragile import play
from tests.sweeps.searches import make_space

optuna.logging.set_verbosity(optuna.logging.WARNING)

SPACES = {
    "stopped early": make_space(trials=16, epochs=5, rule=EarlyStopping(first_rung=1, factor=2), lag=3),
    "not stopped": make_space(trials=14, epochs=3, lag=2),
}
ORDERS = 4


@pytest.fixture(scope="module")
def one_by_one():
    """Both searches, one trial at a time and without a kill."""
    return {name: play(space, 1, random.Random(0)) for name, space in SPACES.items()}


def test_what_the_others_are_compared_with_has_every_kind_of_end(one_by_one):
    found = one_by_one["stopped early"]
    states = Counter(row["state"] for row in found.table)
    assert min(states["COMPLETE"], states["PRUNED"], states["FAIL"]) >= 4
    assert (states.total(), found.waits, found.kills) == (32, 0, 0)


@pytest.mark.parametrize("name", SPACES)
@pytest.mark.parametrize("at_once", [2, 3, 5])
def test_the_table_is_the_same_in_any_order_of_ends(one_by_one, name, at_once):
    expected = one_by_one[name]
    found = [play(SPACES[name], at_once, random.Random(order)) for order in range(ORDERS)]
    assert [one.table for one in found] == [expected.table] * ORDERS
    assert len({tuple(one.ends) for one in [*found, expected]}) == ORDERS + 1


@pytest.mark.parametrize("name", SPACES)
@pytest.mark.parametrize("at_once", [1, 2, 3, 5])
def test_the_table_is_the_same_wherever_the_driver_is_killed(one_by_one, name, at_once):
    found = [
        play(SPACES[name], at_once, random.Random(order), writes_between_kills=40) for order in range(ORDERS)
    ]
    assert [one.table for one in found] == [one_by_one[name].table] * ORDERS
    assert min(one.kills for one in found) >= 10


def test_a_slot_that_nothing_is_ready_for_is_left_free(one_by_one):
    # Two families with a lag of three have six trials at once.
    found = play(SPACES["stopped early"], 9, random.Random(1))
    assert found.waits > 0
    assert found.table == one_by_one["stopped early"].table


def test_a_driver_that_is_killed_at_every_few_writes_still_gives_the_same_table():
    space = make_space(trials=3, epochs=2, rule=EarlyStopping(first_rung=1, factor=2), lag=2)
    expected = play(space, 1, random.Random(0)).table
    found = [play(space, 3, random.Random(at), writes_between_kills=2) for at in range(10)]
    assert [one.table for one in found] == [expected] * 10
    assert {one.kills for one in found} == {20}
