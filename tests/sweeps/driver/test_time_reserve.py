"""What the search leaves its confirmation of a time budget."""

from dataclasses import replace

import pytest

from sweeps.driver.time_reserve import ConfirmReserve
from tests.sweeps.made_up import record
from tests.sweeps.searches import make_space

SPACE = make_space(trials=3)


class Plan:
    def __init__(self, time_budget, confirm_seeds=5, confirm_configs=1):
        self.space, self.time_budget = SPACE, time_budget
        self.confirm_seeds, self.configurations = confirm_seeds, confirm_configs


def reserve(plan, records, at_once=2):
    return ConfirmReserve(plan, at_once, []).seconds(records)


def test_the_search_leaves_the_confirmation_its_time():
    records = [replace(record(), epochs=2, seconds=8.0), replace(record(number=1), epochs=3, seconds=6.0)]
    # 4 and 2 s an epoch, so 9 s for a trial of 3; 10 trials, 2 at once, are 5 rounds; twice 10 s to start
    assert reserve(Plan(1000.0), records) == pytest.approx(20 + 5 * 9)
    assert reserve(Plan(60.0), records) == 30  # at most half
    assert reserve(Plan(1000.0), records, at_once=4) == pytest.approx(20 + 3 * 9)
    assert reserve(Plan(1000.0), [replace(record(), epochs=0, seconds=0.0)]) == 0
    assert reserve(Plan(1000.0, confirm_configs=3), records) == pytest.approx(20 + 15 * 9)
    assert reserve(Plan(1000.0, confirm_seeds=0), records) == 0
    assert reserve(Plan(None), records) == 0


def test_a_slow_start_of_the_search_is_allowed_to_the_confirmation_too():
    now = [100.0]
    before = [replace(record(), epochs=2, seconds=8.0)]
    own = ConfirmReserve(Plan(1000.0), 2, before, clock=lambda: now[0])
    now[0] = 125.0
    assert own.seconds(before) == pytest.approx(20 + 5 * 12)  # nothing of this run has come yet
    now[0] = 134.0  # the first epoch of this run took 4 s, so the processes 30
    after = [*before, replace(record(number=1), epochs=1, seconds=4.0)]
    assert own.seconds(after) == pytest.approx(60 + 5 * 12)
    now[0] = 500.0
    assert own.seconds(after) == pytest.approx(60 + 5 * 12)
