"""The log of a sweep's runs: one file a run, a sign of life whatever the driver waits for, nothing of a refused run."""

import errno
import json
import time

import pytest

from sweeps import run_log
from sweeps.run_log import RunLog


@pytest.fixture
def runs(tmp_path, monkeypatch):
    monkeypatch.setattr(run_log, "BEAT_SECONDS", 0.02)
    log = RunLog(tmp_path / "runs")
    log.start("command", None, {"python": "3"})
    return log


def read(tmp_path, number=1):
    return json.loads((tmp_path / "runs" / f"{number:04d}.json").read_text())


def wait_for(condition):
    until = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.01)


def test_a_driver_that_waits_is_known_to_live(runs, tmp_path, monkeypatch):
    now = ["2026-11-24T03:00:00+00:00"]
    monkeypatch.setattr(run_log, "_now", lambda: now[0])
    with runs.beating():
        wait_for(lambda: read(tmp_path)["last_seen"] == now[0])
        now[0] = "2026-11-24T03:00:05+00:00"
        wait_for(lambda: read(tmp_path)["last_seen"] == now[0])
        assert read(tmp_path)["status"] == "running"
    now[0] = "2026-11-24T04:00:00+00:00"
    time.sleep(0.1)
    assert read(tmp_path)["last_seen"] == "2026-11-24T03:00:05+00:00"


def test_a_full_disk_does_not_end_the_signs_of_life(runs, tmp_path, monkeypatch):
    write, tries = run_log.write_atomic, []

    def full(path, text):
        tries.append(path)
        if len(tries) < 3:
            raise OSError(errno.ENOSPC, "No space left on device")
        write(path, text)

    before = read(tmp_path)
    monkeypatch.setattr(run_log, "write_atomic", full)
    with runs.beating():
        wait_for(lambda: len(tries) > 3)
    assert read(tmp_path)["seconds"] >= before["seconds"]


def test_a_run_that_was_refused_is_none(runs, tmp_path):
    with runs.beating():
        runs.withdraw()
        time.sleep(0.1)
    runs.end("stopped", "a fault")
    assert runs.entries() == [] and runs.interruptions() == []
    again = RunLog(tmp_path / "runs")
    assert again.start("command", None, {}) == 1
