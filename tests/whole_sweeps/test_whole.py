"""Whole sweeps as a user starts them: a real Ray, real trials, the folder they leave, and no process left behind."""

import json
import math
from wsgiref.util import setup_testing_defaults

import numpy as np
import optuna_dashboard
import pytest

from stclip.config import Experiment
from stclip.config.load import validate
from stclip.config.strict_yaml import read_yaml
from stclip.evaluation.evaluate import evaluate, read_checkpoint
from stclip.evaluation.inference import load_model
from tests.readme_example import run_readme_example
from tests.whole_sweeps.sweep_runner import SPATIAL, TEMPERATURE

pytestmark = pytest.mark.slow

EPOCHS = 3
TRIALS = 12  # above the startup points of a family: the last ones follow TPE
NAMES = {f"{family}-{number:04d}" for family in ("spatial", "shaky") for number in range(TRIALS)}
# Half of the family's settings make the loss NaN.
SHAKY = {
    "loss": {"name": "clip"},
    "parameters": {
        "model.temperature": TEMPERATURE,
        "optimizer.lr": {"type": "choice", "values": [1e-3, 1e30]},
    },
}


@pytest.fixture(scope="module")
def space(runner):
    families = {"spatial": SPATIAL, "shaky": SHAKY}
    return runner.space("both", families, TRIALS, EPOCHS, {"first_rung": 1, "factor": 2})


@pytest.fixture(scope="module")
def hooks(make_hooks):
    return make_hooks()


@pytest.fixture(scope="module")
def whole(runner, space, hooks):
    """A sweep to its end, two trials at once; half of one family's settings make the loss NaN."""
    return runner.run(space, "whole", "--max-concurrent", "2", "--seed", "5", environment=hooks.environment())


def finite(row, prefix):
    return {name: float(text) for name, text in row.items() if name.startswith(prefix) and text}


def snapshot_of(folder):
    return {str(p): (p.stat().st_mtime_ns, p.stat().st_size) for p in sorted(folder.rglob("*"))}


def test_a_sweep_with_winners_exits_with_0_and_leaves_its_folder_and_no_process(whole):
    assert (whole.code, whole.left) == (0, [])
    names = {p.name for p in whole.folder.iterdir()}
    assert {
        "sweep.yaml",
        "trials.csv",
        "summary.json",
        "report.md",
        "report.html",
        "study.db",
        "best",
        "ray",
        "trials",
    } <= names
    assert not [name for name in names if name.startswith(".")]  # no draft of anything
    for family in ("spatial", "shaky"):
        assert {p.name for p in (whole.folder / "best" / family).iterdir()} == {
            "config.yaml",
            "checkpoint.ckpt",
        }
    assert "Sweep complete" in whole.out


def test_sweep_yaml_holds_everything_resolved(whole, shared_tiny_dataset):
    sweep = read_yaml(whole.folder / "sweep.yaml")
    assert sweep["command"].startswith("python sweeps/run.py --space ")
    assert (sweep["seed"], sweep["metric"], sweep["mode"]) == (5, "val/R@10", "max")
    assert sweep["budget"]["trials_per_family"] == TRIALS
    assert sweep["budget"]["epochs"] == EPOCHS
    assert sweep["budget"]["max_concurrent"] == 2
    assert sweep["data"]["dataset"] == str(shared_tiny_dataset)
    assert sweep["data"]["train"] == {"slides": 4, "spots": 117, "smallest_gallery": 20}
    assert sweep["space"]["families"].keys() == {"spatial", "shaky"}
    for family in ("spatial", "shaky"):
        validate(Experiment, sweep["experiments"][family], "sweep.yaml")
    assert {"python", "torch", "ray", "optuna"} <= sweep["versions"].keys()


