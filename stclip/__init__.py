"""Image-gene contrastive models of spatial transcriptomics: data, losses, retrieval metrics, one training run.

The names below are what other code needs; each is imported when it is first used, because torch takes seconds.
"""

from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import Any

_INDEX = {
    "Experiment": "stclip.config",
    "load_experiment": "stclip.config.load",
    "fit": "stclip.train",
    "load_model": "stclip.evaluation.inference",
    "ClipLoss": "stclip.losses",
    "SpatialLoss": "stclip.losses",
    "RecallAtK": "stclip.retrieval",
    "gallery_recall": "stclip.retrieval",
    "slide_recall": "stclip.retrieval",
    "open_store": "stclip.data.store",
    "cca_baseline": "stclip.evaluation.yardsticks",
    "untrained": "stclip.evaluation.yardsticks",
}
__all__ = ["__version__", *_INDEX]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        try:
            return version("stclip")
        except PackageNotFoundError:  # code that travelled to a node, where nothing is installed
            return "unknown"
    if name not in _INDEX:
        raise AttributeError(f"module 'stclip' has no attribute '{name}'; it has: {', '.join(_INDEX)}")
    return getattr(import_module(_INDEX[name]), name)
