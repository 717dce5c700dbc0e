"""A command line as a resolved sweep, and what is asked of a trial."""

import json
import re

import pytest
import yaml

from stclip.data.store import open_store
from stclip.errors import ConfigError
from stclip.files.paths import PROJECT_ROOT
from sweeps.driver.checks import make_ready
from sweeps.driver.listing import dry_run
from sweeps.planning.command_line import make_parser
from sweeps.planning.plan import make_plan
from sweeps.planning.sweep_yaml import describe_sweep
from sweeps.planning.trial_request import TrialRequest
from sweeps.results.folder import plain
from sweeps.results.records import TrialRecord
from tests.sweeps.tiny_plan import SPACE

# -- make_plan


def test_a_plan_says_what_the_command_line_said(plan_of, tmp_path, shared_tiny_dataset):
    plan = plan_of("--trials", "7", "--epochs", "2", "--seed", "9", "--name", "n", "--time-budget", "2m",
                   "--cpus-per-trial", "2", "--gpus-per-trial", "0.5", "--max-concurrent", "3")  # fmt: skip
    assert (plan.space.trials, plan.space.epochs, plan.seed, plan.time_budget) == (7, 2, 9, 120.0)
    assert (plan.cpus_per_trial, plan.gpus_per_trial, plan.max_concurrent) == (2.0, 0.5, 3)
    assert plan.place == str(tmp_path / "results" / "n")
    assert not (tmp_path / "results").exists()  # nothing is made
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


@pytest.mark.parametrize("name", [".hidden", "a/b", "../up", "a b", "x" * 101, "-x"])
def test_a_name_that_cannot_be_a_folder_is_refused(plan_of, name):
    with pytest.raises(ConfigError, match="--name is up to 100 letters, digits") as caught:
        plan_of(f"--name={name}")
    assert "\n" not in str(caught.value)


def test_results_in_the_memory_of_each_process_are_refused(plan_of):
    with pytest.raises(
        ConfigError, match=r"results at memory://x: each process has a memory of its own.*--results"
    ):
        plan_of("--results", "memory://x")


# -- data variants, requests


def test_families_that_read_the_same_are_one_data_variant(plan_of):
    assert [c.loss.name for c in plan_of().data_variants()] == ["spatial"]
    towers = {"type": "choice", "values": ["stain", "cnn"]}
    clip = {"loss": {"name": "clip"}, "parameters": {"model.image.name": towers}}
    plan = plan_of(families={"clip": clip, "spatial": SPACE["families"]["spatial"]})
    found = [(c.loss.name, c.model.image.name) for c in plan.data_variants()]
    assert found == [("clip", "stain"), ("clip", "cnn")]


def test_all_that_is_computed_beforehand_is_a_data_variant(plan_of):
    parameters = {
        "model.image.name": {"type": "choice", "values": ["stain", "cnn"]},
        "features.normalize_genes": {"type": "choice", "values": ["none", "slide"]},
    }
    plan = plan_of(families={"clip": {"loss": {"name": "clip"}, "parameters": parameters}})
    found = {(c.model.image.name, c.features.normalize_genes) for c in plan.data_variants()}
    assert found == {("stain", "none"), ("stain", "slide"), ("cnn", "none"), ("cnn", "slide")}


def test_whole_numbers_between_two_ends_are_all_computed_beforehand(plan_of):
    parameters = {
        "data.num_neighbors": {"type": "int", "low": 3, "high": 5},
        "model.image.center": {"type": "choice", "values": [0.5, 1]},
        "data.batch_size": {"type": "int", "low": 16, "high": 500},
    }
    plan = plan_of(families={"clip": {"loss": {"name": "clip"}, "parameters": parameters}})
    found = {(c.data.num_neighbors, c.model.image.center) for c in plan.data_variants()}
    assert found == {(k, center) for k in (3, 4, 5) for center in (0.5, 1.0)}


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


def test_so_is_one_that_a_family_fixes_or_searches(plan_of, tmp_path, monkeypatch):
    (tmp_path / "vit").mkdir()
    monkeypatch.chdir(tmp_path)
    towers = {"type": "choice", "values": ["stain", "hf:vit"]}
    searched = {
        "loss": {"name": "clip"},
        "parameters": {"model.image.name": towers},
        "first": [{"model.image.name": "hf:vit"}],
    }
    fixed = {
        "loss": {"name": "clip"},
        "overrides": {"model": {"image": {"name": "hf:vit"}, "embed_dim": 8}},
        "parameters": {"model.temperature": {"type": "float", "low": 0.05, "high": 0.5}},
    }
    plan = plan_of(families={"clip": searched, "fixed": fixed})
    written = f"hf:{tmp_path}/vit"
    assert plan.space.family("clip").parameters["model.image.name"].values == ("stain", written)
    assert plan.space.family("clip").first == ({"model.image.name": written},)
    monkeypatch.chdir("/")  # as a worker would
    assert {config.model.image.name for config in plan.data_variants()} == {"stain", written}
    model = plan.middles()["fixed"].model
    assert (model.image.name, model.embed_dim) == (written, 8)


