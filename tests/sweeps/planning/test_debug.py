"""`--debug`: one trial in this very process; breakpoints stop, exceptions arrive whole, nothing is written."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from stclip.errors import ConfigError
from stclip.files.paths import PROJECT_ROOT
from sweeps.planning.command_line import make_parser
from sweeps.planning.debug import _seeded, choose_family
from sweeps.planning.plan import make_plan

BASE = {
    "data": {
        "image_size": 16,
        "num_neighbors": 4,
        "batch_size": 24,
        "max_genes": 12,
        "batching": "neighborhood",
    },
    "model": {"image": {"name": "stain", "width": 16}, "genes": {"width": 16}, "embed_dim": 8},
    "trainer": {"accelerator": "cpu"},
}
TEMPERATURE = {"type": "float", "low": 0.01, "high": 1.0, "log": True}
SPACE = {
    "experiment": "base.yaml", "metric": "val/R@10", "mode": "max", "trials": 4, "epochs": 2,
    "families": {
        "clip": {"loss": {"name": "clip"}, "parameters": {"model.temperature": TEMPERATURE}},
        "spatial": {
            "loss": {"name": "spatial"},
            "parameters": {
                "loss.neighbor_alpha_scale": {"type": "float", "low": 0.0, "high": 2.0},
                "model.temperature": TEMPERATURE,
            },
        },
    },
}  # fmt: skip

# A session under a debugger: the first call of the loss does something; what was imported and started is printed.
DRIVER = """
import os, sys
from pathlib import Path
from stclip.losses import SpatialLoss

forward, calls = SpatialLoss.forward, []

def patched(self, *arguments, **named):
    calls.append(os.getpid())
    if len(calls) == 1:
        {action}
    return forward(self, *arguments, **named)

SpatialLoss.forward = patched
from sweeps.run import main

code = main(sys.argv[1:])
children = Path(f"/proc/self/task/{{os.getpid()}}/children")
print("children:", children.read_text().split() if children.exists() else [])
print("imported:", [name for name in ("ray", "optuna") if name in sys.modules])
print("in this process:", set(calls) == {{os.getpid()}})
sys.exit(code)
"""


@pytest.fixture
def arguments(tmp_path, shared_tiny_dataset):
    (tmp_path / "base.yaml").write_text(yaml.safe_dump(BASE))
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(SPACE, sort_keys=False))
    return ["--space", str(tmp_path / "tiny.yaml"), "--data", str(shared_tiny_dataset), "--debug",
            "--results", str(tmp_path / "results")]  # fmt: skip


def debug(tmp_path, arguments, action, typed=""):
    """The command with the loss patched; `typed` is what a person types at the debugger's prompt."""
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONBREAKPOINT"}
    driver = tmp_path / "driver.py"
    driver.write_text(DRIVER.format(action=action))
    environment |= {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(PROJECT_ROOT)}
    done = subprocess.run([sys.executable, str(driver), *arguments], cwd=tmp_path, env=environment, input=typed,
                          capture_output=True, text=True, timeout=300)  # fmt: skip
    new = {p.name for p in tmp_path.iterdir()} - {"base.yaml", "tiny.yaml", "driver.py"}
    assert new == set()  # no results folder, no logs, no checkpoint
    return done


def test_a_breakpoint_in_the_loss_stops_and_goes_on_in_this_process(tmp_path, arguments):
    given = [*arguments, "--set", "loss.neighbor_alpha_scale=0.5"]
    action = "self_scale = self.neighbor_alpha_scale; breakpoint()"
    done = debug(tmp_path, given, action, typed="p 'scale', self_scale\np len(arguments) + len(named)\nc\n")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "(Pdb)" in done.stdout
    assert "('scale', 0.5)" in done.stdout  # the value of --set, in the family that knows it
    assert "imported: []" in done.stdout  # no Ray, no Optuna
    assert "children: []" in done.stdout
    assert "in this process: True" in done.stdout
    assert "loss spatial, 2 epochs, seed 0" in done.stdout
    for text in ("R@10", "val", "median rank", "seconds: import", "train"):
        assert text in done.stdout


def test_an_exception_in_the_loss_arrives_whole(tmp_path, arguments):
    given = [*arguments, "--family", "spatial"]
    done = debug(tmp_path, given, "raise KeyError('my own bug')")
    assert done.returncode == 1
    assert "Traceback (most recent call last)" in done.stderr
    assert "training_step" in done.stderr  # the way there ...
    assert f'{Path("driver.py")}", line' in done.stderr
    assert done.stderr.strip().endswith("KeyError: 'my own bug'")  # ... and the very exception


def plan_of(arguments, *more):
    return make_plan(make_parser().parse_args([*arguments, *more]))


@pytest.mark.parametrize(
    ("sets", "family", "expected"),
    [
        ([], None, "clip"),  # the space's first
        (["loss.neighbor_alpha_scale=0.5"], None, "spatial"),  # the first that knows the key
        (["loss.local_loss=false"], None, "clip"),  # both know it
        (["model.embed_dim=4"], None, "clip"),
        ([], "spatial", "spatial"),
        (["loss.neighbor_alpha_scale=0.5"], "clip", "clip"),  # what is asked for wins
    ],
)
def test_which_family_is_debugged(arguments, sets, family, expected):
    plan = plan_of(arguments, *(part for text in sets for part in ("--set", text)))
    assert choose_family(plan, sets, family) == expected


def test_an_unknown_family_is_refused(arguments):
    with pytest.raises(ConfigError, match="unknown family 'spatail'; did you mean 'spatial'"):
        choose_family(plan_of(arguments), [], "spatail")


def test_the_trial_is_in_the_middle_of_the_space_or_where_set_says(arguments):
    config = _seeded(plan_of(arguments, "--seed", "3"), "spatial")
    assert (config.seed, config.trainer.max_epochs) == (3, 2)
    assert config.loss.neighbor_alpha_scale == 1.0
    assert config.model.temperature == pytest.approx(0.1)
    config = _seeded(plan_of(arguments, "--set", "loss.neighbor_alpha_scale=0.5"), "spatial")
    assert config.loss.neighbor_alpha_scale == 0.5
    assert config.model.temperature == pytest.approx(0.1)
