"""Sweeps that end otherwise: without a winner, by Ctrl-C, by the time budget."""

import os
import signal
import time
from pathlib import Path

import pytest

from stclip.strict_yaml import read_yaml
from tests.sweeps.sweep_runner import CLIP, PATIENCE, SPATIAL

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not Path("/proc/self/stat").exists(), reason="looks for processes left behind in /proc"
    ),
]

DOOMED = {
    "loss": {"name": "spatial"},
    "parameters": {"optimizer.lr": {"type": "choice", "values": [1e29, 1e30]}},
}


def test_a_family_without_a_winner_exits_with_1_and_says_why(runner):
    space = runner.space("doomed", {"doomed": DOOMED, "clip": CLIP}, trials=3, epochs=1)
    ended = runner.run(space, "doomed")
    assert ended.code == 1, ended.out + ended.err
    assert ended.left == []
    summary = ended.summary()
    assert summary["status"] == "complete"
    assert summary["families"]["clip"]["trials"]["complete"] == 3
    assert summary["families"]["clip"]["best"]["test"]["R@10"] > 0
    doomed = summary["families"]["doomed"]
    assert (doomed["best"], doomed["trials"]["failed"]) == (None, 3)
    assert (
        "most common reason (3 of 3 failures): FloatingPointError: the training loss became nan"
        in doomed["reason"]
    )
    assert "doomed has no winner: no trial gave a value (3 failed of 3)" in ended.report()
    assert "doomed: no winner: no trial gave a value (3 failed of 3)" in ended.out
    assert not (ended.folder / "best" / "doomed").exists()


def check_interrupted(ended):
    """A sweep that ended before its budget: a report of what is there, and trials that can be taken up again."""
    assert "Traceback" not in ended.out + ended.err
    summary, rows = ended.summary(), ended.rows()
    assert summary["status"] == "interrupted"
    assert "interrupted after" in ended.report()
    assert ended.code == (0 if all(e["best"] for e in summary["families"].values()) else 1)
    states = {family: [r["state"] for r in rows if r["family"] == family] for family in ("spatial", "clip")}
    assert ended.states() == states
    assert {row["state"] for row in rows} <= {"COMPLETE", "RUNNING"}  # cut-off trials are left as they were
    for row in rows:  # a trial may also be cut off between its last epoch and the driver's hearing of it
        assert int(row["epochs"]) == 30 or row["state"] == "RUNNING"
    for family, entry in summary["families"].items():
        assert entry["trials"]["running"] == states[family].count("RUNNING")


@pytest.fixture(scope="module")
def endless(runner):
    """Far more trials than any test waits for, of a second or two each."""
    return runner.space("endless", {"spatial": SPATIAL, "clip": CLIP}, trials=500, epochs=30)


def test_ctrl_c_stops_cleanly_and_reports_what_is_there(runner, endless):
    process = runner.start(endless, "once")
    runner.wait_for("COMPLETE", process, "once")
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to all processes of the foreground group
    ended = runner.end(process, "once")
    check_interrupted(ended)
    assert {"COMPLETE", "RUNNING"} == {row["state"] for row in ended.rows()}
    assert "interrupted; stopping the running trials" in ended.out
    assert "Sweep interrupted after" in ended.out
    assert ended.left == []


def test_ctrl_c_twice_stops_at_once_and_leaves_a_readable_folder(runner, endless):
    process = runner.start(endless, "twice")
    runner.wait_for("COMPLETE", process, "twice")
    os.killpg(process.pid, signal.SIGINT)
    runner.wait_for("interrupted; stopping", process, "twice")
    os.killpg(process.pid, signal.SIGINT)
    ended = runner.end(process, "twice", seconds=5)
    assert ended.code == 130, ended.out + ended.err
    assert "stopped at once" in ended.err
    assert "Traceback" not in ended.out + ended.err
    assert not (ended.folder / "summary.json").exists()
    assert read_yaml(ended.folder / "sweep.yaml")["name"] == "twice"
    states = {state for states in ended.states().values() for state in states}
    assert {"COMPLETE", "RUNNING"} <= states
    assert states <= {"COMPLETE", "RUNNING", "WAITING"}  # a first point waits until a trial takes it
    assert ended.rows()
    # Ray's agents look for their raylet now and then, and end by themselves within a minute or two of its death.
    assert [
        line for line in ended.left if not line.rstrip().endswith(("DashboardAgent", "RuntimeEnvAgent"))
    ] == []


def test_ctrl_c_while_ray_starts_is_a_clean_stop(runner, endless):
    process = runner.start(endless, "early")
    folder = runner.results / "early" / "sweep.yaml"
    until = time.monotonic() + PATIENCE
    while not folder.exists():  # it is written just before Ray starts
        assert process.poll() is None and time.monotonic() < until
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGINT)
    ended = runner.end(process, "early")
    assert ended.code == 1, ended.out + ended.err  # no family has a winner
    assert "Traceback" not in ended.out + ended.err
    assert ended.summary()["status"] == "interrupted"
    assert ended.left == []


def test_the_time_budget_stops_a_sweep_like_ctrl_c(runner, endless):
    ended = runner.run(endless, "budget", "--time-budget", "10s")
    check_interrupted(ended)
    assert "the time budget is used up" in ended.out
    assert ended.left == []
