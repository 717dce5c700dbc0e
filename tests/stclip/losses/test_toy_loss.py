"""A new loss is one file and one line: registered here, it is listed, checked, debugged, and keeps the contract."""

import re

import pytest
import yaml

from stclip.config.registry import LOSSES, LossEntry
from sweeps.run import main
from tests.stclip.losses.loss_contract import loss_contract

HERE = "tests.stclip.losses.toy_loss"
LINE = LossEntry(f"{HERE}:ToyLoss", "partners attract each other", section=f"{HERE}:ToySection")
PULL = {"type": "float", "low": 0.1, "high": 5.0, "log": True}


@pytest.fixture(autouse=True)
def registered(monkeypatch):
    monkeypatch.setitem(LOSSES, "toy", LINE)


@pytest.fixture
def space(tmp_path, shared_tiny_dataset):
    base = {
        "data": {"dataset": str(shared_tiny_dataset), "image_size": 16, "batch_size": 16, "num_neighbors": 4},
        "model": {"image": {"name": "stain", "width": 16}, "genes": {"width": 16}, "embed_dim": 8},
        "trainer": {"accelerator": "cpu", "loggers": ["csv"]},
    }
    families = {
        "toy": {"loss": {"name": "toy"}, "parameters": {"loss.pull": PULL}},
        "clip": {"loss": {"name": "clip"}, "parameters": {"model.temperature": PULL}},
    }
    tree = {
        "experiment": str(tmp_path / "base.yaml"),
        "metric": "val/R@10",
        "mode": "max",
        "trials": 2,
        "epochs": 1,
    }
    (tmp_path / "base.yaml").write_text(yaml.safe_dump(base))
    path = tmp_path / "toys.yaml"
    path.write_text(yaml.safe_dump({**tree, "families": families}))
    return str(path)


def slow_toy(image, gene, scale, batch, settings):
    cosines = [(a * b).sum() for a, b in zip(image, gene, strict=True)]
    return settings["pull"] * scale * sum(1 - cosine for cosine in cosines) / len(cosines)


TestToy = loss_contract("toy", {"pull": 0.6}, slow_toy)


def test_it_is_listed(capsys):
    assert main(["--list"]) == 0
    assert "  toy               partners attract each other\n" in capsys.readouterr().out


def test_a_dry_run_counts_it(space, tmp_path, capsys):
    assert main(["--space", space, "--results", str(tmp_path / "results"), "--dry-run"]) == 0
    out = capsys.readouterr().out
    assert "family toy: loss toy\n  loss.pull: 0.1 to 5 (log)" in out


def test_it_is_trained_under_a_debugger(space, tmp_path, capsys):
    assert (
        main(["--space", space, "--results", str(tmp_path / "results"), "--debug", "--set", "loss.pull=2"])
        == 0
    )
    assert "family toy: nothing is searched" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("loss.pull=0", "families.*toy.*loss.pull: .*greater than 0, got 0"),
        ("loss.pul=1", "unknown loss key of every family 'loss.pul'; did you mean 'loss.pull'"),
    ],
)
def test_its_keys_are_checked(space, capsys, change, message):
    assert main(["--space", space, "--dry-run", "--set", change]) == 2
    assert re.search(message, capsys.readouterr().err)
