"""Lightning callbacks that every run has."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch

from stclip.config import Experiment
from stclip.data.batches.datamodule import SpotDataModule
from stclip.errors import InputError
from stclip.training.checkpoint_content import progress_of


class CarryModelFacts(pl.Callback):
    """Puts into each checkpoint what embedding new tiles and sentences takes (configuration, vocabulary, scaling), and
    how far the run had got: `history`, each epoch's metrics.

    Plain dicts, lists, strings and tensors only, so that `torch.load(weights_only=True)` reads it.
    """

    def __init__(self, config: Experiment, data: SpotDataModule) -> None:
        self.config, self.data = config, data
        self._restored_from: Path | None = None  # until the first epoch begins

    @contextmanager
    def restoring(self, checkpoint: Path | None) -> Iterator[None]:
        """Around `Trainer.fit`: what Lightning raises before the first epoch is the fault of the checkpoint it goes on from.

        Raises InputError for that. What it restores is nested and its own, and it checks little of it.
        """
        self._restored_from = checkpoint
        try:
            yield
        except (
            LookupError,
            TypeError,
            AttributeError,
            ValueError,
            ArithmeticError,
            AssertionError,
            RuntimeError,
        ) as error:
            machine = isinstance(error, InputError | torch.OutOfMemoryError | torch.distributed.DistError)
            if self._restored_from is None or machine:
                raise
            raise InputError(
                f"{checkpoint}: no run can go on from this checkpoint ({type(error).__name__}: {error}); delete it, and use one "
                "that this program wrote"
            ) from error

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Lightning hook: everything is restored."""
        self._restored_from = None

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Lightning hook."""
        scaling = self.data.scaling
        checkpoint["stclip"] = {
            "epochs": trainer.current_epoch + 1,
            "history": [dict(metrics) for metrics in getattr(pl_module, "history", [])],
            "config": self.config.model_dump(mode="json"),
            "vocabulary": list(self.data.opened().vocabulary),
            "input_dim": self.data.input_dim,
            "feature_mean": None if scaling is None else torch.as_tensor(scaling.mean),
            "feature_std": None if scaling is None else torch.as_tensor(scaling.std),
        }

    def on_load_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Lightning hook: the history goes on where it was."""
        from stclip.training.module import SpatialClipModule

        assert isinstance(pl_module, SpatialClipModule)
        pl_module.history = list(progress_of(checkpoint, self._restored_from or Path("checkpoint")).history)


# Hints that do not apply: hardware banners, and advice to add loader workers (there are no loaders).
QUIET_LOGGERS = (
    "lightning.pytorch.utilities.rank_zero",
    "lightning.pytorch.accelerators.cuda",
    "lightning.fabric",
)
QUIET_WARNINGS = (
    ".*does not have many workers.*",
    ".*smaller than the logging interval.*",
    ".*GPU available but not used.*",
    ".*isinstance.treespec.*",
    ".*sync_dist=True.*",  # what is logged is the same on all ranks
)


def quiet_lightning() -> None:
    """Silence `QUIET_LOGGERS` and `QUIET_WARNINGS`."""
    for name in QUIET_LOGGERS:
        logging.getLogger(name).setLevel(logging.ERROR)
    for message in QUIET_WARNINGS:
        warnings.filterwarnings("ignore", message=message)
