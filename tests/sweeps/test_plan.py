"""A command line as a resolved sweep, and what is said about it before and while it runs."""

import json
import re
import shutil
import time
from dataclasses import replace

import pytest
import yaml

from stclip.config import PROJECT_ROOT
from stclip.data.store import open_store
from stclip.errors import ConfigError, DataError, InputError
from stclip.registry import LOSSES
from sweeps import listing
from sweeps.arguments import make_parser
from sweeps.cluster import Node
from sweeps.describe import describe_data, describe_sweep
from sweeps.listing import dry_run, list_names
from sweeps.plan import make_plan
from sweeps.ready import make_ready
from sweeps.records import TrialRecord
from sweeps.results import plain
from sweeps.run import main
from sweeps.snapshots import snapshots, throttled
from sweeps.space import SPACES

BASE = {
    "data": {"image_size": 16, "batch_size": 16, "num_neighbors": 4},
    "model": {"image": {"name": "stain", "width": 16}, "genes": {"width": 16}, "embed_dim": 8},
    "trainer": {"accelerator": "cpu", "loggers": ["csv"]},
}
TEMPERATURE = {"type": "float", "low": 0.01, "high": 1.0, "log": True}
SPACE = {
    "experiment": "base.yaml",
    "metric": "val/R@10",
    "mode": "max",
    "trials": 4,
    "epochs": 3,
    "families": {
        "spatial": {
            "loss": {"name": "spatial"},
            "parameters": {
                "loss.neighbor_alpha_scale": {"type": "float", "low": 0.0, "high": 2.0},
                "model.temperature": TEMPERATURE,
            },
        },
        "clip": {"loss": {"name": "clip"}, "parameters": {"model.temperature": TEMPERATURE}},
    },
}


@pytest.fixture
def plan_of(tmp_path, shared_tiny_dataset):
    """Resolves a command line on the tiny data set; `families` replaces those of the space."""

    def resolve(*arguments, families=None):
        (tmp_path / "base.yaml").write_text(yaml.safe_dump(BASE))
        tree = SPACE if families is None else {**SPACE, "families": families}
        (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(tree, sort_keys=False))
        given = ["--space", str(tmp_path / "tiny.yaml"), "--data", str(shared_tiny_dataset)]
        return make_plan(
            make_parser().parse_args([*given, "--results", str(tmp_path / "results"), *arguments])
        )

    return resolve


# -- make_plan


def test_a_plan_says_what_the_command_line_said(plan_of, tmp_path, shared_tiny_dataset):
    plan = plan_of("--trials", "7", "--epochs", "2", "--seed", "9", "--name", "n", "--time-budget", "2m",
                   "--cpus-per-trial", "2", "--gpus-per-trial", "0.5", "--max-concurrent", "3")  # fmt: skip
    assert (plan.space.trials, plan.space.epochs, plan.seed, plan.time_budget) == (7, 2, 9, 120.0)
    assert (plan.cpus_per_trial, plan.gpus_per_trial, plan.max_concurrent) == (2.0, 0.5, 3)
    assert plan.folder == tmp_path / "results" / "n"
    assert not plan.folder.parent.exists()  # nothing is made
    for config in plan.middles().values():
        assert config.data.dataset == str(shared_tiny_dataset)
        assert config.trainer.max_epochs == 2


def test_without_flags_the_space_decides(plan_of):
    plan = plan_of()
    assert (plan.space.trials, plan.space.epochs, plan.seed, plan.time_budget) == (4, 3, 0, None)
    assert re.fullmatch(r"tiny-\d{8}-\d{6}", plan.name)


def test_middles_are_the_middle_of_every_range_and_differ_by_loss_only(plan_of):
    spatial, clip = plan_of().middles().values()
    assert (spatial.loss.name, clip.loss.name) == ("spatial", "clip")
    assert spatial.loss.neighbor_alpha_scale == 1.0
    assert spatial.model.temperature == pytest.approx(0.1)
    assert spatial.model_dump(exclude={"loss"}) == clip.model_dump(exclude={"loss"})


