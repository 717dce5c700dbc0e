"""Why a sweep ends early: the switch, the signals, and what must not reach Tune's pickles."""

import pickle
import threading

import pytest

from sweeps.driver.stopping import StopSwitch
from sweeps.search.driver_only import DriverOnly


class Reasons(list):
    """Collects the reasons a switch gives."""

    def __call__(self, reason):
        self.append(reason)


class Clock:
    """Seconds that pass only where a test says so."""

    def __init__(self):
        self.seconds = 100.0

    def __call__(self):
        return self.seconds


def test_without_a_budget_only_a_request_stops():
    said = Reasons()
    switch = StopSwitch(None, said)
    assert not switch.stop_all()
    assert switch.reason is None
    switch.stop("enough")
    switch.stop("too late to matter")
    assert switch.stop_all()
    assert switch.reason == "enough"
    assert said == ["enough"]


def test_the_time_budget_counts_from_the_switchs_making_and_is_said_once():
    said = Reasons()
    now = Clock()
    switch = StopSwitch(8.0, said, now)
    now.seconds += 7.99
    assert not switch.stop_all()
    now.seconds += 0.01
    assert switch.stop_all()
    assert switch.stop_all()
    assert said == ["the time budget is used up"]


def test_a_phase_ends_early_enough_for_the_next_which_has_the_rest():
    said = Reasons()
    now = Clock()
    switch = StopSwitch(100.0, said, now)
    kept = [30.0]
    switch.reserve = lambda: kept[0]
    now.seconds += 69.9
    assert not switch.stop_all()
    kept[0] = 31.0  # asked anew each time
    assert switch.stop_all() and switch.out_of_time
    switch.go_on()
    assert switch.reason is None and not switch.stop_all()
    now.seconds += 30.1
    assert switch.stop_all() and switch.out_of_time
    assert said == ["the time budget is used up"] * 2


def test_only_the_clock_is_out_of_time():
    switch = StopSwitch(None, Reasons())
    switch.stop("interrupted")
    assert not switch.out_of_time


def test_a_request_before_the_budget_ends_is_the_reason_that_counts():
    said = Reasons()
    now = Clock()
    switch = StopSwitch(8.0, said, now)
    switch.stop("interrupted")
    now.seconds += 100
    assert switch.stop_all()
    assert said == ["interrupted"]


def test_tune_stops_all_trials_by_the_switch_and_single_ones_never():
    from sweeps.driver.tune import SwitchStopper

    switch = StopSwitch(None, Reasons())
    stopper = SwitchStopper(switch)
    assert not stopper.stop_all()
    switch.stop("enough")
    assert stopper.stop_all()
    assert stopper("trial", {"val/R@10": 0.1}) is False
    assert vars(pickle.loads(pickle.dumps(stopper))) == {}


def test_who_is_told_may_change():
    first, second = Reasons(), Reasons()
    switch = StopSwitch(None, first)
    switch.on_stop = second
    switch.stop("enough")
    assert (first, second) == ([], ["enough"])


class Holder(DriverOnly):
    def __init__(self):
        self.lock = threading.Lock()  # cannot be pickled
        self.secret = "storage handle"


def test_driver_only_pickles_to_nothing():
    with pytest.raises(TypeError, match="pickle"):
        pickle.dumps(threading.Lock())
    text = pickle.dumps(Holder())
    assert b"storage handle" not in text
    assert vars(pickle.loads(text)) == {}
