"""--dry-run and --list: everything counted and checked, nothing made."""

import json
import re
import shutil
from dataclasses import replace
from datetime import UTC, datetime

import pytest
import yaml

from stclip.config.registry import LOSSES
from stclip.data.store import open_store
from stclip.errors import ConfigError, DataError, InputError
from sweeps.cluster.connect import Node
from sweeps.driver import listing
from sweeps.driver.checks import make_ready
from sweeps.driver.listing import describe_plan, dry_run, list_names
from sweeps.planning.sweep_yaml import describe_data
from sweeps.results.readings import Reading, write_readings
from sweeps.results.record import Told
from sweeps.run import main
from sweeps.search.space import SPACES, EarlyStopping
from tests.sweeps import tiny_plan
from tests.sweeps.tiny_plan import BASE, SPACE, results_of


def test_a_dry_run_counts_everything_and_writes_nothing(plan_of, tmp_path, shared_tiny_dataset, monkeypatch):
    monkeypatch.setattr(listing, "local_resources", lambda: (Node(4.0, 0.0),))
    plan = plan_of("--name", "n", "--max-concurrent", "3", "--time-budget", "90s")
    open_store(plan.middles()["clip"].data)
    before = sorted([*tmp_path.rglob("*"), *shared_tiny_dataset.rglob("*")])
    text = dry_run(plan)
    assert sorted([*tmp_path.rglob("*"), *shared_tiny_dataset.rglob("*")]) == before
    assert "sweep n: 8 trials (2 families x 4 trials x 3 epochs)" in text
    assert "early stopping within a family: off; seed 0" in text
    assert "3 at once, 1 CPU and 0 GPU each; time budget 1 min 30 s" in text
    assert "  loss.neighbor_alpha_scale: 0 to 2" in text
    assert "  model.temperature: 0.01 to 1 (log)" in text
    assert "train 4 slides / 117 spots, val 1 slide / 25 spots, test 1 slide / 28 spots, 24 genes" in text
    assert (
        "confirmation: the best 4 configurations of each family again with 3 fresh seeds, 24 trials at most, read on the test "
        "slides" in text
    )
    assert f"results: {tmp_path / 'results' / 'n'}" in text
    assert "confirmation: off" in dry_run(plan_of("--confirm-seeds", "0"))
    one = dry_run(plan_of("--confirm-seeds", "1", "--confirm-configs", "1"))
    assert "the best configuration of each family again with 1 fresh seed, 2 trials at most" in one
    several = dry_run(plan_of("--confirm-seeds", "2", "--searches", "3"))
    assert (
        "confirmation: the winners of 3 searches of each family again with 2 fresh seeds, 12 trials at most"
        in several
    )


def test_a_dry_run_says_the_lag_and_warns_where_it_leaves_slots_idle(plan_of, tmp_path, monkeypatch):
    monkeypatch.setattr(listing, "local_resources", lambda: (Node(16.0, 0.0),))
    rule = {"early_stopping": {"first_rung": 1, "factor": 2}, "lag": 2}
    monkeypatch.setattr(tiny_plan, "SPACE", {**SPACE, **rule})
    text = dry_run(plan_of("--max-concurrent", "3"))
    assert "lag 2: a trial knows the trials of its family that began at least 2 before it" in text
    assert "up to 4 are kept busy" in text
    assert "warning" not in text and "note" not in text
    (note,) = [
        line for line in dry_run(plan_of("--max-concurrent", "4")).splitlines() if line.startswith("note")
    ]
    assert note.startswith("note: with 4 trials at once some slots wait") and "`lag: 3` in the space" in note
    (warning,) = [line for line in dry_run(plan_of()).splitlines() if line.startswith("warning")]
    assert warning == (
        "warning: 16 trials at once are more than the 4 that families x lag can keep busy; use --max-concurrent 4, or "
        "set a larger `lag` in the space"
    )


def test_a_dry_run_of_a_sweep_that_has_read_the_test_slides_says_what_reading_again_costs(plan_of, tmp_path):
    plan = plan_of()
    results_of(plan).create({"name": plan.name})
    plan = replace(plan, told=Told.read(results_of(plan)))
    assert "test slides: read" not in describe_plan(plan, None, None)
    one = Reading(number=1, when=datetime(2026, 1, 2, tzinfo=UTC), run=1, trials={"clip": 4}, budget=4, seeds=1,
                  models={"clip": ["clip-0000-confirm-0"]})  # fmt: skip
    write_readings(results_of(plan).test_reads_json, [one, one.model_copy(update={"number": 2})])
    text = describe_plan(plan, None, None)
    assert "test slides: read 2 times so far; " in text and "of reading 3 are multiplied by 20" in text
    assert "test slides: read" not in describe_plan(replace(plan, confirm_seeds=0), None, None)


def test_donors_are_described_and_checked_before_anything_runs(plan_of, tmp_path, shared_tiny_dataset):
    dataset = shutil.copytree(shared_tiny_dataset, tmp_path / "d", ignore=shutil.ignore_patterns(".store"))
    plan = plan_of("--data", str(dataset))
    donors = {slide: f"p{number // 2}" for number, slide in enumerate(("T1", "T2", "T3", "T4", "V1", "E1"))}
    (dataset / "donors.csv").write_text("slide,donor\n" + "".join(f"{s},{d}\n" for s, d in donors.items()))
    data = describe_data(plan, open_store(plan.middles()["clip"].data))
    assert data["donors"]["train"] == {"T1": "p0", "T2": "p0", "T3": "p1", "T4": "p1"}
    assert (data["donors"]["val"], data["donors"]["test"]) == ({"V1": "p2"}, {"E1": "p2"})
    (dataset / "donors.csv").write_text("slide,donor\nT1,p0\n")
    for check in (dry_run, lambda plan: make_ready(plan, quiet=True)):
        with pytest.raises(DataError, match=r"donors\.csv: names no donor for 5 of 6 slides"):
            check(plan)