def test_set_fixes_a_key_and_takes_it_out_of_the_search(plan_of):
    plan = plan_of("--set", "loss.neighbor_alpha_scale=0.25", "--set", "model.embed_dim=4")
    assert list(plan.space.families["spatial"].parameters) == ["model.temperature"]
    assert plan.middles()["spatial"].loss.neighbor_alpha_scale == 0.25
    assert {config.model.embed_dim for config in plan.middles().values()} == {4}


def test_loggers_reach_every_trial(plan_of):
    plan = plan_of("--logger", "csv, tensorboard")
    assert {config.trainer.loggers for config in plan.middles().values()} == {("csv", "tensorboard")}
    with pytest.raises(ConfigError, match="unknown logger 'tensorbord'; did you mean 'tensorboard'"):
        plan_of("--logger", "tensorbord")


@pytest.mark.parametrize("name", ["", ".hidden", "a/b", "../up", "a b", "x" * 101, "-x"])
def test_a_name_that_cannot_be_a_folder_is_refused(plan_of, name):
    if not name:
        assert plan_of("--name", name).name.startswith("tiny-")  # as if left out
        return
    with pytest.raises(ConfigError, match="--name is up to 100 letters, digits") as caught:
        plan_of(f"--name={name}")
    assert "\n" not in str(caught.value)


# -- data variants, requests


def test_one_data_variant_a_family_unless_the_image_tower_is_searched(plan_of):
    assert [c.loss.name for c in plan_of().data_variants()] == ["spatial", "clip"]
    towers = {"type": "choice", "values": ["stain", "cnn"]}
    clip = {"loss": {"name": "clip"}, "parameters": {"model.image.name": towers}}
    plan = plan_of(families={"clip": clip, "spatial": SPACE["families"]["spatial"]})
    found = [(c.loss.name, c.model.image.name) for c in plan.data_variants()]
    assert found == [("clip", "stain"), ("clip", "cnn"), ("spatial", "stain")]


def test_all_that_is_computed_beforehand_is_a_data_variant(plan_of):
    parameters = {
        "model.image.name": {"type": "choice", "values": ["stain", "cnn"]},
        "features.normalize_genes": {"type": "choice", "values": ["none", "slide"]},
    }
    plan = plan_of(families={"clip": {"loss": {"name": "clip"}, "parameters": parameters}})
    found = {(c.model.image.name, c.features.normalize_genes) for c in plan.data_variants()}
    assert found == {("stain", "none"), ("stain", "slide"), ("cnn", "none"), ("cnn", "slide")}


@pytest.mark.parametrize("searched", [True, False])
def test_a_pretrained_model_that_is_not_here_is_found_out_before_anything_runs(
    plan_of, tmp_path, monkeypatch, searched
):
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    if searched:
        towers = {"type": "choice", "values": ["stain", "hf:some/model"]}
        plan = plan_of(
            families={"clip": {"loss": {"name": "clip"}, "parameters": {"model.image.name": towers}}}
        )
    else:
        plan = plan_of("--set", "model.genes.name=hf:some/model")
    for check in (dry_run, lambda plan: make_ready(plan, quiet=True)):
        with pytest.raises(
            ConfigError, match="hf:some/model: no such folder, and .* fetch it with: hf download some/model"
        ):
            check(plan)


def test_a_models_folder_is_written_out_for_the_trials(plan_of, tmp_path, monkeypatch):
    (tmp_path / "models" / "vit").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    plan = plan_of("--set", "model.image.name=hf:models/vit", "--set", "model.genes.name=hf:some/model")
    model = plan.middles()["clip"].model
    assert model.image.name == f"hf:{tmp_path}/models/vit" and model.genes.name == "hf:some/model"


def suggestion(family, number, params, seed, test=False):
    name = f"{family}-{number:04d}"
    return {
        "family": family,
        "number": number,
        "name": name,
        "params": params,
        "seed": seed,
        "epochs": 0,
        "test": test,
    }


