"""Whole sweeps with a confirmation, on real Ray: what is trained, what reads the test slides, what is said."""

import csv
import json
import os
import shutil
import signal

import pytest

from stclip.config import Experiment
from stclip.configio import validate
from stclip.evaluate import evaluate
from stclip.strict_yaml import read_yaml
from sweeps.confirm import confirm_seed
from tests.sweeps.sweep_runner import CLIP, SPATIAL

pytestmark = pytest.mark.slow
SEEDS = 3


@pytest.fixture(scope="module")
def confirmed(runner):
    space = runner.space("confirmed", {"spatial": SPATIAL, "clip": CLIP}, trials=4, epochs=2)
    return runner.run(space, "confirmed", "--confirm-seeds", str(SEEDS), "--seed", "5")


def rows_of(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_each_winner_is_trained_again_with_the_same_fresh_seeds(confirmed):
    assert (confirmed.code, confirmed.err, confirmed.left) == (0, "", [])
    summary = confirmed.summary()
    rows = rows_of(confirmed.folder / "confirm.csv")
    for family, entry in summary["families"].items():
        own = [row for row in rows if row["family"] == family]
        assert [row["name"] for row in own] == [f"{entry['best']['name']}-confirm-{i}" for i in range(SEEDS)]
        assert [int(row["seed"]) for row in own] == [confirm_seed(5, i) for i in range(SEEDS)]
        assert {(row["state"], row["epochs"]) for row in own} == {("COMPLETE", "2")}
        assert {float(row["config_temperature"]) for row in own} == {
            entry["best"]["params"]["model.temperature"]
        }
        assert (entry["confirm"]["seeds"], entry["confirm"]["failed"]) == (SEEDS, [])
    assert "confirming: each family's best again with 3 fresh seeds" in confirmed.out


def test_only_the_confirmation_reads_the_test_slides(confirmed):
    assert not [name for row in confirmed.rows() for name in row if name.startswith("test/")]
    rows = rows_of(confirmed.folder / "test_slides.csv")
    count = {who: sum(row["who"] == who for row in rows) for who in ("spatial", "clip", "cca", "untrained")}
    assert count == {"spatial": SEEDS, "clip": SEEDS, "cca": 1, "untrained": SEEDS}  # of the one test slide


def test_what_was_read_is_what_the_checkpoints_give(confirmed):
    row = next(row for row in rows_of(confirmed.folder / "test_slides.csv") if row["who"] == "clip")
    [checkpoint] = (confirmed.folder / "ray").glob(f"*/{row['name']}/checkpoint_*/checkpoint.ckpt")
    config = validate(
        Experiment, read_yaml(confirmed.folder / "trials" / row["name"] / "config.yaml"), "test"
    )
    found = evaluate(config, checkpoint, "test")
    for name in ("R@1", "R@10", "median_rank"):
        assert float(row[name]) == pytest.approx(found.slides["E1"][name])
    untrained = next(r for r in rows_of(confirmed.folder / "test_slides.csv") if r["who"] == "untrained")
    assert int(untrained["seed"]) == confirm_seed(5, 0)


def test_the_summary_compares_and_the_report_says_so(confirmed):
    summary = confirmed.summary()
    pairs = [(c["a"], c["b"]) for c in summary["comparisons"]]
    assert pairs[0] == ("spatial", "clip") and len(pairs) == 5
    assert summary["verdict"].startswith(
        ("No difference shown between spatial and clip", "spatial retr", "clip retr")
    )
    assert "3 seeds x 1 slide of 1 donor" not in summary["verdict"]  # nothing is known of donors
    assert summary["verdict"] in " ".join(confirmed.out.split())
    assert "## Comparisons on the test slides" in confirmed.report()
    retrieval = json.loads((confirmed.folder / "retrieval.json").read_text())
    assert [one["slide"] for one in retrieval["maps"]] == ["E1"]
    assert len(retrieval["maps"][0]["image_to_gene"]) == 28
    for direction in ("image_to_gene", "gene_to_image"):
        for query in retrieval["examples"][direction]:
            hits = [answer["hit"] for answer in query["top"]]
            assert len(hits) == 5 and any(hits) == (query["rank"] <= 5)


def test_a_null_sweep_shows_no_difference(runner):
    """The same loss under two names, with as many trials and the same settings."""
    space = runner.space("null", {"one": CLIP, "two": CLIP}, trials=4, epochs=2)
    ended = runner.run(space, "null", "--confirm-seeds", "5")
    assert ended.code == 0
    assert ended.summary()["verdict"].startswith("No difference shown between one and two")


def test_a_patient_on_both_sides_is_warned_about(runner, shared_tiny_dataset):
    data = shutil.copytree(shared_tiny_dataset, runner.folder / "d", ignore=shutil.ignore_patterns(".store"))
    donors = {"T1": "p1", "T2": "p2", "T3": "p3", "T4": "p4", "V1": "p5", "E1": "p1"}
    (data / "donors.csv").write_text("slide,donor\n" + "".join(f"{s},{d}\n" for s, d in donors.items()))
    space = runner.space("donors", {"one": CLIP}, trials=1, epochs=1)
    ended = runner.run(space, "donors", "--confirm-seeds", "2", "--data", str(data))
    assert {row["donor"] for row in rows_of(ended.folder / "test_slides.csv")} == {"p1"}
    assert any(
        "1 of 1 test slides are of donors that also gave" in text for text in ended.summary()["warnings"]
    )
    assert "E1 \\(p1\\)" in ended.report() or "E1 (p1)" in ended.report()


def test_a_time_budget_leaves_room_for_the_confirmation(runner):
    """Of 60 seconds, 2 for each trial, the search leaves 20 at least, and half at most."""
    space = runner.space("timed", {"spatial": SPATIAL, "clip": CLIP}, trials=5000, epochs=2)
    ended = runner.run(space, "timed", "--confirm-seeds", "2", "--time-budget", "60s", seconds_per_trial=2.0)
    summary = ended.summary()
    assert (summary["status"], summary["stopped_because"]) == ("interrupted", "the time budget is used up")
    assert [entry["confirm"]["seeds"] for entry in summary["families"].values()] == [2, 2]
    assert 14 <= len(ended.rows()) <= 22  # 15 to 20, by how fast Ray started, give or take those under way
    assert "2 seeds x 1 slide" in summary["verdict"] and ended.code == 0


def test_a_confirmation_that_is_cut_off_goes_on(runner):
    space = runner.space("cut", {"spatial": SPATIAL, "clip": CLIP}, trials=2, epochs=2)
    process = runner.start(space, "cut", "--confirm-seeds", "10")
    runner.wait_for("confirm-1 COMPLETE", process, "cut")
    os.killpg(process.pid, signal.SIGINT)
    first = runner.end(process, "cut")
    assert first.summary()["status"] == "interrupted"
    done = {row["name"] for row in rows_of(first.folder / "confirm.csv") if row["state"] == "COMPLETE"}
    assert 1 < len(done) < 20
    process = runner.resume(first.folder, "cut2")
    process.wait()
    rows = rows_of(first.folder / "confirm.csv")
    assert {row["state"] for row in rows} == {"COMPLETE"} and len(rows) == 20
    assert first.summary()["status"] == "complete" and first.summary()["confirmation"]["seeds"] == 10
    assert not [name for name in done if f"{name} COMPLETE" in runner.output("cut2")]