def test_technology_and_organ_are_described_as_far_as_the_manifest_says_them(
    plan_of, tmp_path, shared_tiny_dataset
):
    dataset = shutil.copytree(shared_tiny_dataset, tmp_path / "d", ignore=shutil.ignore_patterns(".store"))
    plan = plan_of("--data", str(dataset))
    names = {"technology": {"T1": "Visium", "E1": "Xenium", "other": "Visium"}, "organ": {"other": "Skin"}}
    (dataset / "manifest.json").write_text(json.dumps(names))
    data = describe_data(plan, open_store(plan.middles()["clip"].data))
    assert data["technology"] == {"train": {"T1": "Visium"}, "val": {}, "test": {"E1": "Xenium"}}
    assert data["organ"] == {}


def test_a_dry_run_names_the_rungs_where_trials_are_stopped(plan_of):
    plan = plan_of("--epochs", "40")
    space = plan.space.model_copy(update={"early_stopping": EarlyStopping(first_rung=10, factor=3)})
    text = describe_plan(replace(plan, space=space), None, None)
    assert "early stopping within a family: after epoch 10, 30 the best 1 in 3 goes on; seed 0" in text


def test_a_data_set_that_is_missing_is_told_before_a_gpu_that_is_missing(plan_of, monkeypatch):
    monkeypatch.setattr("sweeps.driver.checks.local_resources", lambda: (Node(2.0, 0.0),))
    plan = plan_of("--data", "hest_v1_human_medium", "--gpus-per-trial", "0.25")
    for check in (dry_run, lambda plan: make_ready(plan, quiet=True)):
        with pytest.raises(DataError, match="data set 'hest_v1_human_medium' is not at "):
            check(plan)


def test_a_dry_run_loads_the_models_that_are_named(plan_of, tmp_path):
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "config.json").write_text('{"model_type": "vit"}')
    (tmp_path / "m" / "model.safetensors").write_bytes(b"no weights")
    plan = plan_of("--set", f"model.image.name=hf:{tmp_path / 'm'}")
    with pytest.raises(ConfigError, match="cannot be loaded from"):
        dry_run(plan)


def test_a_dry_run_finds_what_would_stop_the_sweep(plan_of, tmp_path, monkeypatch):
    monkeypatch.setattr("sweeps.driver.checks.usable_processors", lambda: 4)
    monkeypatch.setattr("sweeps.cluster.connect.usable_processors", lambda: 4)
    monkeypatch.setattr("stclip.training.loggers.find_spec", lambda package: None)
    with pytest.raises(
        InputError, match="logger 'mlflow' needs the package 'mlflow', which is not installed"
    ):
        dry_run(plan_of("--logger", "mlflow"))
    with pytest.raises(InputError, match="--cpus-per-trial 8 is more than the 4 processors there are"):
        dry_run(plan_of("--cpus-per-trial", "8"))
    (tmp_path / "results" / "taken").mkdir(parents=True)
    (tmp_path / "results" / "taken" / "sweep.yaml").write_text("name: taken\n")
    with pytest.raises(InputError, match="already holds an unfinished sweep"):
        dry_run(plan_of("--name", "taken"))


def test_a_dry_run_does_not_make_built_in_data(tmp_path, monkeypatch, capsys):
    base = {**BASE, "data": {**BASE["data"], "root": str(tmp_path / "nothing")}}
    (tmp_path / "base.yaml").write_text(yaml.safe_dump(base))
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(SPACE, sort_keys=False))
    arguments = ["--space", str(tmp_path / "tiny.yaml"), "--data", "synthetic_small", "--dry-run"]
    assert main([*arguments, "--results", str(tmp_path / "results")]) == 0
    assert "data synthetic_small: built in, will be made on first use" in capsys.readouterr().out
    assert sorted(p.name for p in tmp_path.iterdir()) == ["base.yaml", "tiny.yaml"]


def test_list_names_all_spaces_data_sets_and_losses(capsys):
    assert main(["--list"]) == 0
    text = capsys.readouterr().out
    assert text.strip() == list_names()
    names = {line.split()[0] for line in text.splitlines() if line.startswith("  ")}
    assert {path.stem for path in SPACES.glob("*.yaml")} <= names
    assert {"spatial", "clip", "smoke", "wide"} <= names
    assert {"synthetic_medium", "synthetic_small"} <= names
    assert LOSSES.keys() <= names
    assert "cannot be used" not in text
    assert all(len(line.split(maxsplit=1)) == 2 for line in text.splitlines() if line.startswith("  "))


def test_list_shows_a_broken_space_instead_of_failing(tmp_path, monkeypatch):
    (tmp_path / "broken.yaml").write_text("metric: val/R@10\n")
    monkeypatch.setattr(listing, "SPACES", tmp_path)
    assert re.search(r"^  broken +cannot be used: ", list_names(), re.MULTILINE)