def test_a_request_is_the_suggestion_as_a_whole_configuration(plan_of):
    plan = plan_of("--name", "n", "--cpus-per-trial", "2")
    params = {"loss.neighbor_alpha_scale": 0.3, "model.temperature": 0.05}
    request = plan.request(suggestion("spatial", 7, params, 1234))
    config = request.config()
    assert request.name == config.name == "spatial-0007"
    assert request.folder == str(plan.folder / "trials" / "spatial-0007")
    assert (config.seed, config.trainer.threads, config.trainer.max_epochs) == (1234, 2, 3)
    assert (config.loss.neighbor_alpha_scale, config.model.temperature) == (0.3, 0.05)
    assert json.loads(json.dumps(request.experiment)) == request.experiment  # it travels as plain data
    other = plan.request(suggestion("spatial", 8, params, 1234, test=True)).config()
    assert other.model_dump(exclude={"name"}) == config.model_dump(exclude={"name"})


def test_a_fraction_of_a_processor_still_gets_a_thread(plan_of):
    plan = plan_of("--cpus-per-trial", "0.5")
    request = plan.request(suggestion("clip", 0, {"model.temperature": 0.1}, 0))
    assert request.config().trainer.threads == 1


# -- what sweep.yaml gets


def test_describe_sweep_is_plain_and_counts_the_data(plan_of, shared_tiny_dataset):
    plan = plan_of("--seed", "4", "--time-budget", "90s", "--name", "n")
    store = open_store(plan.middles()["clip"].data)
    sweep = describe_sweep(plan, store, "python sweeps/run.py --space tiny")
    assert yaml.safe_load(yaml.safe_dump(plain(sweep))) == plain(sweep)
    assert (sweep["name"], sweep["command"], sweep["seed"]) == ("n", "python sweeps/run.py --space tiny", 4)
    assert sweep["budget"] == {
        "trials_per_family": 4, "epochs": 3, "confirm_seeds": 5, "time_budget_seconds": 90.0,
        "cpus_per_trial": 1.0, "gpus_per_trial": None, "max_concurrent": None,
        "max_failures": 2, "trial_timeout_seconds": 7200.0,
    }  # fmt: skip
    assert sweep["data"] == {
        "dataset": str(shared_tiny_dataset), "fingerprint": store.path.name, "genes": 24, "tile_pixels": 16,
        "skipped_spots": {}, "donors": {},
        "train": {"slides": 4, "spots": 117, "smallest_gallery": 20},
        "val": {"slides": 1, "spots": 25, "smallest_gallery": 25},
        "test": {"slides": 1, "spots": 28, "smallest_gallery": 28},
    }  # fmt: skip


# -- snapshots for the view


def record(family, number, state, value=None):
    metrics = {} if value is None else {"val/R@10": value}
    name = f"{family}-{number:04d}"
    return TrialRecord(family, number, name, state, {}, metrics, 3, 1.0, None, 0)


def test_a_snapshot_counts_states_and_reports_each_end_once(plan_of):
    records = [record("spatial", 0, "COMPLETE", 0.5), record("clip", 0, "RUNNING")]
    snapshot = snapshots(plan_of(), lambda: list(records))
    first = snapshot()
    assert first.events == []  # what had ended before (a resumed sweep) is no news
    spatial, clip = first.families.values()
    assert (spatial.budget, spatial.complete, spatial.running, spatial.best.number) == (4, 1, 0, 0)
    assert (clip.complete, clip.running, clip.best) == (0, 1, None)

    records[1] = replace(records[1], state="FAIL")
    records += [record("spatial", 1, "PRUNED", 0.9), record("clip", 1, "RUNNING", 0.4)]
    second = snapshot()
    assert [r.name for r in second.events] == ["clip-0000", "spatial-0001"]
    spatial, clip = second.families.values()
    assert (spatial.complete, spatial.pruned, spatial.done) == (1, 1, 2)
    assert (clip.failed, clip.running, clip.best) == (1, 1, None)
    assert spatial.best.number == 0  # a pruned trial never wins
    assert snapshot().events == []


