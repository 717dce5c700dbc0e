"""How long is left: what a sweep's start took is no pace."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sweeps.reporting.pace import Pace
from sweeps.reporting.standing import Effort, Snapshot
from tests.sweeps.made_up import record


def snapshot(left, *trials, before=(0, 0.0)):
    """`trials`: (epochs, seconds) of those that run; `before`: of those that have ended."""
    running = [replace(record(number=n), epochs=e, seconds=s) for n, (e, s) in enumerate(trials)]
    effort = Effort(before[0] + sum(e for e, _ in trials), before[1] + sum(s for _, s in trials), left)
    return Snapshot({}, [], running, 12, effort)


def test_a_first_epoch_that_has_the_start_in_it_says_nothing_unless_it_is_long():
    assert Pace().left(snapshot(24, (0, 0.0)), 500.0) is None
    assert started(Pace()).left(snapshot(23, (1, 9.0)), 200.0) is None
    assert started(Pace()).left(snapshot(23, (1, 3600.0)), 200.0) == pytest.approx(23 * 3600)


def started(pace):
    pace.left(snapshot(24, (0, 0.0), (0, 0.0)), 0.0)
    return pace


def test_starts_of_sweep_and_trial_are_no_pace():
    pace = started(Pace())
    pace.left(snapshot(22, (1, 20.0), (1, 20.0)), 200.0)
    # Two trials at once.
    assert pace.left(snapshot(20, (2, 20.5), (2, 20.5)), 200.1) == pytest.approx(20 * 0.5 / 2)
    # The clock sees more.
    assert pace.left(snapshot(18, (3, 21.0), (3, 21.0)), 203.0) == pytest.approx(18 * 3 / 4)


def test_epochs_of_earlier_runs_are_known_from_the_start_and_no_pace_of_this_one():
    pace = Pace()
    assert pace.left(snapshot(20, (0, 0.0), before=(100, 50.0)), 0.0) == pytest.approx(10.0)
    assert pace.left(snapshot(19, (1, 0.5), before=(100, 50.0)), 60.0) == pytest.approx(9.5)


def test_epochs_that_end_together_are_no_fast_pace():
    pace = started(Pace())
    pace.left(snapshot(88, *[(1, 30.0)] * 8), 100.0)
    pace.left(snapshot(87, (2, 40.0), *[(1, 30.0)] * 7), 110.0)
    assert pace.left(snapshot(80, *[(2, 40.0)] * 8), 110.1) == pytest.approx(80 * 10.1 / 8)


def test_the_last_trial_runs_alone():
    pace = started(Pace())
    pace.left(snapshot(88, *[(1, 30.0)] * 8), 100.0)
    pace.left(snapshot(80, *[(2, 40.0)] * 8), 110.0)
    assert pace.left(snapshot(6, (2, 40.0), before=(88, 900.0)), 212.5) == pytest.approx(60.0)


def test_nothing_is_left_when_all_is_done():
    assert Pace().left(snapshot(0, before=(24, 12.0)), 9.0) == 0.0
