"""What the log of a sweep's runs says afterwards: numbers, times, how each run ended; also of damaged files."""

import errno
import json
from types import SimpleNamespace

import pytest

from sweeps.results import run_log
from sweeps.results.run_log import Interruption, RunLog


@pytest.fixture
def log(tmp_path):
    return RunLog(tmp_path / "runs")


def write(log, tmp_path, number, **entry):
    (tmp_path / "runs").mkdir(exist_ok=True)
    (tmp_path / "runs" / f"{number:04d}.json").write_text(json.dumps(entry))


def test_a_run_has_the_number_after_the_last(log, tmp_path):
    for number in (2, 10):
        write(log, tmp_path, number, run=1, status="complete", seconds=1.5)
    (tmp_path / "runs" / "notes.json").write_text("{}")
    assert log.start("command", None, {}) == 11
    assert [entry["run"] for entry in log.entries()] == [2, 10, 11]  # the file's name counts


def test_interruptions_are_the_runs_that_had_something_left_to_do(log, tmp_path):
    write(log, tmp_path, 1, started="a", last_seen="b", status="running", reason=None, seconds=1.5)
    write(log, tmp_path, 2, started="c", last_seen="d", status="complete", reason=None, seconds=2)
    write(log, tmp_path, 3, started="e", last_seen="f", status="stopped", reason="a fault", seconds=None)
    write(log, tmp_path, 4, started="g", last_seen="h", status="interrupted", reason=None, seconds=4)
    write(log, tmp_path, 5, started="i", last_seen="j", status="running", reason=None, seconds=8)
    assert log.interruptions() == [
        Interruption("b", "the driver was killed, or its machine stopped", "c"),
        Interruption("f", "a fault", "g"),
        Interruption("h", "interrupted", "i"),
    ]
    assert log.seconds() == 15.5


@pytest.mark.parametrize("text", ["{", "[1]", "3", "[" * 100_000, "\xff"], ids=lambda text: text[:3])
def test_a_damaged_file_is_a_run_of_which_the_number_is_known(log, tmp_path, text):
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "0003.json").write_text(text, encoding="latin-1")
    write(log, tmp_path, 4, seconds="long", status="complete")
    damaged, other = log.entries()
    assert (damaged["run"], damaged["status"], damaged["seconds"]) == (3, "unknown", 0.0)
    assert damaged["reason"] == "not known: 0003.json is damaged"
    assert (other["run"], other["seconds"], other["started"]) == (4, 0.0, "unknown")


def test_values_of_another_kind_count_as_not_there(log, tmp_path):
    """The folder may be somebody else's."""
    odd = {
        "seconds": 10**400,
        "last_seen": 7,
        "started": None,
        "reason": ["x"],
        "pid": 10**30,
        "host": {},
        "versions": 1,
    }
    for number, seconds in enumerate((10**400, float("nan"), float("inf"), -1, True, 1e300), 1):
        write(log, tmp_path, number, **odd | {"seconds": seconds})
    known = {"seconds": 0.0, "last_seen": "unknown", "started": "unknown", "reason": None, "pid": None, "host": None,
             "versions": {}}  # fmt: skip
    entries = log.entries()
    assert [{key: entry[key] for key in known} for entry in entries] == [known] * 6
    assert log.seconds() == 0.0


@pytest.mark.parametrize("name", ["\u00b2", "\u0663", "9" * 200])
def test_a_name_that_is_no_runs_is_passed_over(log, tmp_path, name):
    """Python calls a superscript two a digit, and makes no number of it."""
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / f"{name}.json").write_text("{}")
    assert log.entries() == []
    assert log.start("command", None, {}) == 1


def test_seconds_are_those_since_the_start(tmp_path, monkeypatch):
    now = [100.0]
    monkeypatch.setattr(run_log, "time", SimpleNamespace(monotonic=lambda: now[0]))
    log = RunLog(tmp_path / "runs")
    now[0] = 200.0
    log.start("command", None, {})
    now[0] = 203.5
    log.end("complete", None)
    assert [entry["seconds"] for entry in log.entries()] == [3.5]


def test_the_end_is_written_in_place_where_a_second_file_has_no_room(log, tmp_path, monkeypatch):
    log.start("a command that is longer than what is said of the end", None, {"python": "3"})
    path = tmp_path / "runs" / "0001.json"
    path.write_text(path.read_text() + " " * 500)

    def full(folder, name, text):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(run_log, "write_below", full)
    log.end("stopped", "no space")
    (entry,) = log.entries()
    assert (entry["status"], entry["reason"]) == ("stopped", "no space")
    assert path.read_text().endswith("}\n")


def test_nothing_is_written_about_a_run_that_was_withdrawn(log, tmp_path):
    log.start("command", None, {})
    log.withdraw()
    log._write()  # a sign of life that was under way
    log.end("stopped", "a fault")
    assert list((tmp_path / "runs").iterdir()) == []
