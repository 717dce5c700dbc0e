"""Spaces: what a file may say, what `--set` does, and the experiments that come out."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import yaml

from stclip.config.load import dump_yaml, parse_override, validate
from stclip.config.strict_yaml import parse_yaml
from stclip.errors import ConfigError
from sweeps.search.budget import with_budget
from sweeps.search.parameter import Parameter
from sweeps.search.pinning import pin
from sweeps.search.space import SPACES, SearchSpace, base_tree, family_experiment, load_space

COMMITTED = sorted(path.stem for path in SPACES.glob("*.yaml"))
SPACE = {
    "about": "two families",
    "experiment": "base.yaml",
    "overrides": {"data": {"batching": "neighborhood"}, "model": {"learnable_temperature": False}},
    "metric": "val/R@10",
    "mode": "max",
    "trials": 4,
    "epochs": 6,
    "early_stopping": {"first_rung": 2, "factor": 3},
    "families": {
        "spatial": {
            "loss": {"name": "spatial", "local_loss": False},
            "parameters": {
                "loss.neighbor_alpha_scale": {"type": "float", "low": 0.1, "high": 10, "log": True},
                "data.batch_size": {"type": "int", "low": 16, "high": 64},
                "model.image.name": {"type": "choice", "values": ["stain", "cnn"]},
            },
            "first": [{"loss.neighbor_alpha_scale": 1, "data.batch_size": 32, "model.image.name": "cnn"}],
        },
        "clip": {
            "loss": {"name": "clip"},
            "overrides": {"optimizer": {"lr": 0.01}},
            "parameters": {"model.temperature": {"type": "float", "low": 0.02, "high": 0.5, "log": True}},
            "first": [{"model.temperature": 0.07}],
        },
    },
}
SPATIAL = ("families", "spatial")
SCALE = (*SPATIAL, "parameters", "loss.neighbor_alpha_scale")


def write(folder: Path, tree: dict, base: str = "data: {dataset: synthetic_small}\n") -> str:
    (folder / "base.yaml").write_text(base)
    path = folder / "tiny.yaml"
    path.write_text(yaml.safe_dump(tree, sort_keys=False))
    return str(path)


def changed(path: tuple, value: object) -> dict:
    """The space above with one place changed; `...` deletes it."""
    tree = copy.deepcopy(SPACE)
    if path[2:3] == ("parameters",):
        tree["families"][path[1]].pop("first")  # else its points would be at fault first
    inner = tree
    for key in path[:-1]:
        inner = inner[key]
    if value is ...:
        del inner[path[-1]]
    else:
        inner[path[-1]] = value
    return tree


@pytest.fixture
def space(tmp_path: Path) -> SearchSpace:
    return load_space(write(tmp_path, SPACE))


@pytest.mark.parametrize("name", COMMITTED)
def test_committed_spaces_make_experiments_and_say_what_they_are(name: str) -> None:
    space = load_space(name)
    tree = base_tree(space)
    text = (SPACES / f"{name}.yaml").read_text()
    assert f"#   python sweeps/run.py --space {name}\n" in text
    assert space.about and space.name == name
    for family, chosen in space.families.items():
        for params in (space.middle(family), *chosen.first):
            config = family_experiment(space, family, params, tree)
            assert config.loss.name == chosen.loss["name"]
            assert config.trainer.max_epochs == space.epochs
            assert not config.model.learnable_temperature
            assert config.model.temperature == params["model.temperature"]
            assert config.model.temperature >= 1 / (getattr(config.loss, "cap_logit_scale", None) or 1e9)
        assert set(space.distributions(family)) == set(chosen.parameters)


def test_the_names_the_project_promises_are_committed() -> None:
    assert {"spatial", "clip", "smoke", "wide"} <= set(COMMITTED)
    assert list(load_space("spatial").families) == ["spatial", "clip"]
    published = {"loss.neighbor_alpha_scale": 0.5, "loss.temp_reg_weight": 0.05, "model.temperature": 0.07}
    assert load_space("spatial").families["spatial"].first[0] == published


def test_an_experiment_is_base_then_overrides_then_family_then_parameters(space: SearchSpace) -> None:
    tree = base_tree(space, data="elsewhere")
    params = {"loss.neighbor_alpha_scale": 3.0, "data.batch_size": 48, "model.image.name": "cnn"}
    spatial = family_experiment(space, "spatial", params, tree)
    clip = family_experiment(space, "clip", {"model.temperature": 0.1}, tree)
    assert (spatial.loss.neighbor_alpha_scale, spatial.loss.local_loss) == (3.0, False)
    assert (spatial.data.batch_size, spatial.model.image.name, spatial.optimizer.lr) == (48, "cnn", 1e-3)
    assert (clip.loss.name, clip.model.temperature, clip.optimizer.lr) == ("clip", 0.1, 0.01)
    for config in (spatial, clip):
        assert config.data.batching == "neighborhood" and config.data.dataset == "elsewhere"
        assert config.trainer.max_epochs == 6
    assert family_experiment(space, "clip", {}, base_tree(space)).data.dataset == "synthetic_small"


def test_a_loss_in_the_base_experiment_gives_way_to_the_family(tmp_path: Path) -> None:
    base = "loss: {name: spatial, neighbor_alpha_scale: 9, gather_with_grad: false}\n"
    space = load_space(write(tmp_path, SPACE, base))
    assert family_experiment(space, "clip", {}, base_tree(space)).loss.gather_with_grad is True
    assert family_experiment(space, "spatial", {}, base_tree(space)).loss.gather_with_grad is False


def test_middle_is_geometric_with_log_and_inside_the_list(space: SearchSpace) -> None:
    assert space.middle("spatial") == {
        "loss.neighbor_alpha_scale": 1.0,
        "data.batch_size": 40,
        "model.image.name": "cnn",
    }


def test_distributions_are_the_ranges(space: SearchSpace) -> None:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    assert space.distributions("spatial") == {
        "loss.neighbor_alpha_scale": FloatDistribution(0.1, 10.0, log=True),
        "data.batch_size": IntDistribution(16, 64),
        "model.image.name": CategoricalDistribution(("stain", "cnn")),
    }


@pytest.mark.parametrize("log", [False, True])
def test_shares_reach_every_whole_number_and_never_leave_the_range(log: bool) -> None:
    parameter = Parameter(type="int", low=1, high=4, log=log)
    seen = [parameter.at(i / 999) for i in range(1000)]
    assert sorted(seen) == seen and set(seen) == {1, 2, 3, 4}
    if not log:
        assert [seen.count(value) for value in (1, 2, 3, 4)] == pytest.approx([250] * 4, abs=2)
    real = Parameter(type="float", low=0.3, high=7.7, log=log)
    assert (real.at(0.0), real.at(1.0)) == (0.3, 7.7)


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("mod",), "max", r"unknown key 'mod' \(did you mean 'mode'\?\)"),
        (("mode",), ..., "mode: is missing"),
        (("mode",), "maximum", "mode: input should be 'max' or 'min', got 'maximum'"),
        (("metric",), "val/loss", "unknown metric to search by 'val/loss'"),
        (("metric",), "val/batch_R@10", "unknown metric to search by 'val/batch_R@10'"),
        (
            (*SPATIAL, "parameters", "data.on_bad_spot"),
            {"type": "choice", "values": ["error", "skip"]},
            "data.on_bad_spot cannot be chosen here; it decides which spots there are",
        ),
        (
            (*SPATIAL, "parameters", "model.image.center"),
            {"type": "float", "low": 0.3, "high": 1.0},
            r"parameters.model.image.center: .*a float from 0.3 to 1.0 has too many; search a few by `type: choice",
        ),
        (
            (*SPATIAL, "parameters", "data.max_genes"),
            {"type": "int", "low": 10, "high": 26},
            r"data.max_genes: .* and these are 17; search a few by .* \(at most 16\)",
        ),
        (("metric",), "test/R@10", "did you mean 'val/R@10'"),
        (("trials",), 0, "trials: .*greater than or equal to 1, got 0"),
        (("lag",), 0, "lag: .*greater than or equal to 1, got 0"),
        (("lag",), 1.5, "lag: .* got 1.5"),
        (("lag",), True, "lag must be a number, got true"),
        (("families",), {}, "families: a space needs at least one family, got none"),
        (("families",), {"a/b": SPACE["families"]["clip"]}, "a family's name is .* got 'a/b'"),
        (("early_stopping", "factor"), 1, "early_stopping.factor: .* got 1"),
        (
            ("early_stopping", "first_rung"),
            5,
            "tiny.yaml: early_stopping: the last rung .* at 3/4 of `epochs` or before, got rung 5 of 6 "
            r"epochs \(first_rung 5, factor 3\): .*; write first_rung: 4 or epochs: 7",
        ),
        (("experiment",), "no_such", "unknown experiment 'no_such'"),
        ((*SPATIAL, "parameters"), {}, "families.spatial"),
        ((*SPATIAL, "loss"), {"name": "spatail"}, "unknown loss 'spatail'; did you mean 'spatial'"),
        ((*SPATIAL, "loss"), {}, "families.spatial.loss: unknown loss 'None'"),
        ((*SPATIAL, "loss", "alpha"), 1, "families.spatial: unknown key 'loss.alpha'"),
        ((*SPATIAL, "lss"), 1, r"unknown key 'families.spatial.lss' \(did you mean 'loss'\?\)"),
        ((*SPATIAL, "overrides"), {"data": {"batch_sise": 8}}, "did you mean 'batch_size'"),
        (
            (*SPATIAL, "overrides"),
            {"data": {"dataset": "x"}},
            "data.dataset cannot be chosen here; .*one data set",
        ),
        ((*SPATIAL, "overrides"), {"loss": {"local_loss": True}}, "a loss belongs to a family"),
        (("overrides", "seed"), 3, "seed cannot be chosen here; use --seed"),
        (("overrides", "trainer"), {"max_epochs": 3}, "trainer.max_epochs cannot be chosen here"),
        ((*SCALE, "low"), 10, "low must be below high, got low=10, high=10"),
        ((*SCALE, "low"), 0, "low must be above 0 with log: true, got 0"),
        ((*SCALE, "high"), float("inf"), "neighbor_alpha_scale.high"),
        ((*SCALE, "high"), 1000, "neighbor_alpha_scale: .*less than or equal to 100, got 1000"),
        ((*SCALE, "lo"), 1, r"did you mean 'low'\?"),
        ((*SCALE, "type"), "flaot", "input should be 'float', 'int' or 'choice', got 'flaot'"),
        ((*SCALE, "values"), [1, 2], "type float takes low and high"),
        ((*SCALE, "high"), ..., "needs both low and high"),
        ((*SPATIAL, "parameters", "data.batch_size", "high"), 64.5, "type int needs whole numbers"),
        ((*SPATIAL, "parameters", "data.batch_size", "low"), 4, "must be above data.num_neighbors"),
        ((*SPATIAL, "parameters", "model.image.name", "values"), ["stain"], "needs at least two values"),
        ((*SPATIAL, "parameters", "model.image.name", "values"), ["cnn", "cnn"], "values must differ"),
        (
            (*SPATIAL, "parameters", "optimizer.lr"),
            {"type": "choice", "values": [1e-4, "1e-4"]},
            "values must differ",
        ),
        (
            (*SPATIAL, "parameters", "optimizer.lr"),
            {"type": "choice", "values": ["0.0001", "1e-04 "]},
            "values must differ",
        ),
        (
            (*SPATIAL, "parameters", "data.batch_size"),
            {"type": "choice", "values": [32, 32.0]},
            "values must differ",
        ),
        (
            (*SPATIAL, "parameters", "model.image.name", "values"),
            ["stain", "cnn", "cmn"],
            "unknown image tower 'cmn'",
        ),
        ((*SPATIAL, "parameters", "model.image.name", "log"), True, "type choice takes `values` only"),
        (
            (*SPATIAL, "parameters", "model.temprature"),
            {"type": "float", "low": 0.1, "high": 1},
            r"unknown key 'model.temprature' \(did you mean 'temperature'\?\)",
        ),
        (
            (*SPATIAL, "parameters", "seed"),
            {"type": "int", "low": 0, "high": 9},
            "seed cannot be chosen here",
        ),
        (
            ("families", "clip", "parameters", "loss.neighbor_alpha_scale"),
            {"type": "float", "low": 0.1, "high": 1},
            "families.clip.parameters.loss.neighbor_alpha_scale: unknown key 'loss.neighbor_alpha_scale'",
        ),
        (("families", "clip", "first"), [{"model.temperatur": 0.1}], r"first\[0\]: unknown parameter"),
        (
            ("families", "clip", "first"),
            [{"model.temperature": 9}],
            r"must be a number from 0.02 to 0.5, got 9",
        ),
        (("families", "clip", "first"), [{"model.temperature": "hot"}], "must be a number .* got 'hot'"),
        (("families", "clip", "first"), [{}], "missing: model.temperature"),
    ],
)
def test_a_bad_space_is_one_line_with_file_and_key(
    tmp_path: Path, path: tuple, value: object, message: str
) -> None:
    file = write(tmp_path, changed(path, value))
    with pytest.raises(ConfigError, match=message) as caught:
        load_space(file)
    assert "\n" not in str(caught.value)
    if "no_such" not in message:
        assert file in str(caught.value)


def test_an_unknown_space_lists_the_known_ones() -> None:
    with pytest.raises(
        ConfigError, match=r"unknown space 'spatail'; did you mean 'spatial'.*clip, smoke, spatial"
    ):
        load_space("spatail")


def test_a_set_value_is_no_longer_searched_in_any_family(space: SearchSpace) -> None:
    pinned = pin(space, [(("model", "temperature"), 0.2), (("loss", "neighbor_alpha_scale"), 2)])
    assert set(pinned.distributions("spatial")) == {"data.batch_size", "model.image.name"}
    assert pinned.families["spatial"].first == ({"data.batch_size": 32, "model.image.name": "cnn"},)
    assert pinned.distributions("clip") == {} and pinned.families["clip"].first == ()
    tree = base_tree(pinned)
    assert family_experiment(pinned, "clip", {}, tree).model.temperature == 0.2
    spatial = family_experiment(pinned, "spatial", pinned.middle("spatial"), tree)
    assert (spatial.model.temperature, spatial.loss.neighbor_alpha_scale) == (0.2, 2.0)
    # The space given is left as it was.
    assert set(space.families["clip"].parameters) == {"model.temperature"}


def test_a_set_value_wins_over_a_familys_own(space: SearchSpace) -> None:
    pinned = pin(space, [(("optimizer", "lr"), 0.5), (("loss", "local_loss"), True)])
    for family in pinned.families:
        config = family_experiment(pinned, family, pinned.middle(family), base_tree(pinned))
        assert (config.optimizer.lr, config.loss.local_loss) == (0.5, True)


def test_a_section_set_as_a_whole_pins_its_leaves(space: SearchSpace) -> None:
    pinned = pin(space, [parse_override("model.image={name: stain, width: 16}")])
    assert "model.image.name" not in pinned.distributions("spatial")
    image = family_experiment(pinned, "spatial", pinned.middle("spatial"), base_tree(pinned)).model.image
    assert (image.name, image.width) == ("stain", 16)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("data.btch_size=3", r"--set data.btch_size=3: .*did you mean 'batch_size'"),
        (
            "loss.neighbour_alpha_scale=1",
            "unknown .*'loss.neighbour_alpha_scale'; did you mean 'loss.neighbor_alpha",
        ),
        ("loss=clip", "unknown loss key"),
        ("loss.name=clip", "a family is its loss"),
        ("model.temperature=-1", "greater than 0.001, got -1"),
        ("loss.neighbor_alpha_scale=-1", "greater than or equal to 0, got -1"),
        ("seed=3", "use --seed"),
        ("trainer.max_epochs=3", "use --epochs"),
        ("data.dataset=x", "use --data"),
    ],
)
def test_a_bad_set_is_one_line(space: SearchSpace, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        pin(space, [parse_override(text)])


def test_the_budget_can_be_changed_and_is_checked(space: SearchSpace) -> None:
    assert with_budget(space) == space
    other = with_budget(space, trials=9, epochs=1)
    assert (other.trials, other.epochs) == (9, 1)
    assert base_tree(other)["trainer"]["max_epochs"] == 1
    with pytest.raises(ConfigError, match=r"trials: .* got 0"):
        with_budget(space, trials=0)


def test_rungs_follow_the_epochs(space: SearchSpace) -> None:
    assert space.early_stopping is not None and space.early_stopping.first_rung == 2  # of 6 epochs
    rules = [with_budget(space, epochs=epochs).early_stopping for epochs in (6, 7, 20, 60)]
    assert [rule and (rule.first_rung, rule.factor) for rule in rules] == [(2, 3), (3, 3), (7, 3), (20, 3)]
    none = space.model_copy(update={"early_stopping": None})
    assert with_budget(none, epochs=60).early_stopping is None


def test_a_space_of_before_that_rule_can_still_be_read_and_widened(space: SearchSpace) -> None:
    late = space.model_copy(update={"epochs": 7})  # rungs 2 and 6
    assert validate(SearchSpace, late.model_dump(), "sweep.yaml") == late
    assert with_budget(late, trials=99).early_stopping == late.early_stopping


def test_a_resolved_space_reads_back_equal(space: SearchSpace) -> None:
    pinned = pin(space, [(("model", "temperature"), 0.2)])
    assert validate(SearchSpace, parse_yaml(dump_yaml(pinned), "dump"), "dump") == pinned


def test_what_defines_the_metric_is_not_searched(tmp_path: Path) -> None:
    tree = changed((*SPATIAL, "parameters", "data.num_neighbors"), {"type": "choice", "values": [4, 6]})
    assert load_space(write(tmp_path, tree)).metric == tree["metric"]
    with pytest.raises(
        ConfigError, match=r"data.num_neighbors cannot be chosen here; it decides what a hit of .*ring_R@K is"
    ):
        load_space(write(tmp_path, {**tree, "metric": "val/ring_R@10"}))