def trial(family, number, params, seed):
    name = f"{family}-{number:04d}"
    return TrialRecord(family, number, name, "RUNNING", params, {}, 0, 0.0, None, seed)


def test_a_request_is_the_trial_as_a_whole_configuration(plan_of):
    plan = plan_of("--name", "n", "--cpus-per-trial", "2")
    params = {"loss.neighbor_alpha_scale": 0.3, "model.temperature": 0.05}
    request = plan.request(trial("spatial", 7, params, 1234), test=False)
    config = request.config()
    assert request.name == config.name == "spatial-0007"
    assert request.folder == f"{plan.place}/trials/spatial-0007"
    assert (config.seed, config.trainer.threads, config.trainer.max_epochs) == (1234, 2, 3)
    assert (config.loss.neighbor_alpha_scale, config.model.temperature) == (0.3, 0.05)
    travelling = json.loads(json.dumps(request.plain()))  # plain values only
    assert TrialRequest.from_plain(travelling) == request
    other = plan.request(trial("spatial", 8, params, 1234), test=True).config()
    assert other.model_dump(exclude={"name"}) == config.model_dump(exclude={"name"})


def test_a_fraction_of_a_processor_still_gets_a_thread(plan_of):
    plan = plan_of("--cpus-per-trial", "0.5")
    request = plan.request(trial("clip", 0, {"model.temperature": 0.1}, 0), test=False)
    assert request.config().trainer.threads == 1


# -- what sweep.yaml gets


def test_describe_sweep_is_plain_and_counts_the_data(plan_of, shared_tiny_dataset):
    plan = plan_of("--seed", "4", "--time-budget", "90s", "--name", "n")
    store = open_store(plan.middles()["clip"].data)
    sweep = describe_sweep(plan, store, "python sweeps/run.py --space tiny")
    assert yaml.safe_load(yaml.safe_dump(plain(sweep))) == plain(sweep)
    assert (sweep["name"], sweep["command"], sweep["seed"]) == ("n", "python sweeps/run.py --space tiny", 4)
    assert sweep["budget"] == {
        "trials_per_family": 4, "epochs": 3, "confirm_configs": 5, "confirm_seeds": 3, "time_budget_seconds": 90.0,
        "cpus_per_trial": 1.0, "gpus_per_trial": None, "max_concurrent": None,
        "max_failures": 2, "trial_timeout_seconds": 7200.0,
    }  # fmt: skip
    assert sweep["data"] == {
        "dataset": str(shared_tiny_dataset), "fingerprint": store.path.name, "genes": 24, "tile_pixels": 16,
        "skipped_spots": {}, "models": {}, "donors": {}, "technology": {}, "organ": {},
        "train": {"slides": 4, "spots": 117, "smallest_gallery": 20},
        "val": {"slides": 1, "spots": 25, "smallest_gallery": 25},
        "test": {"slides": 1, "spots": 28, "smallest_gallery": 28},
    }  # fmt: skip


@pytest.mark.parametrize("results", ["s3://bucket/results", "s3://bucket/results/"])
def test_results_at_an_address(plan_of, results):
    plan = plan_of("--results", results, "--name", "n")
    assert (plan.place, plan.storage) == ("s3://bucket/results/n", "s3://bucket/results/n/ray")
    request = plan.request(trial("clip", 7, plan.space.middle("clip"), 5), test=False)
    assert (request.folder, request.checkpoints) == ("s3://bucket/results/n/trials/clip-0007", plan.storage)


@pytest.mark.parametrize("results", ["s3://", "s3:///"])
def test_an_address_of_nothing(plan_of, results):
    with pytest.raises(ConfigError, match=rf"an address of results is s3://BUCKET/FOLDER, got '{results}'"):
        plan_of("--results", results)


@pytest.mark.parametrize("results", ["s3:/bucket/x", "gs:/x", "file:/tmp/x"])
def test_an_address_with_one_slash_is_no_folder(plan_of, results):
    with pytest.raises(ConfigError, match=rf"PROTOCOL://BUCKET/FOLDER, with two slashes, got '{results}'"):
        plan_of("--results", results)


def test_every_space_of_the_checkout_makes_a_plan():
    for path in sorted((PROJECT_ROOT / "configs" / "space").glob("*.yaml")):
        plan = make_plan(make_parser().parse_args(["--space", path.stem]))
        assert len(plan.data_variants()) >= 1


def test_an_address_of_data_stays_as_it_was_given(plan_of):
    plan = plan_of("--data", "s3://bucket/sets/tiny")
    assert {config.data.dataset for config in plan.middles().values()} == {"s3://bucket/sets/tiny"}
