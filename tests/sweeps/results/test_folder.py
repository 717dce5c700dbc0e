"""The results folder: what its files hold, and that they are whole or absent."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
import yaml

from stclip.errors import InputError
from sweeps.results import folder as results
from sweeps.results.folder import ResultsFolder
from tests.sweeps.made_up import MACHINE, record, scores

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


def test_a_report_is_two_files_and_the_confirmations_table_is_one_of_its_own(tmp_path):
    folder = ResultsFolder(tmp_path)
    folder.write_report("# a", "<html>")
    assert (folder.report_md.read_text(), folder.report_html.read_text()) == ("# a", "<html>")
    folder.write_trials_csv([record()], table="confirm.csv")
    assert folder.confirm_csv.is_file() and not folder.trials_csv.exists()


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
    (tmp_path / "summary.json").write_text("[1]")
    with pytest.raises(InputError, match=r"summary\.json: must be a mapping, got list"):
        folder.read_summary()
    assert folder.read_trials() == []


# -- trials.csv


def test_trials_csv_has_a_row_per_trial_in_order(tmp_path):
    folder = ResultsFolder(tmp_path)
    folder.write_trials_csv(
        [
            record(number=1, state="FAIL", error="Traceback\n  ValueError: loss is NaN, at step 3"),
            record(number=0, params={"loss.neighbor_alpha_scale": 0.5, "lr": 1e-3}, metrics=scores(0.25)),
            record("clip", number=4, state="PRUNED", params={"data.batching": "random"}, machine=MACHINE),
        ]
    )
    with folder.trials_csv.open(newline="") as file:
        header = next(csv.reader(file))
    assert header == [
        "family", "trial", "name", "state",
        "config_temperature", "config_neighbor_alpha_scale", "config_lr", "config_batching",
        "val/R@10", "val/chance_R@10", "epochs", "seconds", "seed",
        "host", "peak_memory_mb", "peak_device_memory_mb", "trained_parameters", "error",
    ]  # fmt: skip
    rows = folder.read_trials()
    assert [(r["family"], r["trial"], r["state"]) for r in rows] == [
        ("clip", "4", "PRUNED"),
        ("spatial", "0", "COMPLETE"),
        ("spatial", "1", "FAIL"),
    ]
    machine = ("host", "peak_memory_mb", "peak_device_memory_mb", "trained_parameters")
    assert [rows[0][key] for key in machine] == ["node-a", "700.5", "", "12345"]
    assert [rows[1][key] for key in machine] == [""] * 4
    assert rows[0]["config_batching"] == "random" and rows[0]["val/R@10"] == ""
    assert float(rows[1]["config_neighbor_alpha_scale"]) == 0.5 and float(rows[1]["val/R@10"]) == 0.25
    assert rows[2]["error"] == "Traceback ValueError: loss is NaN, at step 3"
    assert rows[2]["seed"] == "101" and rows[2]["seconds"] == "11.250" and rows[2]["epochs"] == "20"


def test_trials_csv_has_its_columns_before_the_first_trial(tmp_path):
    folder = ResultsFolder(tmp_path)
    folder.write_trials_csv([], ["model.temperature", "optimizer.lr"])
    header = folder.trials_csv.read_text().strip().split(",")
    assert {"family", "trial", "state", "config_temperature", "config_lr"} <= set(header)


def test_a_parameter_that_is_a_list_is_json_in_its_cell(tmp_path):
    folder = ResultsFolder(tmp_path)
    folder.write_trials_csv([record(params={"model.widths": ["a", (1, None)]})])
    assert folder.read_trials()[0]["config_widths"] == '["a", [1, null]]'
