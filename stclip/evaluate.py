"""Metrics of a trained checkpoint on a split, by the same code that a training run uses."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from stclip.config import Experiment
from stclip.errors import InputError


def read_checkpoint(path: Path) -> dict[str, Any]:
    """A checkpoint's content, on the CPU, as tensors and plain values only (`weights_only=True`: no code is run).

    Raises InputError for a file that is no checkpoint, or holds anything else: it is refused, not run.
    """
    import pickle

    import torch

    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise InputError(f"{path}: no such checkpoint") from None
    except (
        pickle.UnpicklingError,
        OSError,  # a file that is cut short, as a seek to where nothing is
        RuntimeError,
        EOFError,
        ValueError,
        LookupError,
        TypeError,
        AttributeError,
    ) as error:
        reason = " ".join(str(error).split())[:120]
        raise InputError(
            f"{path}: not a checkpoint that is safe to read (cut short, or holds more than tensors and plain values: {reason}); "
            "delete it, and use one that this program wrote"
        ) from None
    if not isinstance(content, dict):
        raise InputError(
            f"{path}: not a checkpoint of stclip (a {type(content).__name__}); give another file"
        )
    return content


def evaluate(config: Experiment, checkpoint: Path, split: Literal["val", "test"]) -> dict[str, float]:
    """All metrics of one split, by their logged names (`test/R@10`, …).

    Raises DataError when the data set cannot be used, RuntimeError when the weights are of another model.
    """
    import lightning.pytorch as pl

    from stclip.data.datamodule import SpotDataModule
    from stclip.module import SpatialClipModule
    from stclip.run_callbacks import quiet_lightning

    quiet_lightning()
    data = SpotDataModule(config)
    store = data.opened()
    module = SpatialClipModule(config, data.input_dim, len(store.vocabulary))
    module.load_state_dict(read_checkpoint(checkpoint)["state_dict"])
    trainer = pl.Trainer(
        accelerator=config.trainer.accelerator,
        devices=1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    run = trainer.test if split == "test" else trainer.validate
    run(module, dataloaders=data.eval_batches(split), verbose=False)
    return dict(module.metrics)