def test_trials_csv_has_a_row_a_trial_with_parameters_metrics_and_end(whole):
    rows = whole.rows()
    promised = {"family", "trial", "state", "config_neighbor_alpha_scale", "config_temperature", "config_lr"}
    metrics = {f"val/{kind}R@{k}" for kind in ("", "chance_", "lift_", "ring_", "batch_") for k in (1, 5, 10)}
    assert (
        promised | metrics | {"val/median_rank", "train/neighbor_coverage", "seconds", "error"}
        <= rows[0].keys()
    )
    for family in ("spatial", "shaky"):
        own = [row for row in rows if row["family"] == family]
        assert [int(row["trial"]) for row in own] == list(range(TRIALS))  # an equal number for each
    for row in rows:
        assert row["state"] in {"COMPLETE", "PRUNED", "FAIL"}
        assert (int(row["epochs"]) == EPOCHS) == (row["state"] == "COMPLETE")
        assert row["state"] == "FAIL" or math.isfinite(float(row["val/R@10"]))
        assert bool(row["error"]) == (row["state"] == "FAIL")
        assert not finite(row, "test/")  # selection looks at val only
    assert {row["state"] for row in rows} == {"COMPLETE", "PRUNED", "FAIL"}  # else the test says too little


def test_the_studies_say_what_the_table_says(whole):
    rows = whole.rows()
    assert whole.states() == {
        family: [row["state"] for row in rows if row["family"] == family] for family in ("spatial", "shaky")
    }


def test_optuna_dashboard_opens_the_studies(whole):
    app = optuna_dashboard.wsgi(f"sqlite:///{whole.folder / 'study.db'}")
    studies = asked(app, "/api/studies")["study_summaries"]
    assert {study["study_name"]: study["directions"] for study in studies} == {
        "spatial": ["maximize"],
        "shaky": ["maximize"],
    }
    for study in studies:
        shown = asked(app, f"/api/studies/{study['study_id']}")
        assert [t["state"].upper() for t in shown["trials"]] == whole.states()[study["study_name"]]


def asked(app, path):
    """The JSON that a WSGI application answers to a GET."""
    environment, status = {"PATH_INFO": path}, []
    setup_testing_defaults(environment)
    body = b"".join(app(environment, lambda line, headers, error=None: status.append(line)))
    assert status == ["200 OK"]
    return json.loads(body)


def test_the_winner_is_the_complete_trial_with_the_best_val_metric(whole):
    summary = whole.summary()
    assert summary["status"] == "complete"
    for family in ("spatial", "shaky"):
        own = [row for row in whole.rows() if row["family"] == family]
        done = [row for row in own if row["state"] == "COMPLETE"]
        best = max(done, key=lambda row: (float(row["val/R@10"]), -int(row["trial"])))
        entry = summary["families"][family]
        assert entry["best"]["trial"] == int(best["trial"])
        assert {f"val/{k}": v for k, v in entry["best"]["val"].items()} == finite(best, "val/")
        assert entry["best"]["params"]["model.temperature"] == float(best["config_temperature"])
        counts = {s: sum(row["state"] == s for row in own) for s in ("COMPLETE", "PRUNED", "FAIL")}
        assert [entry["trials"][k] for k in ("complete", "pruned", "failed", "running", "budget")] == [
            counts["COMPLETE"], counts["PRUNED"], counts["FAIL"], 0, TRIALS]  # fmt: skip


def test_the_winners_val_metrics_are_those_of_its_checkpoint(whole):
    for family, entry in whole.summary()["families"].items():
        best = whole.folder / "best" / family
        config = validate(Experiment, read_yaml(best / "config.yaml"), "config.yaml")
        for key, value in entry["best"]["params"].items():
            section, _, name = key.rpartition(".")
            assert getattr(getattr(config, section), name) == value
        measured = evaluate(config, best / "checkpoint.ckpt", "val").metrics
        reported = {f"val/{k}": v for k, v in entry["best"]["val"].items()}
        assert {"val/R@1", "val/R@10", "val/lift_R@10", "val/median_rank"} <= reported.keys()
        assert reported == pytest.approx(measured)  # the checkpoint is that of the reported epoch
        assert read_checkpoint(best / "checkpoint.ckpt")["epoch"] == EPOCHS - 1


