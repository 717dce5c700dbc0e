"""What `--resume` decides before anything runs: the plan, the flags it refuses, the data and the record it asks for."""

import re
import shutil
from dataclasses import replace

import pytest
import yaml

from stclip.data.store import open_store
from stclip.data.store.data_key import DataState
from stclip.errors import ConfigError, InputError
from sweeps.planning.command_line import make_parser
from sweeps.planning.resume import check_record, check_same_data, plan_to_resume, widen
from sweeps.planning.sweep_yaml import describe_sweep
from sweeps.results.sealed_yaml import read_sealed
from sweeps.search.space import SearchSpace
from tests.sweeps.made_up import record
from tests.sweeps.tiny_plan import TEMPERATURE

BEGUN = ("--name", "begun", "--seed", "3", "--confirm-seeds", "2", "--time-budget", "90s", "--max-failures", "4",
         "--trial-timeout", "5m", "--cpus-per-trial", "2", "--max-concurrent", "3", "--gpus-per-trial", "0.5")  # fmt: skip


@pytest.fixture
def store(plan_of):
    return open_store(plan_of().middles()["clip"].data)


@pytest.fixture
def begun(plan_of, store):
    """The plan of a sweep whose folder is there: trials 4, epochs 3, seed 3."""
    plan = plan_of(*BEGUN)
    plan.results.create(describe_sweep(plan, store, "python sweeps/run.py"))
    return plan


def resumed(place, *arguments):
    return plan_to_resume(make_parser().parse_args(["--resume", str(place), *arguments]))


def refused(begun, *arguments):
    """The differences that are told of."""
    with pytest.raises(
        ConfigError, match=r"sweep\.yaml there decides, and the command line contradicts it: "
    ) as caught:
        resumed(begun.folder, *arguments)
    text = str(caught.value).partition("contradicts it: ")[2]
    return text.removesuffix("; leave these flags out, or start another sweep")


# -- the plan


def test_without_flags_all_is_as_it_was_but_the_time_budget(begun):
    plan = resumed(begun.folder)
    assert plan.resumed and plan.time_budget is None
    for what in ("space", "tree", "name", "place", "folder", "seed", "confirm_configs", "confirm_seeds",
                 "cpus_per_trial", "gpus_per_trial", "max_concurrent", "max_failures", "trial_timeout", "address"):  # fmt: skip
        assert getattr(plan, what) == getattr(begun, what), what


def test_flags_may_ask_for_more_and_for_other_resources(begun):
    more = ("--trials", "9", "--confirm-configs", "6", "--confirm-seeds", "7", "--time-budget", "1m")
    other = ("--max-failures", "0", "--trial-timeout", "1m", "--cpus-per-trial", "1", "--max-concurrent", "1",
             "--gpus-per-trial", "0")  # fmt: skip
    plan = resumed(begun.folder, *more, *other)
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
    home = ("--results", f"{begun.folder.parent}/", "--space", str(tmp_path / "tiny.yaml"))
    assert resumed(begun.folder, *same, *home).space == begun.space
    assert resumed(begun.folder, "--set", "model.embed_dim=8", "--logger", "csv").tree == begun.tree
    assert resumed(begun.folder, "--set", "loss.temp_reg_weight=0.05").tree == begun.tree  # clip has none


def test_data_that_have_moved_are_read_where_they_are(begun, tmp_path):
    plan = resumed(begun.folder, "--data", "s3://bucket/tiny")
    assert plan.tree["data"]["dataset"] == "s3://bucket/tiny"
    assert {key: value for key, value in plan.tree.items() if key != "data"} == {
        key: value for key, value in begun.tree.items() if key != "data"
    }
    # The file's own data set is another one; only the fingerprint decides.
    assert resumed(begun.folder, "--space", str(tmp_path / "tiny.yaml"), "--data", "s3://b/c").resumed


def test_a_space_is_known_by_what_it_says_wherever_its_files_are(begun, tmp_path):
    (tmp_path / "moved").mkdir()
    shutil.copy(tmp_path / "base.yaml", tmp_path / "moved")
    shutil.copy(tmp_path / "tiny.yaml", tmp_path / "moved" / "renamed.yaml")
    sweep = read_sealed(begun.results.sweep_yaml)
    sweep["base"]["data"]["root"] = "/another/checkout/data/processed"
    begun.results.write_sweep_yaml(sweep)
    assert resumed(begun.folder, "--space", str(tmp_path / "moved" / "renamed.yaml")).space == begun.space


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
    there = f"there {begun.folder.parent}"
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


