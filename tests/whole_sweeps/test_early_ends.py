"""Sweeps that end before their budget: by Ctrl-C while Ray starts, by Ctrl-C twice, by the time budget."""

import shlex

import pytest

from stclip.config.strict_yaml import read_yaml
from tests.whole_sweeps.moments import Moment
from tests.whole_sweeps.sweep_runner import BOTH

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def space(runner):
    return runner.space("ends", BOTH, trials=6, epochs=2)


def test_ctrl_c_while_ray_starts_is_a_clean_stop(runner, space, hooks):
    """The signal reaches Ray's first processes too, as it does on a terminal."""
    while_ray_starts = Moment("ray._private.node:Node.start_head_processes", "interrupt", when="after")
    ended = runner.run(space, "early", environment=hooks.environment(while_ray_starts), code=1)
    summary = ended.summary()
    assert summary["status"] == "interrupted"
    assert [entry["best"] for entry in summary["families"].values()] == [None, None]


def test_ctrl_c_twice_stops_at_once_and_leaves_a_readable_folder(runner, space, hooks):
    """The first trial has ended, the second is running."""
    moments = (
        Moment("sweeps.search.family_search:FamilySearch.report", "interrupt", 3, "after"),
        Moment("sweeps.driver.stopping:StopSwitch.stop", "interrupt", 1, "after"),
    )
    environment = hooks.environment(*moments)
    ended = runner.run(space, "twice", "--max-concurrent", "1", environment=environment, code=130)
    way_on = f"go on     python sweeps/run.py --resume {shlex.quote(str(ended.folder))}"
    assert ended.err == f"\nstopped at once; what had finished is in the results folder\n{way_on}\n"
    assert not (ended.folder / "summary.json").exists()
    assert read_yaml(ended.folder / "sweep.yaml")["name"] == "twice"
    assert ended.states() == {"spatial": ["COMPLETE"], "clip": ["RUNNING"]}


@pytest.mark.parametrize(
    ("do", "status", "reason"),
    [
        ("lose raylet", "stopped", "Ray has ended: its process raylet was killed, or died"),
        ("lose gcs_server", "stopped", "Ray has ended: its process gcs_server was killed, or died"),
        ("terminate", "interrupted", "interrupted; stopping the running trials (once more: stop now)"),
    ],
)
def test_the_end_of_ray_is_a_stop_and_the_sweep_goes_on_later(runner, space, hooks, do, status, reason):
    """The first trial has ended; the second has started and does not end."""
    name = do.replace(" ", "-")
    moment = Moment("sweeps.driver.hang_watch:HangWatch.on_trial_start", do, 2, "after")
    flags = ("--max-concurrent", "1", "--max-failures", "0")
    environment = hooks.environment(moment, faults={"clip-0000": "hang"})
    process = runner.start(space, name, *flags, environment=environment)
    ended = runner.end(process, code=1)
    summary = ended.summary()
    assert (summary["status"], summary["stopped_because"]) == (status, reason)
    assert f"python sweeps/run.py --resume {ended.folder}" in ended.out.replace("\n", " ")
    assert "go on elsewhere" not in ended.out
    assert ended.states() == {"spatial": ["COMPLETE"], "clip": ["RUNNING"]}
    assert summary["families"]["spatial"]["best"]["name"] == "spatial-0000"
    if do != "lose raylet":  # all leave the same record behind
        return
    again = runner.end(runner.resume(ended.folder, f"{name}-again"), folder=ended.folder)
    assert again.summary()["status"] == "complete"
    assert {state for states in again.states().values() for state in states} == {"COMPLETE"}


def test_a_time_budget_stops_the_search_and_leaves_room_for_the_confirmation(runner, hooks):
    """Of 60 seconds, 4 for each trial, the search leaves 20 at least, and half at most."""
    space = runner.space("timed", BOTH, trials=5000, epochs=2)
    by_trials = ("tests/whole_sweeps/run_by_trials.py", str(runner.results / "timed"), "4.0")
    process = runner.start(
        space,
        "timed",
        "--confirm-configs",
        "1",
        "--confirm-seeds",
        "2",
        "--time-budget",
        "60s",
        command=by_trials,
    )
    ended = runner.end(process)
    summary = ended.summary()
    assert (summary["status"], summary["stopped_because"]) == ("interrupted", "the time budget is used up")
    assert [entry["confirm"]["seeds"] for entry in summary["families"].values()] == [2, 2]
    rows = ended.rows()
    assert 7 <= len(rows) <= 12  # 7.5 to 10, give or take those under way: as many on any machine
    assert "2 seeds x 1 slide" in summary["verdict"]
    # What was cut off is left as it was, to be taken up again.
    assert {row["state"] for row in rows} <= {"COMPLETE", "RUNNING"}
    for row in rows:  # a trial may also be cut off between its last epoch and the driver's hearing of it
        assert int(row["epochs"]) == 2 or row["state"] == "RUNNING"
    for family, entry in summary["families"].items():
        states = [row["state"] for row in rows if row["family"] == family]
        assert ended.states()[family] == states
        assert entry["trials"]["running"] == states.count("RUNNING")
    assert "the time budget is used up" in ended.out
    assert "interrupted after" in ended.report()