def test_the_winners_embed_new_tiles_and_sentences(whole):
    for family, entry in whole.summary()["families"].items():
        model = load_model(whole.folder / "best" / family)
        found = run_readme_example(whole.folder / "best" / family)
        spots = len(found["rows"])
        assert spots > 10 and (found["tiles"].shape, found["genes"].shape) == ((spots, 8), (spots, 8))
        both = np.concatenate([found["tiles"], found["genes"]])
        np.testing.assert_allclose(np.linalg.norm(both, axis=1), 1, rtol=1e-5)
        assert model.temperature == pytest.approx(entry["best"]["params"]["model.temperature"], rel=1e-4)


def test_the_baseline_stands_beside_the_families_in_summary_report_and_table(whole):
    summary = whole.summary()
    cca = summary["baselines"]["cca"]["val"]
    assert 0 <= cca["R@10"] <= 1
    assert cca["chance_R@10"] == pytest.approx(summary["families"]["spatial"]["best"]["val"]["chance_R@10"])
    assert summary["verdict"] in whole.report()
    for text in ("spatial", "shaky", "CCA baseline", "chance"):
        assert text in whole.report()
        assert text in whole.out


def test_without_a_confirmation_nobody_reads_the_test_slides(whole):
    summary = whole.summary()
    measured = [entry["best"] for entry in summary["families"].values()] + [*summary["baselines"].values()]
    assert [one["test"] for one in measured] == [{}] * 4  # of two families and two baselines
    assert len((whole.folder / "test_slides.csv").read_text().splitlines()) == 1  # its head
    assert json.loads((whole.folder / "retrieval.json").read_text()) == {}
    assert summary["verdict"].startswith(
        "No verdict: the test slides were not read (--confirm-seeds 0); best val"
    )


def test_a_failed_trial_is_reported_with_its_reason_and_ends_nothing(whole):
    failed = [row for row in whole.rows() if row["state"] == "FAIL"]
    assert {row["family"] for row in failed} == {"shaky"}
    shaky = [row for row in whole.rows() if row["family"] == "shaky"]
    assert {row["name"] for row in failed} == {r["name"] for r in shaky if float(r["config_lr"]) == 1e30}
    for row in failed:
        assert "FloatingPointError: the training loss became nan within epoch 1" in row["error"]
        assert (whole.folder / "trials" / row["name"] / "error.txt").read_text().startswith("Traceback")
    assert "the training loss became nan within epoch 1" in whole.report()


def test_the_same_name_again_is_refused_and_the_folder_untouched(runner, space, whole):
    before = snapshot_of(whole.folder)
    again = runner.run(space, "whole", "--max-concurrent", "2", "--seed", "5", code=2)
    assert again.out == ""
    assert again.err.count("\n") == 1
    assert again.err.startswith(f"error: results folder {whole.folder}: already holds a sweep; ")
    assert snapshot_of(whole.folder) == before


def test_a_process_bears_the_name_of_the_trial_that_it_runs(whole, hooks):
    titles = {name: (hooks.marks / f"title.{name}").read_bytes() for name in hooks.marked("title")}
    assert titles.keys() == NAMES
    assert {name: title.rstrip(b"\0").decode() for name, title in titles.items()} == {
        name: f"ray::{name}" for name in NAMES
    }


def test_each_trial_leaves_a_log_file_among_rays_logs(whole):
    logs = {path.stem: path.read_text() for path in whole.ray.glob("session_2*/logs/*-????.log")}
    assert logs.keys() == NAMES
    assert logs == {name: (whole.folder / "trials" / name / "trial.log").read_text() for name in NAMES}
    ends = {
        "COMPLETE": "complete\n",
        "PRUNED": "stopped by the sweep: pruned, or the whole sweep was stopped\n",
    }
    for row in whole.rows():
        text = logs[row["name"]]
        assert "starts: " in text
        if row["state"] == "FAIL":
            assert "Traceback (most recent call last)" in text
        else:
            assert f"epoch {row['epochs']}: val/R@10 0." in text
            assert text.endswith(ends[row["state"]])