def test_repeats_of_one_configuration_show_their_mean(plan_of):
    records = [record("spatial", 0, "COMPLETE", 0.5), record("spatial", 1, "COMPLETE", 0.7)]
    records += [record("spatial", 2, "RUNNING", 0.9), record("clip", 0, "RUNNING", 0.4)]
    spatial, clip = snapshots(plan_of(), lambda: records, means=True)().families.values()
    assert (spatial.best.name, clip.best) == ("mean of 2 seeds", None)
    assert spatial.best.metrics == {"val/R@10": pytest.approx(0.6)}
    assert (
        snapshots(plan_of(), lambda: records[:1], means=True)().families["spatial"].best.name
        == "mean of 1 seed"
    )


def test_csv_is_written_at_most_every_so_often(monkeypatch):
    now = [50.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    calls = []
    perhaps = throttled(lambda: calls.append(now[0]), 2.0)
    for now[0] in (50.0, 51.9, 52.0, 53.0, 54.5):
        perhaps()
    assert calls == [50.0, 52.0, 54.5]


@pytest.mark.parametrize("results", ["s3://bucket/results", "s3://bucket/results/"])
def test_results_at_an_address(plan_of, results):
    plan = plan_of("--results", results, "--name", "n")
    assert (plan.place, plan.storage) == ("s3://bucket/results/n", "s3://bucket/results/n/ray")
    assert plan.folder.name == "n" and not plan.folder.parent.exists()
    request = plan.request(suggestion("clip", 7, plan.space.middle("clip"), 5))
    assert (request.folder, request.checkpoints) == ("s3://bucket/results/n/trials/clip-0007", plan.storage)


@pytest.mark.parametrize("results", ["s3://", "s3:///"])
def test_an_address_of_nothing(plan_of, results):
    with pytest.raises(ConfigError, match=rf"an address of results is s3://BUCKET/FOLDER, got '{results}'"):
        plan_of("--results", results)


# -- dry run and list


def test_a_dry_run_counts_everything_and_writes_nothing(plan_of, tmp_path, shared_tiny_dataset, monkeypatch):
    monkeypatch.setattr(listing, "local_resources", lambda: (Node(4.0, 0.0),))
    plan = plan_of("--name", "n", "--max-concurrent", "3", "--time-budget", "90s")
    open_store(plan.middles()["clip"].data)
    before = sorted([*tmp_path.rglob("*"), *shared_tiny_dataset.rglob("*")])
    text = dry_run(plan)
    assert sorted([*tmp_path.rglob("*"), *shared_tiny_dataset.rglob("*")]) == before
    assert "sweep n: 8 trials (2 families x 4 trials x 3 epochs)" in text
    assert "3 at once, 1 CPU and 0 GPU each; time budget 1 min 30 s" in text
    assert "  loss.neighbor_alpha_scale: 0 to 2" in text
    assert "  model.temperature: 0.01 to 1 (log)" in text
    assert "train 4 slides / 117 spots, val 1 slides / 25 spots, test 1 slides / 28 spots, 24 genes" in text
    assert (
        "confirmation: each family's best again with 5 fresh seeds, 10 trials, read on the test slides"
        in text
    )
    assert f"results: {tmp_path / 'results' / 'n'}" in text
    assert "confirmation: off" in dry_run(plan_of("--confirm-seeds", "0"))
    assert "with 1 fresh seed, 2 trials" in dry_run(plan_of("--confirm-seeds", "1"))


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


def test_a_dry_run_finds_what_would_stop_the_sweep(plan_of, tmp_path, monkeypatch):
    monkeypatch.setattr("os.cpu_count", lambda: 4)
    monkeypatch.setattr("stclip.loggers.find_spec", lambda package: None)
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


def test_every_space_of_the_checkout_makes_a_plan():
    for path in sorted((PROJECT_ROOT / "configs" / "space").glob("*.yaml")):
        plan = make_plan(make_parser().parse_args(["--space", path.stem]))
        assert len(list(plan.data_variants())) >= len(plan.space.families)


def test_an_address_of_data_stays_as_it_was_given(plan_of):
    plan = plan_of("--data", "s3://bucket/sets/tiny")
    assert {config.data.dataset for config in plan.middles().values()} == {"s3://bucket/sets/tiny"}
