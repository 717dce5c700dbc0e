"""Numbers as people write them, and the two sizes of YAML: a configuration, and what a sweep itself writes by the thousand."""

import os

import pytest

from stclip.config import Experiment
from stclip.config.load import dump_yaml, parse_override
from stclip.config.strict_yaml import CONFIGURATION, RESULTS, Limits, dump_tree, parse_yaml, read_yaml
from stclip.errors import ConfigError
from sweeps.results.sealed_yaml import read_sealed, read_unsealed, sealed_text

BOTH = pytest.mark.parametrize("limits", [CONFIGURATION, RESULTS], ids=["a configuration", "results"])


@BOTH
@pytest.mark.parametrize(
    ("text", "value"),
    [("1e-4", 1e-4), ("1E5", 1e5), ("-1e+3", -1000.0), ("1.e2", 100.0), (".5e-3", 5e-4), ("+2e0", 2.0), ("1.0e-4", 1e-4),
     ("'1e-4'", "1e-4"), ("1e", "1e"), ("e1", "e1"), ("1e-4x", "1e-4x"), ("1e 4", "1e 4"), ("0x1e5", 485)],
)  # fmt: skip
def test_a_number_with_an_exponent_is_a_number(limits, text, value):
    found = parse_yaml(text, "a", limits)
    assert found == value and type(found) is type(value)
    assert parse_override(f"a={text}")[1] == value


@BOTH
@pytest.mark.parametrize(
    "value", ["1e-4", "2E10", ".5e3", "1_0e1", "yes", "0x1", "1.0", "", "=", 1e-4, 1e22, 5e-324]
)
def test_what_is_written_is_read_again_as_it_was(limits, value):
    assert parse_yaml(dump_tree({"a": [value]}), "a", limits) == {"a": [value]}
    assert Experiment.model_validate(parse_yaml(dump_yaml(Experiment(name="1e4")), "a", limits)).name == "1e4"


@BOTH
@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: 1\na: 2", "line 2 not valid YAML: key 'a' is given twice"),
        ("a: &x {b: 1}\nc: {<<: *x}", "'<<' is not supported"),
        ("? [a]\n: 1", "a key must be text, got a list"),
        ("a: &x [*x]", "more than 20 levels"),
        ("[" * 100_000, "more than 20 levels"),
        ("- " * 100_000, "more than 20 levels"),
        ("{a: " * 25 + "1" + "}" * 25, "more than 20 levels"),
        ("a: " + "1" * 2000, "a number of more than 1,200 digits"),
        ("!!python/object/apply:os.mkdir [x]", "could not determine a constructor"),
        ("!!int x", "'x'"),
        ("[1, 2", "not valid YAML"),
        ("\x00", "not valid YAML"),
    ],
)  # fmt: skip
def test_both_readers_refuse_the_same(limits, text, said):
    with pytest.raises(ConfigError, match=said):
        parse_yaml(text, "a", limits)


@BOTH
def test_aliases_cannot_make_many_values_out_of_few(limits):
    text = "a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]\n" + "".join(
        f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 7)
    )
    with pytest.raises(ConfigError, match=f"holds more than {limits.values} values"):
        parse_yaml(text, "a", limits)


def large(values):
    return {
        "space": {"values": [n / 7 for n in range(values)]},
        "data": {f"TENX{n}": f"donor {n}" for n in range(3000)},
    }


def test_a_sweep_of_thousands_of_choices_and_slides_is_read_again(tmp_path):
    path, tree = tmp_path / "sweep.yaml", large(15_000)
    path.write_text(sealed_text(tree))
    assert path.stat().st_size > CONFIGURATION.size
    assert read_sealed(path) == tree and read_unsealed(path) == tree


@pytest.mark.parametrize(
    ("limits", "said"),
    [(Limits(10_000, 99), "holds more than 99 values"), (Limits(2**10, 10_000), "would be larger than 0 MB; search fewer")],
)  # fmt: skip
def test_one_that_could_not_be_read_again_is_not_begun(limits, said, monkeypatch):
    monkeypatch.setattr("sweeps.results.sealed_yaml.RESULTS", limits)
    with pytest.raises(ConfigError, match=rf"^sweep.yaml of this sweep:? {said}"):
        sealed_text({"a": list(range(200))} | {"b": "x" * 1000})


def test_a_pipe_is_no_configuration(tmp_path):
    os.mkfifo(tmp_path / "a.yaml")
    with pytest.raises(ConfigError, match="cannot be read: a named pipe, not a regular file"):
        read_yaml(tmp_path / "a.yaml")
