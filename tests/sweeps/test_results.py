"""The results folder: what its files hold, and that they are whole or absent."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

from stclip.errors import InputError
from sweeps import results, versions
from sweeps.records import TrialRecord
from sweeps.results import ResultsFolder, config_columns, plain, write_atomic
from sweeps.summary import build_summary, lift
from sweeps.versions import collect_versions


def record(family="spatial", number=0, state="COMPLETE", params=None, metrics=None, error=None):
    return TrialRecord(
        family=family,
        number=number,
        name=f"{family}-{number:04d}",
        state=state,
        params={"model.temperature": 0.07} if params is None else params,
        metrics={} if metrics is None else metrics,
        epochs=20,
        seconds=11.25,
        error=error,
        seed=number + 100,
    )


def scores(r10, chance=0.05, split="val"):
    return {f"{split}/R@10": r10, f"{split}/chance_R@10": chance}


def summary(records, budgets, tests=None, baselines=None, metric="val/R@10", mode="max"):
    return build_summary(
        records, budgets, metric, mode, tests or {}, baselines or {}, "complete", 61.26, {"torch": "2.13.0"}
    )


# -- the folder


def test_create_makes_the_folder_with_its_sweep_yaml_and_nothing_else(tmp_path):
    folder = ResultsFolder(tmp_path / "results" / "a")
    folder.create({"name": "a", "where": Path("x/y"), "betas": (0.9, 0.98)})
    assert [p.name for p in folder.path.iterdir()] == ["sweep.yaml"]
    assert [p.name for p in folder.path.parent.iterdir()] == ["a"]
    assert folder.read_sweep() == {"name": "a", "where": "x/y", "betas": [0.9, 0.98]}


def test_create_uses_an_empty_folder_that_is_there(tmp_path):
    ResultsFolder(tmp_path).create({"name": "b"})
    tree = yaml.safe_load((tmp_path / "sweep.yaml").read_text())
    assert tree["name"] == "b" and set(tree) == {"name", "digest"}


def test_create_refuses_a_folder_that_holds_another_sweep(tmp_path):
    folder = ResultsFolder(tmp_path / "a")
    folder.create({"name": "first"})
    with pytest.raises(
        InputError, match=r"a: already holds an unfinished sweep; go on with it by: python sweeps/run"
    ):
        folder.create({"name": "second"})
    folder.write_summary({"status": "complete"})
    with pytest.raises(InputError, match=r"a: already holds a sweep; choose another name with --name"):
        folder.create({"name": "second"})
    assert folder.read_sweep() == {"name": "first"}
    assert [p.name for p in tmp_path.iterdir()] == ["a"]


def test_create_refuses_a_folder_with_other_files_and_a_file(tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").write_text("keep me")
    with pytest.raises(InputError, match="is not empty and holds no sweep"):
        ResultsFolder(tmp_path / "full").create({})
    with pytest.raises(InputError, match="is a file"):
        ResultsFolder(tmp_path / "full" / "thesis.txt").create({})
    assert [p.name for p in (tmp_path / "full").iterdir()] == ["thesis.txt"]


def test_create_refuses_a_place_that_cannot_be_written_to(tmp_path):
    (tmp_path / "file").write_text("")
    for path, reason in ((tmp_path / "file" / "a", "file is a file"), (Path("/proc/stclip/a"), ".+")):
        folder = ResultsFolder(path)
        with pytest.raises(
            InputError, match=rf"cannot be written \(.*{reason}\); choose a writable place with --results"
        ):
            folder.create({})


def test_check_free_finds_a_place_without_permission_and_makes_nothing(tmp_path, monkeypatch):
    folder = ResultsFolder(tmp_path / "b" / "a")
    folder.check_free()
    monkeypatch.setattr(results.os, "access", lambda path, mode: not mode & results.os.W_OK)
    with pytest.raises(InputError, match=rf"no permission to write in {tmp_path}\)"):
        folder.check_free()
    assert not list(tmp_path.iterdir())


def test_a_sweep_that_loses_the_race_for_a_name_is_refused(tmp_path, monkeypatch):
    folder = ResultsFolder(tmp_path / "a")
    write = results.sealed_text

    def another_sweep_is_faster(sweep):
        if sweep["name"] == "slow":
            folder.create({"name": "fast"})
        return write(sweep)

    monkeypatch.setattr(results, "sealed_text", another_sweep_is_faster)
    with pytest.raises(InputError, match="already holds an unfinished sweep"):
        folder.create({"name": "slow"})
    assert folder.read_sweep() == {"name": "fast"}
    assert [p.name for p in tmp_path.iterdir()] == ["a"]


def test_a_crash_while_writing_leaves_the_old_file_and_no_rubbish(tmp_path, monkeypatch):
    path = tmp_path / "summary.json"
    write_atomic(path, "old")

    def crash(descriptor):
        raise OSError("no space left on device")

    monkeypatch.setattr(results.os, "fsync", crash)
    with pytest.raises(OSError, match="no space left"):
        write_atomic(path, "new")
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["summary.json"]


def test_best_dir_refuses_a_family_that_would_leave_the_folder(tmp_path):
    folder = ResultsFolder(tmp_path)
    assert folder.best_dir("spatial") == tmp_path / "best" / "spatial"
    for family in ("../clip", "a/b", "..", ""):
        with pytest.raises(InputError, match="cannot name a folder"):
            folder.best_dir(family)


def test_reading_a_folder_that_is_no_sweep_says_so(tmp_path):
    folder = ResultsFolder(tmp_path)
    with pytest.raises(InputError, match=r"it has no sweep\.yaml"):
        folder.read_sweep()
    with pytest.raises(InputError, match=r"no summary\.json"):
        folder.read_summary()
    (tmp_path / "summary.json").write_text("{")
    with pytest.raises(InputError, match="cannot be read"):
        folder.read_summary()
    assert folder.read_trials() == []


# -- trials.csv


def test_trials_csv_has_a_row_per_trial_in_order(tmp_path):
    folder = ResultsFolder(tmp_path)
    folder.write_trials_csv(
        [
            record(number=1, state="FAIL", error="Traceback\n  ValueError: loss is NaN, at step 3"),
            record(number=0, params={"loss.neighbor_alpha_scale": 0.5, "lr": 1e-3}, metrics=scores(0.25)),
            record("clip", number=4, state="PRUNED", params={"data.batching": "random"}),
        ]
    )
    with folder.trials_csv.open(newline="") as file:
        header = next(csv.reader(file))
    assert header == [
        "family", "trial", "name", "state",
        "config_temperature", "config_neighbor_alpha_scale", "config_lr", "config_batching",
        "val/R@10", "val/chance_R@10", "epochs", "seconds", "seed", "error",
    ]  # fmt: skip
    rows = folder.read_trials()
    assert [(r["family"], r["trial"], r["state"]) for r in rows] == [
        ("clip", "4", "PRUNED"),
        ("spatial", "0", "COMPLETE"),
        ("spatial", "1", "FAIL"),
    ]
    assert rows[0]["config_batching"] == "random" and rows[0]["val/R@10"] == ""
    assert float(rows[1]["config_neighbor_alpha_scale"]) == 0.5 and float(rows[1]["val/R@10"]) == 0.25
    assert rows[2]["error"] == "Traceback ValueError: loss is NaN, at step 3"
    assert rows[2]["seed"] == "101" and rows[2]["seconds"] == "11.250" and rows[2]["epochs"] == "20"


def test_trials_csv_has_its_columns_before_the_first_trial(tmp_path):
    folder = ResultsFolder(tmp_path)
    folder.write_trials_csv([], ["model.temperature", "optimizer.lr"])
    header = folder.trials_csv.read_text().strip().split(",")
    assert {"family", "trial", "state", "config_temperature", "config_lr"} <= set(header)


def test_a_last_component_that_two_parameters_share_keeps_the_dotted_key():
    assert config_columns(["model.image.dropout", "model.genes.dropout", "optimizer.lr", "optimizer.lr"]) == {
        "model.image.dropout": "config_model.image.dropout",
        "model.genes.dropout": "config_model.genes.dropout",
        "optimizer.lr": "config_lr",
    }


# -- summary.json


def test_summary_names_each_familys_winner(tmp_path):
    records = [
        record(number=0, metrics=scores(0.20)),
        record(number=1, metrics=scores(0.30), params={"loss.neighbor_alpha_scale": 2.0}),
        record(number=2, metrics=scores(0.90), state="PRUNED"),
        record(number=3, metrics={}, state="RUNNING"),
        record("clip", number=0, metrics=scores(0.25)),
    ]
    tests = {"spatial": {**scores(0.28, split="test"), "val/R@10": 0.30}}
    made = summary(records, {"spatial": 20, "clip": 10}, tests, {"cca": {"val": {"R@10": 0.1}, "test": {}}})
    ResultsFolder(tmp_path).write_summary(made)
    read = ResultsFolder(tmp_path).read_summary()
    spatial = read["families"]["spatial"]
    assert spatial["trials"] == {"budget": 20, "complete": 2, "pruned": 1, "failed": 0, "running": 1}
    assert spatial["best"]["trial"] == 1 and spatial["best"]["params"] == {"loss.neighbor_alpha_scale": 2.0}
    assert spatial["best"]["val"] == {"R@10": 0.30, "chance_R@10": 0.05}
    assert spatial["best"]["test"] == {"R@10": 0.28, "chance_R@10": 0.05}
    assert read["families"]["clip"]["best"]["test"] == {}
    assert read["baselines"] == {"cca": {"val": {"R@10": 0.1}, "test": {}}}
    assert (read["status"], read["metric"], read["mode"], read["seconds"]) == (
        "complete",
        "val/R@10",
        "max",
        61.3,
    )
    assert read["versions"] == {"torch": "2.13.0"} and read["verdict"]


def test_summary_json_is_strict_json(tmp_path):
    folder = ResultsFolder(tmp_path)
    metrics = {
        **scores(0.3),
        "val/loss": float("nan"),
        "val/median_rank": np.float32(2.5),
        "val/x": float("inf"),
    }
    folder.write_summary(summary([record(metrics=metrics)], {"spatial": 1}))

    def refuse(constant):
        raise AssertionError(constant)

    val = json.loads(folder.summary_json.read_text(), parse_constant=refuse)["families"]["spatial"]["best"][
        "val"
    ]
    assert val["loss"] is None and val["x"] is None and val["median_rank"] == 2.5


def test_plain_turns_numpy_sets_and_flags_into_yaml_types():
    assert plain({1: np.int64(3), "b": np.bool_(True), "c": {2}, "d": np.array([0.5, np.nan]).tolist()}) == {
        "1": 3,
        "b": True,
        "c": [2],
        "d": [0.5, None],
    }


def test_a_family_without_a_winner_says_why():
    oom = "Traceback (most recent call last):\n  ...\nMemoryError: out of memory\n"
    records = [record(number=i, state="FAIL", error=oom) for i in range(3)]
    records += [record(number=3, state="FAIL", error="loss is NaN"), record("clip", state="PRUNED")]
    families = summary(records, {"spatial": 5, "clip": 5, "late": 5})["families"]
    assert families["spatial"]["best"] is None
    assert families["spatial"]["reason"] == (
        "no trial gave a value (4 failed of 5); "
        "most common reason (3 of 4 failures): MemoryError: out of memory"
    )
    assert families["clip"]["reason"] == "no trial gave a value (1 pruned of 5)"
    assert families["late"]["reason"] == "none of its 5 trials was started"


def test_lift_is_known_only_above_a_chance_level():
    assert lift({"R@1": 0.3, "chance_R@1": 0.1}, "R@1") == pytest.approx(3.0)
    for metrics in (
        {},
        {"R@1": 0.3},
        {"R@1": 0.3, "chance_R@1": 0.0},
        {"R@1": float("nan"), "chance_R@1": 0.1},
    ):
        assert lift(metrics, "R@1") is None


# -- the verdict


def verdict_of(spatial, clip, cca):
    records = [record("spatial", metrics=scores(0.3)), record("clip", metrics=scores(0.3))]
    tests = {f: scores(v, split="test") for f, v in (("spatial", spatial), ("clip", clip)) if v is not None}
    baselines = {"cca": {"val": {}, "test": scores(cca, split="test")}} if cca is not None else {}
    return summary(records, {"spatial": 1, "clip": 1}, tests, baselines)["verdict"]


def test_the_verdict_gives_every_number_with_chance_and_claims_no_difference():
    text = verdict_of(0.31, 0.30, 0.35)
    assert "spatial 0.310 (chance 0.050, lift 6.2x)" in text
    assert "clip 0.300 (chance 0.050, lift 6.0x)" in text
    assert "the CCA baseline 0.350 (chance 0.050, lift 7.0x)" in text
    assert "No claim of a difference: one training seed per family." in text
    assert "No family beats the CCA baseline" in text


def test_the_verdict_names_the_families_above_cca():
    text = verdict_of(0.31, 0.30, 0.305)
    assert "Above the CCA baseline: spatial (one seed each" in text
    assert "No family beats" not in text
    assert "No family beats the CCA baseline" in verdict_of(0.31, 0.30, 0.31)  # a tie is not a win


def test_the_verdict_says_what_was_not_measured():
    assert "CCA baseline was not run" in verdict_of(0.31, 0.30, None)
    assert "Without a test result: clip." in verdict_of(0.31, None, 0.1)
    assert verdict_of(None, None, 0.1).startswith("No verdict")


# -- versions


def test_versions_come_without_importing_the_packages():
    code = (
        "import sys, sweeps.versions as v; v.collect_versions(); "
        "print({'torch', 'ray', 'optuna'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
    found = collect_versions()
    assert found["python"].startswith("3.") and {"stclip", "torch", "ray", "optuna", "lightning"} <= set(
        found
    )


def test_the_commit_is_the_checkouts_own(tmp_path, monkeypatch):
    monkeypatch.setattr(versions, "PROJECT_ROOT", tmp_path)
    assert "commit" not in collect_versions()
    identity = ["-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false"]
    (tmp_path / "a.txt").write_text("1")
    for arguments in (["init", "-q"], ["add", "a.txt"], [*identity, "commit", "-qm", "first"]):
        subprocess.run(["git", "-C", str(tmp_path), *arguments], check=True)
    commit = collect_versions()["commit"]
    assert len(commit) == 40
    (tmp_path / "a.txt").write_text("2")
    assert collect_versions()["commit"] == f"{commit}+changes"
