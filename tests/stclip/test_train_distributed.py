"""One run in two gloo processes that others have started, against one process that sees the same global batches."""

import datetime
import os
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing

from stclip.config import Experiment
from stclip.config.load import validate
from stclip.evaluation.evaluate import read_checkpoint
from stclip.train import fit
from stclip.training.checkpoint_file import CHECKPOINT

pytestmark = pytest.mark.slow

WORLD, BATCH, EPOCHS = 2, 12, 2
SETTINGS = [(local, batching) for local in (False, True) for batching in ("random", "neighborhood")]
PER_BATCH = ("batch_R@", "val/loss")  # depend on data.batch_size, which is of one device


def experiment(dataset, batch_size, local_loss, batching):
    tree = {
        "data": {"dataset": str(dataset), "image_size": 16, "batch_size": batch_size, "batching": batching},
        # Without what is drawn at random by each rank for itself.
        "model": {
            "embed_dim": 8,
            "image": {"name": "stain", "width": 16, "dropout": 0.0},
            "genes": {"width": 16, "dropout": 0.0, "gene_dropout": 0.0},
        },
        "loss": {
            "name": "spatial",
            "temp_reg_weight": 0.5,
            "local_loss": local_loss,
            "gather_with_grad": True,
        },
        "optimizer": {"lr": 1e-3},
        "trainer": {"max_epochs": EPOCHS, "threads": 1, "loggers": ["csv"], "accelerator": "cpu"},
    }
    return validate(Experiment, tree, "test")


def in_group():
    """Strategy and plugin of a process whose group is there already."""
    from lightning.pytorch.plugins.environments import LightningEnvironment
    from lightning.pytorch.strategies import DDPStrategy

    class GivenGroup(LightningEnvironment):
        creates_processes_externally = True

        def world_size(self):
            return dist.get_world_size()

        def global_rank(self):
            return dist.get_rank()

        def local_rank(self):
            return dist.get_rank()

        def set_world_size(self, size):
            pass

        def set_global_rank(self, rank):
            pass

    class OnProcessor(DDPStrategy):
        root_device = torch.device("cpu")  # Lightning looks among the devices of one process

    return {"strategy": OnProcessor(), "plugins": [GivenGroup()]}


def spoil_rank_one():
    """A callback that makes the loss of one batch NaN, as one rank sees it."""
    import lightning.pytorch as pl

    class Spoil(pl.Callback):
        def on_train_batch_end(self, trainer, pl_module, *rest):
            if trainer.global_rank == 1:
                pl_module._train_terms[-1]["loss"].fill_(float("nan"))

    return Spoil()


def worker(rank, dataset, folder):
    torch.set_num_threads(1)
    os.environ |= {"LOCAL_RANK": str(rank)}
    dist.init_process_group("gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=WORLD,
                            timeout=datetime.timedelta(seconds=300))  # fmt: skip
    found = {}
    for number, setting in enumerate(SETTINGS):
        # Each rank's own folder shows who writes.
        out = Path(folder) / f"{number}-{rank}"
        found[setting] = fit(experiment(dataset, BATCH, *setting), out, **in_group()).metrics
    try:
        fit(experiment(dataset, BATCH, *SETTINGS[0]), None, callbacks=[spoil_rank_one()], **in_group())
    except FloatingPointError as error:
        found["error"] = str(error)
    torch.save(found, f"{folder}/{rank}.pt")
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def group(tmp_path_factory, shared_tiny_dataset):
    """The group's folder, and what each rank found."""
    folder = tmp_path_factory.mktemp("gloo")
    torch.multiprocessing.spawn(worker, (str(shared_tiny_dataset), str(folder)), nprocs=WORLD)
    return folder, [torch.load(folder / f"{rank}.pt") for rank in range(WORLD)]


@pytest.fixture(scope="module", params=SETTINGS, ids=lambda s: f"local_loss={s[0]},{s[1]}")
def setting(request):
    return request.param


@pytest.fixture(scope="module")
def alone(setting, shared_tiny_dataset, tmp_path_factory):
    """The metrics and the weights of one process that trains on the batches of all ranks, put together."""
    out = tmp_path_factory.mktemp("alone")
    metrics = fit(experiment(shared_tiny_dataset, WORLD * BATCH, *setting), out).metrics
    return metrics, read_checkpoint(out / CHECKPOINT)["state_dict"]


def test_metrics_are_equal_on_all_ranks_and_those_of_one_process(setting, group, alone):
    _, (first, second) = group
    assert first[setting] == second[setting]
    metrics, _ = alone
    assert first[setting].keys() == metrics.keys()
    same = {name: value for name, value in metrics.items() if not any(part in name for part in PER_BATCH)}
    assert {"train/loss", "train/neighbor_coverage", "val/R@10"} <= same.keys()
    assert {name: first[setting][name] for name in same} == pytest.approx(same, rel=1e-3)


def test_weights_are_those_of_one_process(setting, group, alone):
    _, weights = alone
    together = read_checkpoint(group[0] / f"{SETTINGS.index(setting)}-0" / CHECKPOINT)["state_dict"]
    assert together.keys() == weights.keys()
    for name, weight in weights.items():
        torch.testing.assert_close(together[name], weight, rtol=1e-3, atol=1e-4, msg=name)


def test_rank_0_alone_writes_files(group):
    folder, _ = group
    for number in range(len(SETTINGS)):
        assert {p.name for p in (folder / f"{number}-0").iterdir()} == {
            "config.yaml",
            "metrics.csv",
            "checkpoint.ckpt",
            "metrics.json",
        }
        assert len((folder / f"{number}-0" / "metrics.csv").read_text().splitlines()) == 1 + EPOCHS
        assert not any((folder / f"{number}-1").glob("*.*"))


def test_a_loss_that_is_nan_on_one_rank_ends_the_run_on_all(group):
    _, ranks = group
    for found in ranks:
        assert "the training loss became nan within epoch 1" in found["error"]
