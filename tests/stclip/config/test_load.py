"""Configuration files and overrides: strict, and with errors that say the way out."""

import pytest

from stclip.config import Experiment
from stclip.config.load import dump_yaml, load_experiment, merge, override, parse_override, validate
from stclip.config.registry import GENE_TOWERS, IMAGE_TOWERS, LOGGERS, LOSSES, lookup
from stclip.config.strict_yaml import parse_yaml, read_yaml
from stclip.errors import ConfigError
from stclip.files.paths import PROJECT_ROOT

EXPERIMENTS = sorted(p.stem for p in (PROJECT_ROOT / "configs" / "experiment").glob("*.yaml"))


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_committed_experiments_survive_a_round_trip(name):
    config = load_experiment(name)
    assert validate(Experiment, parse_yaml(dump_yaml(config), "dump"), "dump") == config


def test_published_settings():
    spatial, normal = load_experiment("medium_spatial"), load_experiment("medium_normal")
    assert spatial.loss.model_dump() == {
        "name": "spatial",
        "neighbor_alpha_scale": 0.5,
        "temp_reg_weight": 0.05,
        "cap_logit_scale": 40.0,
        "local_loss": True,
        "gather_with_grad": False,
    }
    assert normal.loss.model_dump() == {"name": "clip", "local_loss": True, "gather_with_grad": True}
    for config in (spatial, normal):
        assert (config.data.dataset, config.data.batch_size) == ("hest_v1_human_medium", 32)
        assert config.trainer.max_epochs == 2
        assert config.optimizer.betas == (0.9, 0.98)


@pytest.mark.parametrize(
    ("tree", "message"),
    [
        ({"loss": {"name": "spatial", "neighbor_alpha_scal": 1}}, "did you mean 'neighbor_alpha_scale'"),
        (
            {"loss": {"name": "spatiall"}},
            r"unknown loss 'spatiall'; did you mean 'spatial'\? Known: clip, spatial",
        ),
        (
            {"loss": {"name": "clip", "temp_reg_weight": 0.1}},
            "unknown key 'loss.temp_reg_weight'.*known here: gather",
        ),
        ({"data": {"batchsize": 3}}, r"unknown key 'data.batchsize' \(did you mean 'batch_size'\?\)"),
        ({"datas": {}}, "unknown key 'datas'"),
        (
            {"model": {"image": {"name": "stian"}}},
            "model.image.name: unknown image tower 'stian'; did you mean 'stain'",
        ),
        ({"optimizer": {"lr": -1}}, "optimizer.lr: input should be greater than 0, got -1"),
        ({"optimizer": {"lr": float("nan")}}, "optimizer.lr: .*finite.*got nan"),
        ({"model": {"temperature": 0}}, "model.temperature: .*greater than 0.001, got 0"),
        ({"trainer": {"max_epochs": 1.5}}, "trainer.max_epochs: must be a whole number, got 1.5"),
        ({"data": {"batching": "neighborhood", "batch_size": 6}}, "above data.num_neighbors.*got 6"),
        ([], r"must be a mapping of keys, got \[\]"),
    ],
)
def test_bad_values_are_refused_in_one_line(tree, message):
    with pytest.raises(ConfigError, match=message) as caught:
        validate(Experiment, tree, "here.yaml")
    assert str(caught.value).startswith("here.yaml: ")
    assert "\n" not in str(caught.value)


def test_numbers_written_as_yaml_strings_are_read():
    assert validate(Experiment, parse_yaml("optimizer: {lr: 1e-3}", "x"), "x").optimizer.lr == 1e-3


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [1", "f.yaml: line 1 not valid YAML"),
        ("a: 1\na: 2", "line 2 not valid YAML: key 'a' is given twice"),
        ("!!python/object/apply:os.system ['true']", "not valid YAML: could not determine a constructor"),
        ("? [1, 2]\n: 3", "a key must be text"),
        ("- 1", "the top level must be a mapping of keys, got list"),
    ],
)
def test_bad_yaml(tmp_path, text, message):
    path = tmp_path / "f.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message):
        read_yaml(path)


def test_a_file_that_is_not_text(tmp_path):
    (tmp_path / "f.yaml").write_bytes(b"\xff\xfe\x00\x81")
    with pytest.raises(ConfigError, match="cannot be read as text"):
        read_yaml(tmp_path / "f.yaml")
    with pytest.raises(ConfigError, match="no such file"):
        read_yaml(tmp_path / "g.yaml")


@pytest.mark.parametrize("text", ["noequals", "=1", "a..b=1", ".a=1"])
def test_bad_overrides(text):
    with pytest.raises(ConfigError, match="must look like key.subkey=value, got"):
        parse_override(text)


def test_overrides_reach_the_configuration():
    config = load_experiment(
        "medium_spatial", ["data.dataset=synthetic_medium", "loss.neighbor_alpha_scale=0.25"]
    )
    assert config.data.dataset == "synthetic_medium"
    assert config.loss.model_dump()["neighbor_alpha_scale"] == 0.25
    with pytest.raises(ConfigError, match="unknown key 'trainer.max_epoch'.*'max_epochs'"):
        load_experiment("medium_spatial", ["trainer.max_epoch=3"])
    with pytest.raises(ConfigError, match="'seed' is a single value, so 'seed.x' cannot be set"):
        override({"seed": 1}, ("seed", "x"), 1)


def test_another_loss_drops_the_keys_of_the_one_before():
    config = load_experiment("medium_spatial", ["loss.name=clip"])
    assert config.loss.name == "clip"
    assert merge({"loss": {"name": "spatial", "a": 1}}, {"loss": {"a": 2}}) == {
        "loss": {"name": "spatial", "a": 2}
    }


def test_unknown_experiment_lists_the_known():
    with pytest.raises(
        ConfigError, match="unknown experiment 'medium_spatail'; did you mean 'medium_spatial'"
    ):
        load_experiment("medium_spatail")
    with pytest.raises(ConfigError, match="experiment file nothing.yaml: no such file"):
        load_experiment("nothing.yaml")


@pytest.mark.parametrize("registry", [LOSSES, IMAGE_TOWERS, GENE_TOWERS, LOGGERS])
def test_every_registered_name_loads_and_says_what_it_is(registry):
    for name, entry in registry.items():
        assert callable(lookup("thing", registry, name).load())
        assert entry.about


def test_every_loss_has_a_configuration():
    for name in LOSSES:
        assert validate(Experiment, {"loss": {"name": name}}, "x").loss.name == name


@pytest.mark.parametrize("number", ["9" * 2000, "0x" + "f" * 5000])
def test_huge_numbers_are_refused(number):
    with pytest.raises(ConfigError, match="not valid YAML: a number of more than 1,200 digits"):
        parse_yaml(number, "x")
