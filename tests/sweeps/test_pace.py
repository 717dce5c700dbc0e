"""How long is left: what a sweep's start took is no pace."""

from __future__ import annotations

import pytest

from sweeps.pace import Pace
from sweeps.standing import Effort, Snapshot
from tests.sweeps.made_up import record


def snapshot(epochs, seconds, left, running=1):
    return Snapshot({}, [], [record(number=n) for n in range(running)], 12, Effort(epochs, seconds, left))


def test_nothing_is_known_before_the_first_epoch():
    assert Pace().left(snapshot(0, 0.0, 24.0), 500.0) is None


def test_a_start_of_200_seconds_does_not_count():
    pace = Pace()
    pace.left(snapshot(0, 0.0, 24.0, 2), 0.0)
    assert pace.left(snapshot(1, 0.5, 23.0, 2), 200.0) == pytest.approx(23 * 0.5 / 2)  # two trials at once
    assert pace.left(snapshot(5, 2.5, 19.0, 2), 203.0) == pytest.approx(
        19 * 3 / 4
    )  # by the clock, which sees more


def test_epochs_of_earlier_runs_are_known_from_the_start_and_no_pace_of_this_one():
    pace = Pace()
    assert pace.left(snapshot(100, 50.0, 20.0), 0.0) == pytest.approx(10.0)
    assert pace.left(snapshot(101, 50.5, 19.0), 60.0) == pytest.approx(9.5)


def test_epochs_that_end_together_are_no_fast_pace():
    pace = Pace()
    pace.left(snapshot(0, 0.0, 96.0, 8), 0.0)
    pace.left(snapshot(1, 10.0, 95.0, 8), 100.0)
    assert pace.left(snapshot(8, 80.0, 88.0, 8), 100.1) == pytest.approx(110.0)  # 11 rounds of 10 s


def test_the_last_trial_runs_alone():
    pace = Pace()
    pace.left(snapshot(0, 0.0, 96.0, 8), 0.0)
    pace.left(snapshot(8, 80.0, 88.0, 8), 10.0)
    assert pace.left(snapshot(90, 900.0, 6.0, 1), 112.5) == pytest.approx(60.0)


def test_nothing_is_left_when_all_is_done():
    assert Pace().left(snapshot(24, 12.0, 0.0, 0), 9.0) == 0.0
