"""Metrics of a trained checkpoint on a split, by the same code that a training run uses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from stclip.config import Experiment
from stclip.errors import InputError
from stclip.launchers import forget_launchers
from stclip.regular_files import check_regular

if TYPE_CHECKING:
    from stclip.data.datamodule import SpotDataModule
    from stclip.data.store import SpotStore
    from stclip.module import SpatialClipModule
    from stclip.retrieval import SlideRecall


def read_checkpoint(path: Path) -> dict[str, Any]:
    """A checkpoint's content, on the CPU, as tensors and plain values only (`weights_only=True`: no code is run).

    Raises InputError for a file that is no checkpoint, or holds anything else: it is refused, not run.
    """
    import pickle

    import torch

    try:
        check_regular(path)
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


@dataclass(frozen=True)
class Evaluation:
    """What a model retrieves on one split.

    `metrics`: all of them by their logged names (`test/R@10`, ...). `slides`: by slide id, its `spots`, `R@K` and the rest
    of `stclip.retrieval.slide_metrics`.
    """

    metrics: dict[str, float]
    slides: dict[str, dict[str, float]]


def evaluate(config: Experiment, checkpoint: Path | None, split: Literal["val", "test"]) -> Evaluation:
    """A trained model on one split; without a checkpoint the untrained one, as `config.seed` starts it.

    Raises DataError when the data set cannot be used, RuntimeError when the weights are of another model.
    """
    forget_launchers()
    import lightning.pytorch as pl
    from lightning.pytorch.plugins.environments import LightningEnvironment

    from stclip.run_callbacks import quiet_lightning

    quiet_lightning()
    data, module = data_and_model(config, checkpoint)
    trainer = pl.Trainer(
        accelerator=config.trainer.accelerator,
        devices=1,
        plugins=[LightningEnvironment()],  # else it looks for a launcher
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    run = trainer.test if split == "test" else trainer.validate
    run(module, dataloaders=data.eval_batches(split), verbose=False, weights_only=True)
    return Evaluation(dict(module.metrics), by_slide(module.slides, data.opened()))


def data_and_model(config: Experiment, checkpoint: Path | None) -> tuple[SpotDataModule, SpatialClipModule]:
    """A configuration's opened data, and its model with the weights of a checkpoint, or as `config.seed` starts it.

    Raises DataError when the data set cannot be used, InputError for what is no checkpoint, RuntimeError when its weights
    are of another model.
    """
    from stclip.data.datamodule import SpotDataModule
    from stclip.module import SpatialClipModule

    data = SpotDataModule(config)
    store = data.opened()
    module = SpatialClipModule(config, data.input_dim, len(store.vocabulary))
    if checkpoint is not None:
        module.load_state_dict(read_checkpoint(checkpoint)["state_dict"])
    return data, module


def by_slide(slides: Sequence[SlideRecall], store: SpotStore) -> dict[str, dict[str, float]]:
    """Slide id -> its metrics; `slides` bear places in `store.slides`."""
    from stclip.retrieval import slide_metrics

    return {store.slides[slide.slide_id]: slide_metrics(slide) for slide in slides}
