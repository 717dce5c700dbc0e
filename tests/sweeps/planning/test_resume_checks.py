"""What `--resume` decides before anything runs: the plan, the flags it refuses, the data and the record it asks for."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from stclip.data.store import open_store
from stclip.data.store.data_key import DataState
from stclip.errors import ConfigError, InputError
from sweeps.planning.command_line import make_parser
from sweeps.planning.resume import check_same_data, plan_to_resume, widened
from sweeps.planning.sweep_yaml import describe_sweep
from sweeps.results.record import SweepRecord
from sweeps.results.sealed_yaml import read_sealed
from sweeps.search.space import SearchSpace
from tests.sweeps.tiny_plan import TEMPERATURE, results_of

BEGUN = ("--name", "begun", "--seed", "3", "--confirm-seeds", "2", "--time-budget", "90s", "--max-failures", "4",
         "--trial-timeout", "5m", "--cpus-per-trial", "2", "--max-concurrent", "3", "--gpus-per-trial", "0.5")  # fmt: skip


@pytest.fixture
def store(plan_of):
    return open_store(plan_of().middles()["clip"].data)


@pytest.fixture
def begun(plan_of, store):
    """The plan of a sweep whose folder is there: trials 4, epochs 3, seed 3."""
    plan = plan_of(*BEGUN)
    results_of(plan).create(describe_sweep(plan, store, "python sweeps/run.py"))
    return plan


def resumed(place, *arguments):
    return plan_to_resume(make_parser().parse_args(["--resume", str(place), *arguments]))


def refused(begun, *arguments):
    """The differences that are told of."""
    with pytest.raises(
        ConfigError, match=r"sweep\.yaml there decides, and the command line contradicts it: "
    ) as caught:
        resumed(begun.place, *arguments)
    text = str(caught.value).partition("contradicts it: ")[2]
    return text.removesuffix("; leave these flags out, or start another sweep")


# -- the plan


def test_without_flags_all_is_as_it_was_but_the_time_budget(begun):
    plan = resumed(begun.place)
    assert plan.resumed and plan.time_budget is None
    for what in ("space", "tree", "name", "place", "seed", "confirm_configs", "confirm_seeds",
                 "cpus_per_trial", "gpus_per_trial", "max_concurrent", "max_failures", "trial_timeout", "address"):  # fmt: skip
        assert getattr(plan, what) == getattr(begun, what), what


def test_flags_may_ask_for_more_and_for_other_resources(begun):
    more = ("--trials", "9", "--confirm-configs", "6", "--confirm-seeds", "7", "--time-budget", "1m")
    other = ("--max-failures", "0", "--trial-timeout", "1m", "--cpus-per-trial", "1", "--max-concurrent", "1",
             "--gpus-per-trial", "0")  # fmt: skip
    plan = resumed(begun.place, *more, *other)
    assert (plan.space.trials, plan.confirm_configs, plan.confirm_seeds, plan.time_budget) == (9, 6, 7, 60.0)
    assert (plan.max_failures, plan.trial_timeout, plan.max_concurrent) == (0, 60.0, 1)
    assert (plan.cpus_per_trial, plan.gpus_per_trial) == (1.0, 0.0)
    assert plan.space.model_copy(update={"trials": 4}) == begun.space


def test_flags_that_say_the_same_are_no_contradiction(begun, tmp_path):
    same = (
        "--name",
        "begun",
        "--seed",
        "3",
        "--trials",
        "4",
        "--epochs",
        "3",
        "--confirm-seeds",
        "2",
        "--margin",
        "0.01",
    )
    home = ("--results", f"{Path(begun.place).parent}/", "--space", str(tmp_path / "tiny.yaml"))
    assert resumed(begun.place, *same, *home).space == begun.space
    assert resumed(begun.place, "--set", "model.embed_dim=8", "--logger", "csv").tree == begun.tree
    assert resumed(begun.place, "--set", "loss.temp_reg_weight=0.05").tree == begun.tree  # clip has none


def test_data_that_have_moved_are_read_where_they_are(begun, tmp_path):
    plan = resumed(begun.place, "--data", "s3://bucket/tiny")
    assert plan.tree["data"]["dataset"] == "s3://bucket/tiny"
    assert {key: value for key, value in plan.tree.items() if key != "data"} == {
        key: value for key, value in begun.tree.items() if key != "data"
    }
    # The file's own data set is another one; only the fingerprint decides.
    assert resumed(begun.place, "--space", str(tmp_path / "tiny.yaml"), "--data", "s3://b/c").resumed


def test_a_space_is_known_by_what_it_says_wherever_its_files_are(begun, tmp_path):
    (tmp_path / "moved").mkdir()
    shutil.copy(tmp_path / "base.yaml", tmp_path / "moved")
    shutil.copy(tmp_path / "tiny.yaml", tmp_path / "moved" / "renamed.yaml")
    sweep = read_sealed(results_of(begun).sweep_yaml)
    sweep["base"]["data"]["root"] = "/another/checkout/data/processed"
    results_of(begun).write_sweep_yaml(sweep)
    assert resumed(begun.place, "--space", str(tmp_path / "moved" / "renamed.yaml")).space == begun.space


# -- flags that contradict


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (("--seed", "0"), "--seed 0, there 3"),
        (("--epochs", "4"), "--epochs 4, there 3"),
        (("--name", "other"), "--name other, there begun"),
        (("--trials", "3"), "--trials 3, there 4 (it may grow, not shrink)"),
        (("--confirm-seeds", "0"), "--confirm-seeds 0, there 2 (it may grow, not shrink)"),
        (("--confirm-configs", "4"), "--confirm-configs 4, there 5 (it may grow, not shrink)"),
        (("--margin", "0.02"), "--margin 0.02, there 0.01"),
        (("--set", "model.embed_dim=4"), "--set model.embed_dim=4, there 8"),
        (("--set", "model.temperature=0.1"), "--set model.temperature=0.1, there searched"),
        (("--set", "loss.neighbor_alpha_scale=1"), "--set loss.neighbor_alpha_scale=1, there searched"),
        (("--set", "model.embeddim=4"), "--set model.embeddim=4, there absent"),
        (("--set", "loss.name=clip"), "--set loss.name=clip, there clip or spatial"),
        (("--logger", "csv,tensorboard"), "--logger csv,tensorboard, there ['csv']"),
    ],
)
def test_a_flag_that_says_something_else_is_refused(begun, flags, told):
    assert refused(begun, *flags) == told


def test_other_results_are_refused(begun, tmp_path):
    there = f"there {Path(begun.place).parent}"
    assert refused(begun, "--results", str(tmp_path)) == f"--results {tmp_path}, {there}"


def test_a_space_that_has_changed_is_refused_key_by_key(begun, tmp_path):
    path = tmp_path / "tiny.yaml"
    tree = yaml.safe_load(path.read_text())
    tree["families"]["clip"]["parameters"] = {"model.temperature": {**TEMPERATURE, "high": 0.5}}
    path.write_text(yaml.safe_dump({**tree, "trials": 9, "epochs": 9}))  # of these the flags decide
    flag = f"--space {path}"
    key = "families.clip.parameters.model.temperature.high"
    assert refused(begun, "--space", str(path)) == f"{flag}: {key} 0.5, there 1.0"
    path.write_text(yaml.safe_dump(tree | {"families": {"spatial": tree["families"]["spatial"]}}))
    text = refused(begun, "--space", str(path))
    assert f"{flag}: families.clip.loss.name nothing, there clip" in text


def test_a_space_with_a_set_is_compared_as_a_whole(begun, tmp_path):
    flags = ("--space", str(tmp_path / "tiny.yaml"), "--set", "model.embed_dim=4")
    text = refused(begun, *flags)
    assert f"{' '.join(flags)}: overrides.model.embed_dim 4, there nothing" in text
    assert f"{' '.join(flags)}: model.embed_dim 4, there 8" in text


def test_of_many_differences_six_are_told(begun):
    flags = (
        "--seed",
        "0",
        "--epochs",
        "4",
        "--name",
        "x",
        "--trials",
        "3",
        "--confirm-seeds",
        "1",
        "--logger",
        "none",
    )
    six = refused(begun, *flags[:-2], "--set", "model.embed_dim=4")
    assert six.count(", there ") == 6 and "more" not in six
    eight = refused(begun, *flags, "--set", "model.embed_dim=4", "--set", "data.batch_size=4")
    assert eight.count(", there ") == 6 and eight.endswith("; and 2 more")


# -- the data


def with_data(begun, **changes):
    """The plan of a sweep that goes on, whose sweep.yaml says something else of its data."""
    sweep = read_sealed(results_of(begun).sweep_yaml)
    data = {**sweep["data"], **changes}
    sweep["data"] = {key: value for key, value in data.items() if value is not None}
    results_of(begun).write_sweep_yaml(sweep)
    return resumed(begun.place)


def test_the_same_data_are_accepted_and_others_are_not(begun, store):
    check_same_data(resumed(begun.place), store)
    told = rf"is not as it was when the sweep began \(fingerprint {store.path.name}, then 0123abcd;"
    with pytest.raises(InputError, match=told):
        check_same_data(with_data(begun, fingerprint="0123abcd"), store)


def test_a_pretrained_model_must_be_what_it_was_when_the_sweep_began(begun, store):
    plan = with_data(begun, models={"hf:a": "0123"})
    same, other = ({"hf:a": key} for key in ("0123", "4567"))
    check_same_data(replace(plan, data=DataState((), same)), store)
    with pytest.raises(
        InputError, match=r"the model hf:a is not as it was .*\(fingerprint 4567, then 0123\)"
    ):
        check_same_data(replace(plan, data=DataState((), other)), store)
    older = with_data(begun, models=None)  # as versions before this one wrote it
    check_same_data(replace(older, data=DataState((), other)), store)


def widen(plan):
    """Go on with the sweep, and stop at once."""
    with SweepRecord.resume(plan.place, plan.told, widened(plan)):
        pass


def test_a_larger_budget_is_written_down(begun):
    before = read_sealed(results_of(begun).sweep_yaml)
    widen(resumed(begun.place, "--trials", "9", "--time-budget", "7s"))
    after = read_sealed(results_of(begun).sweep_yaml)
    assert after == {
        **before,
        "space": {**before["space"], "trials": 9},
        "budget": {**before["budget"], "trials_per_family": 9},
    }
    widen(resumed(begun.place, "--confirm-seeds", "3"))
    assert read_sealed(results_of(begun).sweep_yaml)["budget"]["confirm_seeds"] == 3
    widen(resumed(begun.place, "--searches", "2"))
    assert read_sealed(results_of(begun).sweep_yaml)["space"]["searches"] == 2
    assert refused(begun, "--searches", "1") == "--searches 1, there 2 (it may grow, not shrink)"
    widen(resumed(begun.place, "--confirm-configs", "6"))
    assert read_sealed(results_of(begun).sweep_yaml)["budget"]["confirm_configs"] == 6
    assert resumed(begun.place).space.trials == 9


def test_the_same_budget_leaves_the_file_alone(begun):
    results_of(begun).sweep_yaml.chmod(0o444)
    before = results_of(begun).sweep_yaml.stat()
    widen(resumed(begun.place, "--cpus-per-trial", "1"))
    assert results_of(begun).sweep_yaml.stat() == before


def test_a_sweep_from_before_there_was_a_lag_goes_on_with_the_usual_one_and_keeps_it(begun):
    sweep = read_sealed(results_of(begun).sweep_yaml)
    del sweep["space"]["lag"]
    results_of(begun).write_sweep_yaml(sweep)
    plan = resumed(begun.place)
    assert plan.space == begun.space
    widen(plan)
    assert (
        read_sealed(results_of(begun).sweep_yaml)["space"]["lag"] == SearchSpace.model_fields["lag"].default
    )


def test_a_sweep_from_before_there_were_confirmations_gets_the_usual_number(begun):
    sweep = read_sealed(results_of(begun).sweep_yaml)
    del sweep["budget"]["confirm_seeds"]
    results_of(begun).write_sweep_yaml(sweep)
    assert resumed(begun.place).confirm_seeds == 3
    assert refused(begun, "--confirm-seeds", "2") == "--confirm-seeds 2, there 3 (it may grow, not shrink)"
