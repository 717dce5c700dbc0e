"""What a trained model has to beat, on the inputs that its configuration reads: CCA, and the same model without training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from stclip.config import Experiment
from stclip.data.store.data_key import DataKey
from stclip.evaluation.baselines import Baseline, tuned_cca

if TYPE_CHECKING:
    import numpy as np

    from stclip.data.store import SpotStore


def cca_baseline(config: Experiment, test: bool = True, data_key: DataKey | None = None) -> Baseline:
    """CCA between the image features and the gene sentences of a configuration, its ridge and dimension chosen on val.

    It reads the features that the image tower reads; towers trained on raw tiles are compared with CCA on the stain
    statistics.

    Args:
        config: what is read, and how it is scaled and ordered.
        test: whether the test slides are read.
        data_key: what the data must be; None takes them as they are.

    Raises:
        DataError: the data set cannot be used, or is not the expected one.
    """
    from stclip.data.batches.datamodule import SpotDataModule
    from stclip.data.batches.gene_inputs import spot_genes

    store = SpotDataModule(config, data_key).opened()
    return tuned_cca(store, _image_features(store, config), test=test, genes=spot_genes(store, config))


def _image_features(store: SpotStore, config: Experiment) -> np.ndarray:
    """float32 [N, F], scaled."""
    from stclip.data.batches.frozen_features import frozen_features, reads_features, scale_features

    image = config.model.image
    name, center = (image.name, image.center) if reads_features(image) else ("stain", 1.0)
    features = frozen_features(store, name, center)
    return scale_features(features, store.slide_index, store.spots("train"), config.features.normalize)


def untrained(
    config: Experiment, seeds: Sequence[int], test: bool = True, data_key: DataKey | None = None
) -> list[Baseline]:
    """The model of a configuration as each seed starts it, without any training.

    Args:
        config: the model and its data; its own seed is not used.
        seeds: a model each.
        test: whether the test slides are read.
        data_key: what the data must be; None takes them as they are.

    Raises:
        DataError: the data set cannot be used, or is not the expected one.
    """
    from stclip.data.batches.datamodule import SpotDataModule
    from stclip.evaluation.evaluate import evaluate

    data = SpotDataModule(config, data_key)
    found = []
    for seed in seeds:
        started = config.model_copy(update={"seed": seed})
        val = evaluate(started, None, "val", data=data)
        tested = evaluate(started, None, "test", data=data) if test else None
        found.append(
            Baseline(
                val=val.metrics,
                test=tested.metrics if tested else {},
                slides=tested.slides if tested else {},
                params={"seed": float(seed)},
            )
        )
    return found
