"""What has to be on disk before a run starts: the built-in data, the store, the frozen features."""

from __future__ import annotations

from stclip.config import Experiment
from stclip.data.store import SpotStore, open_store
from stclip.progress import ProgressBar
from stclip.registry import FROZEN_FEATURES


def prepare_data(config: Experiment, quiet: bool = False) -> SpotStore:
    """Make or open everything that the runs of this configuration read, with progress bars for what takes time.

    Raises DataError: the data set is missing or cannot be used; nothing half-written is left.
    """
    from stclip.data.synthetic import ensure_builtin
    from stclip.model.features import frozen_features

    with ProgressBar(f"making {config.data.dataset}", quiet) as bar:
        ensure_builtin(config.data, bar.update)
    with ProgressBar("building the spot store", quiet) as bar:
        store = open_store(config.data, bar.update)
    if config.model.image.name in FROZEN_FEATURES:
        frozen_features(store, config.model.image.name)
    return store
