"""One real sweep through the command line, as a user sees it: trained, killed, resumed, confirmed, reported.

It is the one test of the quick set that starts Ray.
"""

import json
import socket

import pytest

from tests.whole_sweeps.kept import finished, plain, trained_in
from tests.whole_sweeps.moments import Moment
from tests.whole_sweeps.sweep_runner import BOTH, rows_of

TRIALS, EPOCHS, SEEDS = 3, 2, 6


def test_a_sweep_is_trained_killed_resumed_confirmed_and_reported(runner, hooks):
    space = runner.space("flow", BOTH, TRIALS, EPOCHS)
    folder = runner.results / "flow"
    before_the_third_end_is_written = Moment("optuna.study:Study.tell", "kill", 3)
    process = runner.start(space, "flow", "--max-concurrent", "1", "--confirm-configs", "1", "--confirm-seeds", str(SEEDS),
                           environment=hooks.environment(before_the_third_end_is_written))  # fmt: skip
    assert runner.was_killed(process)
    before = finished(folder)
    assert before.keys() == {"spatial-0000", "clip-0000"}

    ended = runner.end(runner.resume(folder, "resumed"), folder)
    assert (ended.err, ended.left) == ("", [])
    assert {name: finished(folder)[name] for name in before} == before  # nothing lost, nothing changed
    assert not trained_in(folder)[2] & before.keys()  # and nothing trained again
    rows = ended.rows()
    assert [(row["family"], row["state"]) for row in rows] == [
        *[("clip", "COMPLETE")] * TRIALS,
        *[("spatial", "COMPLETE")] * TRIALS,
    ]
    confirmed = rows_of(folder / "confirm.csv")
    assert [row["state"] for row in confirmed] == ["COMPLETE"] * SEEDS * len(BOTH)

    summary = ended.summary()
    assert summary["status"] == "complete"
    assert [one["how"] for one in summary["interruptions"]] == [
        "the driver was killed, or its machine stopped"
    ]
    chance = summary["families"]["clip"]["best"]["test"]["chance_R@10"]
    for family, entry in summary["families"].items():
        assert entry["best"]["val"]["R@10"] == max(
            float(row["val/R@10"]) for row in rows if row["family"] == family
        )
        assert entry["best"]["test"]["R@10"] > chance  # it has learnt something
        assert (folder / "best" / family / "checkpoint.ckpt").is_file()
        one = summary["ranks"]["families"][family]
        assert one["ring_R@10"]["value"] == pytest.approx(entry["best"]["test"]["ring_R@10"])
        assert one["median_rank"]["value"] == pytest.approx(entry["best"]["test"]["median_rank"])
        assert one["ring_R@10"]["value"] > entry["best"]["test"]["R@10"]
    assert summary["ranks"]["baselines"].keys() == {"cca", "untrained"}
    assert "ring_R@1" in summary["ranks"]["baselines"]["cca"]
    check_compute(summary["compute"], rows, confirmed)
    assert "6 seeds x 1 slide" in summary["verdict"]
    (reading,) = summary["test_reads"]
    assert (reading["number"], reading["run"], reading["seeds"]) == (1, 2, SEEDS)
    assert reading["trials"] == dict.fromkeys(BOTH, TRIALS)
    assert sorted(name for names in reading["models"].values() for name in names) == sorted(
        row["name"] for row in confirmed
    )
    assert json.loads((folder / "test_reads.json").read_text()) == [reading]
    printed = " ".join(ended.out.split())
    assert "Sweep complete after" in printed and summary["verdict"] in printed
    assert summary["verdict"] in plain(ended.report())
    assert summary["verdict"].split(" on the test slides")[0] in (folder / "report.html").read_text()


def check_compute(found, rows, confirmed):
    """What every trial's process said of itself: one CPU each, as the default is, on this machine."""
    phases = (("search", rows), ("confirmation", confirmed))
    for phase, table in phases:
        seconds = [float(row["seconds"]) for row in table]
        peaks = [float(row["peak_memory_mb"]) for row in table]
        assert found[phase]["trials"] == len(table) and found[phase]["not_known"] == 0
        assert found[phase]["cpu_hours"] == pytest.approx(sum(seconds) / 3600, abs=1e-5)
        assert found[phase]["peak_memory_mb"] == max(peaks) and min(peaks) > 100  # PyTorch alone takes more
    (node,) = found["nodes"]
    assert (node["host"], node["trials"]) == (socket.gethostname(), len(rows) + len(confirmed))
    assert {row["host"] for row in [*rows, *confirmed]} == {node["host"]}
    for family, size in found["parameters"].items():
        assert {int(row["trained_parameters"]) for row in rows if row["family"] == family} == {
            size
        } and size > 100