def test_the_same_data_are_accepted_and_others_are_not(begun, store):
    check_same_data(begun, store)
    sweep = read_sealed(begun.results.sweep_yaml)
    sweep["data"]["fingerprint"] = "0123abcd"
    begun.results.write_sweep_yaml(sweep)
    told = rf"is not as it was when the sweep began \(fingerprint {store.path.name}, then 0123abcd;"
    with pytest.raises(InputError, match=told):
        check_same_data(begun, store)


def test_a_pretrained_model_must_be_what_it_was_when_the_sweep_began(begun, store):
    sweep = read_sealed(begun.results.sweep_yaml)
    sweep["data"]["models"] = {"hf:a": "0123"}
    begun.results.write_sweep_yaml(sweep)
    same, other = ({"hf:a": key} for key in ("0123", "4567"))
    check_same_data(replace(begun, data=DataState((), same)), store)
    with pytest.raises(
        InputError, match=r"the model hf:a is not as it was .*\(fingerprint 4567, then 0123\)"
    ):
        check_same_data(replace(begun, data=DataState((), other)), store)
    del sweep["data"]["models"]  # as versions before this one wrote it
    begun.results.write_sweep_yaml(sweep)
    check_same_data(replace(begun, data=DataState((), other)), store)


# -- the record


def test_a_record_that_has_every_known_trial_is_accepted(begun):
    begun.results.write_trials_csv([record("clip", 0)])
    for name in ("clip-0000", "spatial-0001", ".draft"):
        (begun.results.trials_dir / name).mkdir(parents=True)
    check_record(begun.results, {"clip-0000", "spatial-0001", "spatial-0002"})


@pytest.mark.parametrize("known_by", ["trials.csv", "its folder"])
def test_a_record_that_lacks_a_known_trial_is_refused(begun, known_by):
    if known_by == "trials.csv":
        begun.results.write_trials_csv([record("clip", 0), record("clip", 1)])
    else:
        (begun.results.trials_dir / "clip-0001").mkdir(parents=True)
    told = re.escape(
        f"{begun.results.study_db}: lacks 1 trials that the folder has traces of (such as clip-0001)"
    )
    with pytest.raises(InputError, match=told):
        check_record(begun.results, {"clip-0000"})


def test_a_row_that_was_cut_short_is_no_trace(begun):
    begun.results.write_trials_csv([record("clip", 0), record("clip", 1)])
    whole = begun.results.trials_csv.read_text()
    begun.results.trials_csv.write_text(whole[: whole.rindex("clip-0001") + len("clip-00")])
    check_record(begun.results, {"clip-0000"})


# -- a larger budget


def test_a_larger_budget_is_written_down(begun):
    before = read_sealed(begun.results.sweep_yaml)
    widen(resumed(begun.folder, "--trials", "9", "--time-budget", "7s"))
    after = read_sealed(begun.results.sweep_yaml)
    assert after == {
        **before,
        "space": {**before["space"], "trials": 9},
        "budget": {**before["budget"], "trials_per_family": 9},
    }
    widen(resumed(begun.folder, "--confirm-seeds", "3"))
    assert read_sealed(begun.results.sweep_yaml)["budget"]["confirm_seeds"] == 3
    widen(resumed(begun.folder, "--searches", "2"))
    assert read_sealed(begun.results.sweep_yaml)["space"]["searches"] == 2
    assert refused(begun, "--searches", "1") == "--searches 1, there 2 (it may grow, not shrink)"
    widen(resumed(begun.folder, "--confirm-configs", "6"))
    assert read_sealed(begun.results.sweep_yaml)["budget"]["confirm_configs"] == 6
    assert resumed(begun.folder).space.trials == 9


def test_the_same_budget_leaves_the_file_alone(begun):
    begun.results.sweep_yaml.chmod(0o444)
    before = begun.results.sweep_yaml.stat()
    widen(resumed(begun.folder, "--cpus-per-trial", "1"))
    assert begun.results.sweep_yaml.stat() == before


def test_a_sweep_from_before_there_was_a_lag_goes_on_with_the_usual_one_and_keeps_it(begun):
    sweep = read_sealed(begun.results.sweep_yaml)
    del sweep["space"]["lag"]
    begun.results.write_sweep_yaml(sweep)
    plan = resumed(begun.folder)
    assert plan.space == begun.space
    widen(plan)
    assert read_sealed(begun.results.sweep_yaml)["space"]["lag"] == SearchSpace.model_fields["lag"].default


def test_a_sweep_from_before_there_were_confirmations_gets_the_usual_number(begun):
    sweep = read_sealed(begun.results.sweep_yaml)
    del sweep["budget"]["confirm_seeds"]
    begun.results.write_sweep_yaml(sweep)
    assert resumed(begun.folder).confirm_seeds == 3
    assert refused(begun, "--confirm-seeds", "2") == "--confirm-seeds 2, there 3 (it may grow, not shrink)"
