"""Why a sweep ends early: the switch, the signals, and what must not reach Tune's pickles."""

import os
import pickle
import signal
import subprocess
import sys
import threading

import pytest

from stclip.config import PROJECT_ROOT
from sweeps.driver_only import DriverOnly
from sweeps.stopping import InterruptHandler, StopSwitch


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
    from sweeps.tuning import SwitchStopper

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


def test_signals_are_handled_before_ray_is_imported():
    """Ray reads the environment when it is imported, and a Ctrl-C during its start must be a clean one."""
    code = "import sys, sweeps.launch; assert 'ray' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], cwd=PROJECT_ROOT, check=True, timeout=300)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_asks_for_a_clean_stop_and_the_handlers_are_put_back(number):
    before = {n: signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)}
    said = Reasons()
    switch = StopSwitch(None, said)
    with InterruptHandler(switch):
        os.kill(os.getpid(), number)  # must not raise KeyboardInterrupt in the middle of Tune's loop
        assert switch.stop_all()
    assert len(said) == 1
    assert said[0].startswith("interrupted; stopping the running trials")
    assert {n: signal.getsignal(n) for n in before} == before


def test_the_handlers_are_put_back_after_an_exception():
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(RuntimeError, match="boom"), InterruptHandler(StopSwitch(None, Reasons())):
        raise RuntimeError("boom")
    assert signal.getsignal(signal.SIGINT) is before


TWICE = """
import os, signal, sys
from sweeps.stopping import InterruptHandler, StopSwitch
switch = StopSwitch({budget}, print)
switch.stop_all()
with InterruptHandler(switch):
    for _ in range({signals}):
        os.kill(os.getpid(), signal.{signal})
print("still here", switch.reason)
"""


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_the_second_signal_ends_the_process_at_once_with_130(name):
    code = TWICE.format(budget=None, signals=2, signal=name)
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=PROJECT_ROOT, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 130
    assert done.stderr.strip() == "stopped at once; what had finished is in the results folder"
    assert "still here" not in done.stdout


def test_in_another_thread_the_signals_are_left_alone():
    """Python sets signal handlers in the main thread only; a sweep in another one must still run."""
    found = []

    def work():
        with InterruptHandler(StopSwitch(None, Reasons())):
            found.append(signal.getsignal(signal.SIGINT))

    before = signal.getsignal(signal.SIGINT)
    thread = threading.Thread(target=work)
    thread.start()
    thread.join(timeout=300)
    assert found == [before]


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
