"""The log of a sweep's runs: one file a run, a sign of life whatever the driver waits for, nothing of a refused run."""

import errno
import json
import threading

import pytest

from sweeps.results import run_log
from sweeps.results.run_log import RunLog
from tests.sweeps.beats import Beats


@pytest.fixture
def beats():
    return Beats()


@pytest.fixture
def runs(tmp_path, beats):
    log = RunLog(tmp_path / "runs", wait=beats.wait)
    log.start("command", None, {"python": "3"})
    return log


def read(tmp_path, number=1):
    return json.loads((tmp_path / "runs" / f"{number:04d}.json").read_text())


def test_a_driver_that_waits_is_known_to_live(runs, beats, tmp_path, monkeypatch):
    now = ["2026-11-24T03:00:00+00:00"]
    monkeypatch.setattr(run_log, "_now", lambda: now[0])
    with runs.beating():
        beats.beat()
        assert read(tmp_path)["last_seen"] == now[0]
        now[0] = "2026-11-24T03:00:05+00:00"
        beats.beat()
        assert read(tmp_path)["last_seen"] == now[0]
        assert read(tmp_path)["status"] == "running"
        now[0] = "2026-11-24T03:00:09+00:00"
    assert not [thread for thread in threading.enumerate() if thread.name == "run-log"]
    assert read(tmp_path)["last_seen"] == "2026-11-24T03:00:05+00:00"


def test_a_full_disk_does_not_end_the_signs_of_life(runs, beats, tmp_path, monkeypatch):
    write, tries = run_log.write_below, []

    def full(folder, name, text):
        tries.append(name)
        if len(tries) < 3:
            raise OSError(errno.ENOSPC, "No space left on device")
        write(folder, name, text)

    monkeypatch.setattr(run_log, "write_below", full)
    now = "2026-11-24T03:00:00+00:00"
    monkeypatch.setattr(run_log, "_now", lambda: now)
    with runs.beating():
        for number in range(1, 4):
            assert read(tmp_path)["last_seen"] != now
            beats.beat()
            assert len(tries) == number
    assert read(tmp_path)["last_seen"] == now


def test_a_run_that_was_refused_is_none(runs, beats, tmp_path):
    with runs.beating():
        runs.withdraw()
        beats.beat()
    runs.end("stopped", "a fault")
    assert runs.entries() == [] and runs.interruptions() == []
    again = RunLog(tmp_path / "runs")
    assert again.start("command", None, {}) == 1
