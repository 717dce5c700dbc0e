"""A sweep whose trials train on two devices, with a real driver, real workers and gloo; one worker is killed, one raises."""

import json
import os
from collections import defaultdict

import pytest
import yaml

from stclip.config import Experiment
from stclip.config.load import validate
from stclip.config.strict_yaml import read_yaml
from stclip.evaluation.evaluate import evaluate, read_checkpoint
from stclip.files.paths import PROJECT_ROOT
from tests.conftest import TINY_SLIDES, TINY_SPLITS
from tests.whole_sweeps.sweep_runner import CLIP

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.cpu_count() == 1, reason="two workers need two processors"),
]

EPOCHS, BATCH, DEVICES = 3, 12, 2
# In every process of the sweep, as sitecustomize: which spots train where, and what befalls rank 1 of two trials.
FAULTS = """
import importlib.abc, importlib.util, json, os, signal, sys

LOG = {log!r}


def spoil_module(module):
    before = module.SpatialClipModule.training_step

    def training_step(self, batch, batch_index):
        name, epoch, rank = self.config.name, self.current_epoch + 1, self.global_rank
        if (name, epoch, rank) == ("clip-0000", 2, 1) and not os.path.exists(LOG + "/killed"):
            open(LOG + "/killed", "w").close()
            os.kill(os.getpid(), signal.SIGKILL)
        if (name, epoch, rank) == ("clip-0002", 2, 1):
            raise ValueError("a fault of rank 1 alone")
        with open(f"{{LOG}}/{{name}}-{{rank}}-{{os.getpid()}}.jsonl", "a") as file:
            file.write(json.dumps([epoch, batch["tile_ids"].tolist()]) + "\\n")
        return before(self, batch, batch_index)

    module.SpatialClipModule.training_step = training_step


def save_each_epoch(module):
    module.CHECKPOINT_SECONDS = 0.0


class Finder(importlib.abc.MetaPathFinder):
    after = {{"stclip.training.module": spoil_module, "sweeps.trial.run_trial": save_each_epoch}}

    def find_spec(self, name, path, target=None):
        change = self.after.pop(name, None)
        if change is None:
            return None
        spec = importlib.util.find_spec(name)
        load = spec.loader.exec_module
        spec.loader.exec_module = lambda module: (load(module), change(module))
        return spec


sys.meta_path.insert(0, Finder())
"""


def spots(log, trial):
    """Epoch -> rank -> (process, the spots of its batches)."""
    found = defaultdict(dict)
    for path in sorted(log.glob(f"{trial}-*.jsonl")):
        *_, rank, pid = path.stem.split("-")
        for line in path.read_text().splitlines():
            epoch, ids = json.loads(line)
            found[epoch].setdefault(int(rank), []).append((int(pid), ids))
    return found


@pytest.fixture(scope="module")
def log(runner):
    """The folder in which the sweep's processes write down what they train on."""
    folder = runner.folder / "log"
    folder.mkdir()
    return folder


@pytest.fixture(scope="module")
def sweep(runner, log, tmp_path_factory):
    hooks = tmp_path_factory.mktemp("hooks")
    (hooks / "sitecustomize.py").write_text(FAULTS.format(log=str(log)))
    path = runner.space("two", {"clip": CLIP}, trials=3, epochs=EPOCHS)
    space = {**yaml.safe_load(path.read_text()), "resources": {"devices": DEVICES}}
    path.write_text(yaml.safe_dump(space))
    return runner.run(
        path, "sweep", "--set", f"data.batch_size={BATCH}", "--set", "data.batching=random",
        environment={"PYTHONPATH": f"{hooks}{os.pathsep}{PROJECT_ROOT}"},
    )  # fmt: skip


def rows(sweep):
    return {row["name"]: row for row in sweep.rows()}


def test_the_sweep_ends_as_one_on_single_devices_would(sweep):
    states = {name: row["state"] for name, row in rows(sweep).items()}
    assert states == {"clip-0000": "COMPLETE", "clip-0001": "COMPLETE", "clip-0002": "FAIL"}
    assert (sweep.folder / "best" / "clip" / "checkpoint.ckpt").is_file()
    assert not list(sweep.folder.glob("trials/*/.workers-*"))


def test_the_two_devices_share_each_epochs_spots(sweep, log):
    train = sum(TINY_SLIDES[slide] for slide in TINY_SPLITS.train)
    steps = train // (BATCH * DEVICES)
    seen = spots(log, "clip-0001")
    assert seen.keys() == {1, 2, 3}
    for ranks in seen.values():
        assert ranks.keys() == {0, 1}
        assert all(len(batches) == steps for batches in ranks.values())
        ids = [i for batches in ranks.values() for _, batch in batches for i in batch]
        assert len(ids) == len(set(ids)) == steps * BATCH * DEVICES
    lines = (sweep.folder / "trials" / "clip-0001" / "metrics.csv").read_text().splitlines()
    assert len(lines) == 1 + EPOCHS


def test_a_killed_worker_costs_the_epoch_only(sweep, log):
    assert (log / "killed").exists()
    seen = spots(log, "clip-0000")
    first = {pid for pid, _ in seen[1][0]} | {pid for pid, _ in seen[1][1]}
    second = {pid for pid, _ in seen[3][0]} | {pid for pid, _ in seen[3][1]}
    assert len(first) == len(second) == DEVICES
    assert not first & second
    assert rows(sweep)["clip-0000"]["epochs"] == str(EPOCHS)
    lines = (sweep.folder / "trials" / "clip-0000" / "metrics.csv").read_text().splitlines()
    assert len(lines) == 1 + EPOCHS
    [saved] = (sweep.folder / "ray").glob("*/clip-0000/checkpoint_*/checkpoint.ckpt")
    assert read_checkpoint(saved)["stclip"]["epochs"] == EPOCHS


def test_a_fault_of_one_rank_is_the_trials_failure_with_its_reason(sweep):
    row = rows(sweep)["clip-0002"]
    assert row["error"] == "ValueError: a fault of rank 1 alone"
    text = (sweep.folder / "trials" / "clip-0002" / "error.txt").read_text()
    assert "in training_step" in text
    assert text.endswith("ValueError: a fault of rank 1 alone\n")


def test_hours_count_the_processors_of_both_devices(sweep):
    """One each, the default; also of the trial that failed in its second epoch."""
    found = sweep.summary()["compute"]["search"]
    seconds = sum(float(row["seconds"]) for row in sweep.rows())
    assert (found["trials"], found["not_known"]) == (3, 0)
    assert found["cpu_hours"] == pytest.approx(DEVICES * seconds / 3600, rel=1e-3)


def test_metrics_are_of_the_whole_validation_slide(sweep):
    spots = TINY_SLIDES[TINY_SPLITS.val[0]]
    assert read_yaml(sweep.folder / "sweep.yaml")["space"]["resources"] == {"devices": DEVICES}
    row = rows(sweep)["clip-0001"]
    assert float(row["val/chance_R@10"]) == pytest.approx(10 / spots)
    [saved] = (sweep.folder / "ray").glob("*/clip-0001/checkpoint_*/checkpoint.ckpt")
    config = validate(Experiment, read_yaml(sweep.folder / "trials" / "clip-0001" / "config.yaml"), "test")
    found = evaluate(config, saved, "val").metrics  # in this one process
    for name in ("val/R@1", "val/R@10", "val/median_rank"):
        assert float(row[name]) == pytest.approx(found[name]), name
