"""What Slurm, torchrun, MPI and others leave in the environment decides nothing about a training."""

import os
import pickle
import subprocess
import sys

import pytest
import torch
from filelock import FileLock
from lightning.pytorch.utilities import rank_zero_only

from stclip.config import Experiment
from stclip.config.load import validate
from stclip.evaluation.evaluate import evaluate
from stclip.files.paths import PROJECT_ROOT
from stclip.train import LOCK, fit, main
from stclip.training.checkpoint_file import CHECKPOINT
from stclip.training.launchers import forget_launchers, is_launched, launching

SLURM = {"SLURM_JOB_ID": "4711", "SLURM_JOB_NAME": "stclip", "SLURM_PROCID": "0", "SLURM_LOCALID": "0", "SLURM_NODEID": "0",
         "SLURM_NODELIST": "node-a", "SLURM_NTASKS": "1", "SLURM_NNODES": "1"}  # fmt: skip
LEFT = {
    "sbatch --ntasks=4": SLURM | {"SLURM_NTASKS": "4"},
    "third node": SLURM | {"SLURM_PROCID": "1", "SLURM_NTASKS": "2", "SLURM_NTASKS_PER_NODE": "1", "SLURM_NNODES": "2"},
    "torchrun": {"LOCAL_RANK": "1", "RANK": "1", "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29500"},
    "torchelastic": {"TORCHELASTIC_RUN_ID": "none", "RANK": "1", "LOCAL_RANK": "1", "WORLD_SIZE": "2", "GROUP_RANK": "1"},
    "kubeflow": {"KUBERNETES_PORT": "tcp://10.0.0.1:443", "MASTER_ADDR": "a", "MASTER_PORT": "1", "WORLD_SIZE": "2", "RANK": "1"},
    "lsf": {"LSB_JOBID": "7", "LSB_DJOB_RANKFILE": "/none", "JSM_NAMESPACE_SIZE": "2", "JSM_NAMESPACE_RANK": "1",
            "JSM_NAMESPACE_LOCAL_RANK": "1"},
    "no number": {"RANK": "", "LOCAL_RANK": "a", "NODE_RANK": "b"},
    "lightning": {"PL_TRAINER_FAST_DEV_RUN": "1", "PL_TRAINER_LIMIT_TRAIN_BATCHES": "1", "PL_TRAINER_NUM_NODES": "2"},
}  # fmt: skip


def experiment(dataset, epochs=2):
    tree = {
        "data": {"dataset": str(dataset), "image_size": 16, "batch_size": 16},
        "model": {"embed_dim": 8, "image": {"width": 16}, "genes": {"width": 16}},
        "trainer": {"max_epochs": epochs, "threads": 1, "loggers": ["csv"], "accelerator": "cpu"},
    }
    return validate(Experiment, tree, "test")


@pytest.fixture(scope="module")
def undisturbed(shared_tiny_dataset):
    return fit(experiment(shared_tiny_dataset), test=True).metrics


@pytest.mark.parametrize("left", LEFT.values(), ids=LEFT)
def test_a_training_is_the_same_and_writes_its_files_whatever_a_launcher_left(
    shared_tiny_dataset, undisturbed, tmp_path, monkeypatch, left
):
    for name, value in left.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(rank_zero_only, "rank", 3)  # as Lightning found it when it was imported
    result = fit(experiment(shared_tiny_dataset), tmp_path / "run", test=True)
    assert result.metrics == undisturbed
    assert {p.name for p in (tmp_path / "run").iterdir()} == {
        "config.yaml",
        CHECKPOINT,
        "metrics.json",
        "metrics.csv",
    }
    assert [name for name in left if name in os.environ] == [
        name for name in left if name == "KUBERNETES_PORT"
    ]


@pytest.mark.parametrize("left", LEFT.values(), ids=LEFT)
def test_an_untrained_model_is_evaluated_whatever_a_launcher_left(shared_tiny_dataset, monkeypatch, left):
    expected = evaluate(experiment(shared_tiny_dataset), None, "val")
    for name, value in left.items():
        monkeypatch.setenv(name, value)
    assert evaluate(experiment(shared_tiny_dataset), None, "val") == expected


class Boom:
    """Makes a folder when it is unpickled."""

    def __init__(self, place):
        self.place = place

    def __reduce__(self):
        return os.mkdir, (str(self.place),)


def test_under_slurm_a_checkpoint_that_lies_in_the_folder_is_not_read(
    shared_tiny_dataset, undisturbed, tmp_path, monkeypatch
):
    """Lightning would take `hpc_ckpt_1.ckpt` for what an earlier run of the job left, and go on from it."""
    out = tmp_path / "run"
    out.mkdir()
    torch.save({"state_dict": Boom(tmp_path / "ran")}, out / "hpc_ckpt_1.ckpt", pickle_module=pickle)
    for name, value in SLURM.items():
        monkeypatch.setenv(name, value)
    assert fit(experiment(shared_tiny_dataset), out, test=True).metrics == undisturbed
    assert not (tmp_path / "ran").exists()


@pytest.mark.slow
def test_an_import_under_a_launcher_does_not_silence_the_table(shared_tiny_dataset, tmp_path):
    """A whole command, since Lightning asks for the rank when it is imported."""
    arguments = [f"data.dataset={shared_tiny_dataset}", "data.image_size=16", "data.batch_size=16", "trainer.max_epochs=1",
                 "trainer.loggers=[csv]", "trainer.accelerator=cpu", f"out={tmp_path / 'run'}"]  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-m", "stclip.train", "experiment=sweep_base", *arguments],
        cwd=PROJECT_ROOT, env=os.environ | LEFT["third node"] | LEFT["lsf"], capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "R@10" in done.stdout
    assert {"config.yaml", "metrics.csv"} <= {p.name for p in (tmp_path / "run").iterdir()}
    assert not (tmp_path / "run" / LOCK).exists()


def test_a_process_of_a_training_keeps_what_its_parent_told_it(monkeypatch):
    with launching():
        said = os.environ["STCLIP_GROUP"]
    assert said == str(os.getpid())
    assert "STCLIP_GROUP" not in os.environ
    monkeypatch.setenv("STCLIP_GROUP", str(os.getppid()))
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert is_launched()
    forget_launchers()
    assert os.environ["LOCAL_RANK"] == "1"
    # Of another process: a left-over too.
    monkeypatch.setenv("STCLIP_GROUP", "1" if os.getppid() != 1 else "2")
    forget_launchers()
    assert "LOCAL_RANK" not in os.environ


def test_a_second_process_into_one_folder_is_refused(shared_tiny_dataset, tmp_path, capsys):
    (tmp_path / "run").mkdir()
    with FileLock(tmp_path / "run" / LOCK):
        code = main(
            ["experiment=sweep_base", f"data.dataset={shared_tiny_dataset}", f"out={tmp_path / 'run'}"]
        )
    assert code == 2
    assert "another process trains into it; start one process only" in capsys.readouterr().err
