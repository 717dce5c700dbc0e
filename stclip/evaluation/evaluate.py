"""Metrics of a trained checkpoint on a split, by the same code that a training run uses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from stclip.config import Experiment
from stclip.data.store.data_key import DataKey
from stclip.training.checkpoint_file import read_checkpoint
from stclip.training.launchers import forget_launchers

if TYPE_CHECKING:
    from stclip.data.batches.datamodule import SpotDataModule
    from stclip.data.store import SpotStore
    from stclip.retrieval import SlideRecall
    from stclip.training.module import SpatialClipModule


@dataclass(frozen=True)
class Evaluation:
    """What a model retrieves on one split.

    `metrics`: all of them by their logged names (`test/R@10`, ...). `slides`: by slide id, its `spots`, `R@K` and the rest
    of `stclip.retrieval.slide_metrics`.
    """

    metrics: dict[str, float]
    slides: dict[str, dict[str, float]]


def evaluate(
    config: Experiment,
    checkpoint: Path | None,
    split: Literal["val", "test"],
    data_key: DataKey | None = None,
    data: SpotDataModule | None = None,
) -> Evaluation:
    """A trained model on one split; without a checkpoint the untrained one, as `config.seed` starts it.

    `data_key`: what the data must be; None takes them as they are. `data`: of this configuration, where it is open already.
    Raises DataError when the data set cannot be used, or is not the expected one, InputError for a checkpoint that is not
    one of this model.
    """
    forget_launchers()
    import lightning.pytorch as pl
    from lightning.pytorch.plugins.environments import LightningEnvironment

    from stclip.training.callbacks import quiet_lightning

    quiet_lightning()
    data, module = data_and_model(config, checkpoint, data_key, data)
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


def data_and_model(
    config: Experiment,
    checkpoint: Path | None,
    data_key: DataKey | None,
    data: SpotDataModule | None = None,
) -> tuple[SpotDataModule, SpatialClipModule]:
    """A configuration's opened data (`data` where they are open already), and its model with the weights of a checkpoint, or
    as `config.seed` starts it.

    Raises DataError when the data set cannot be used, or is not the expected one, InputError for a checkpoint that is not
    one of this model.
    """
    from stclip.data.batches.datamodule import SpotDataModule
    from stclip.training.checkpoint_content import load_weights
    from stclip.training.module import SpatialClipModule

    data = data or SpotDataModule(config, data_key)
    store = data.opened()
    module = SpatialClipModule(config, data.input_dim, len(store.vocabulary))
    if checkpoint is not None:
        load_weights(module, read_checkpoint(checkpoint), checkpoint)
    return data, module


def by_slide(slides: Sequence[SlideRecall], store: SpotStore) -> dict[str, dict[str, float]]:
    """Slide id -> its metrics; `slides` bear places in `store.slides`."""
    from stclip.retrieval import slide_metrics

    return {store.slides[slide.slide_id]: slide_metrics(slide) for slide in slides}
