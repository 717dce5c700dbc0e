"""One driver a folder: known by its lock, and where no lock reaches, by the sign of life in its newest run."""

import json
import os
import socket
import subprocess
import sys
import time
from datetime import datetime, timedelta

import filelock
import pytest

from stclip.errors import InputError
from sweeps.results import driver_lock as folder_lock
from sweeps.results.driver_lock import LOCK, sole_driver
from sweeps.results.run_log import RunLog

NOW = datetime(2026, 11, 24, 3, 0, 0).astimezone()
TAKEN = "another process works on this sweep"


class Clock(datetime):
    """The time as the lock sees it."""

    @classmethod
    def now(cls, tz=None):
        return NOW


@pytest.fixture
def alive():
    """The number of a process that runs until the test is over."""
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    yield process.pid
    process.communicate(b"\n")


@pytest.fixture
def runs(tmp_path, monkeypatch):
    monkeypatch.setattr(folder_lock, "datetime", Clock)
    return RunLog(tmp_path / "runs")


def add_run(runs, seconds_ago=0.0, **entry):
    """A run of which `entry` says more; by itself: a driver of another machine that is alive."""
    number = runs.start("command", None, {})
    known = {"pid": 77, "host": "elsewhere", "last_seen": (NOW - timedelta(seconds=seconds_ago)).isoformat()}
    path = runs._folder / f"{number:04d}.json"
    path.write_text(json.dumps(runs.entries()[-1] | known | entry))


def enter(folder, runs, place=None):
    with sole_driver(folder, runs, place or str(folder)):
        pass


def test_a_folder_without_runs_is_free_and_free_again_afterwards(tmp_path, runs):
    enter(tmp_path, runs)
    with pytest.raises(RuntimeError, match="a fault") as fault, sole_driver(tmp_path, runs, str(tmp_path)):
        raise RuntimeError("a fault")
    enter(tmp_path, runs)
    assert fault.tb  # kept until here with its frames: it is not their end that lets go


def test_a_lock_that_is_held_refuses_another_driver_without_waiting(tmp_path, runs, monkeypatch):
    monkeypatch.setattr(time, "sleep", pytest.fail)
    add_run(runs, status="running", pid=42, host=socket.gethostname())
    told = (
        rf"results {tmp_path}: {TAKEN} \(process 42 on {socket.gethostname()}, last seen 2026-11-24T03:00:00"
    )
    with sole_driver(tmp_path, runs, str(tmp_path)), pytest.raises(InputError, match=told):
        enter(tmp_path, runs)


def test_a_holder_that_has_no_run_yet_is_told_of_without_its_process(tmp_path, runs):
    told = rf"{TAKEN}; wait for it or end it, then use --resume"
    with sole_driver(tmp_path, runs, str(tmp_path)), pytest.raises(InputError, match=told):
        enter(tmp_path, runs)


def test_the_lock_goes_with_a_killed_driver(tmp_path, runs):
    code = (
        "import os, sys; from pathlib import Path; from sweeps.results.driver_lock import sole_driver\n"
        "from sweeps.results.run_log import RunLog\n"
        "with sole_driver(Path(sys.argv[1]), RunLog(Path(sys.argv[1]) / 'runs'), sys.argv[1]): os.kill(os.getpid(), 9)"
    )
    killed = subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False)
    assert killed.returncode == -9 and (tmp_path / LOCK).exists()
    enter(tmp_path, runs)


# -- another machine


@pytest.mark.parametrize(
    ("silent", "alive"), [(0, True), (29.9, True), (30, False), (3600, False), (-3600, True), (-90000, False)]
)
def test_a_driver_of_another_machine_lives_while_it_was_seen_within_six_beats(tmp_path, runs, silent, alive):
    add_run(runs, seconds_ago=silent)
    if alive:
        with pytest.raises(InputError, match=rf"{TAKEN} \(process 77 on elsewhere, last seen "):
            enter(tmp_path, runs)
    else:
        enter(tmp_path, runs)


def test_a_folder_that_was_refused_is_not_kept_locked(tmp_path, runs):
    add_run(runs)
    with pytest.raises(InputError, match=TAKEN) as refusal:
        enter(tmp_path, runs)
    with filelock.FileLock(tmp_path / LOCK, timeout=0) as lock:
        assert lock.is_locked
    assert refusal.tb  # kept until here with its frames: it is not their end that lets go


@pytest.mark.parametrize(
    "over",
    [
        {"status": "complete"},
        {"status": "interrupted"},
        {"host": None},
        {"last_seen": "unknown"},
        {"last_seen": "2026-11-24T03:00:00"},
        {"last_seen": "0001-01-01T00:00:00+23:59"},
        {"last_seen": None},
    ],
)
def test_a_run_that_has_ended_or_says_too_little_holds_nothing(tmp_path, runs, over):
    add_run(runs, **over)
    enter(tmp_path, runs)


def test_only_the_newest_run_counts(tmp_path, runs):
    add_run(runs)
    add_run(runs, status="complete")
    enter(tmp_path, runs)
    add_run(runs)
    with pytest.raises(InputError, match=TAKEN):
        enter(tmp_path, runs)


# -- this machine


def test_the_lock_alone_decides_about_a_folder_on_this_machine(tmp_path, runs, alive):
    add_run(runs, host=socket.gethostname(), pid=alive)  # it does not hold the lock
    enter(tmp_path, runs)


def test_results_at_an_address_are_held_by_another_process_of_this_machine(tmp_path, runs, alive):
    add_run(runs, host=socket.gethostname(), pid=alive)
    with pytest.raises(InputError, match=rf"results s3://bucket/a: {TAKEN} \(process {alive} on"):
        enter(tmp_path, runs, "s3://bucket/a")
    add_run(runs, host=socket.gethostname(), pid=alive, seconds_ago=30)  # the number may be another's by now
    enter(tmp_path, runs, "s3://bucket/a")


@pytest.mark.parametrize("pid", ["own", 0, None, "text"])
def test_they_are_not_held_by_this_process_or_by_none(tmp_path, runs, pid):
    add_run(runs, host=socket.gethostname(), pid=os.getpid() if pid == "own" else pid)
    enter(tmp_path, runs, "s3://bucket/a")


def test_a_process_of_somebody_else_counts(tmp_path, runs, alive, monkeypatch):
    def kill(pid, signal):
        raise PermissionError

    monkeypatch.setattr(os, "kill", kill)
    add_run(runs, host=socket.gethostname(), pid=alive)
    with pytest.raises(InputError, match=TAKEN):
        enter(tmp_path, runs, "s3://bucket/a")


def test_without_locks_the_sign_of_life_decides(tmp_path, runs, monkeypatch):
    def acquire(self, *_, **__):
        raise NotImplementedError

    monkeypatch.setattr(filelock.FileLock, "acquire", acquire)
    enter(tmp_path, runs)
    add_run(runs)
    with pytest.raises(InputError, match=TAKEN):
        enter(tmp_path, runs)
