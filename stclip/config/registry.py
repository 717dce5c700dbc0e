"""Every name that a configuration may use, in one place: name -> where its class is, and one line about it.

The classes are named by text, so that checking a configuration imports neither torch nor lightning.
To add a loss, an encoder or a logger: write its file, add one line here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any, TypeVar

from stclip.errors import ConfigError, unknown_name


@dataclass(frozen=True)
class Entry:
    """Where a class is (``module:Class``) and what it does, in one line."""

    target: str
    about: str

    def load(self) -> Any:
        """Import the module and return the class."""
        return _named(self.target)


@dataclass(frozen=True)
class LossEntry(Entry):
    """A loss, with its section of the configuration (``module:Class``), and whether it reads a batch's neighbours.

    The section's class is a `stclip.config.schema.LossSection` whose fields are the arguments of the loss's `__init__`. It may
    lie in the loss's own file; a configuration that names this loss then imports torch when it is checked, which takes a second.
    """

    section: str
    reads_neighbors: bool = False

    def section_class(self) -> Any:
        """Import the section's module and return its class."""
        return _named(self.section)


def _named(target: str) -> Any:
    module, _, name = target.partition(":")
    return getattr(import_module(module), name)


LOSSES: dict[str, LossEntry] = {
    "clip": LossEntry(
        "stclip.losses:ClipLoss",
        "symmetric InfoNCE: the one true partner is the target",
        section="stclip.config.schema:ClipLossConfig",
    ),
    "spatial": LossEntry(
        "stclip.losses:SpatialLoss",
        "soft targets: neighbouring spots share part of the target",
        section="stclip.config.schema:SpatialLossConfig",
        reads_neighbors=True,
    ),
}
IMAGE_TOWERS: dict[str, Entry] = {
    "cnn": Entry("stclip.model.image:CnnTower", "small convolutional net on the tile, trained from scratch"),
    "stain": Entry(
        "stclip.model.image:FeatureTower", "frozen colour, stain and texture statistics, then an MLP"
    ),
    "hf:": Entry(
        "stclip.model.pretrained_image:pretrained_image_tower",
        "hf:NAME or hf:FOLDER, a pretrained vision model, frozen or finetuned (pip install -e '.[pretrained]')",
    ),
}
GENE_TOWERS: dict[str, Entry] = {
    "bag": Entry("stclip.model.genes:BagTower", "rank-weighted embedding of the gene sentence, then an MLP"),
    "hf:": Entry(
        "stclip.model.pretrained_genes:pretrained_gene_tower",
        "hf:NAME or hf:FOLDER, a pretrained text model that reads the sentence, frozen or finetuned",
    ),
}
FROZEN_FEATURES: dict[str, Entry] = {
    "stain": Entry("stclip.model.stain:StainFeatures", "statistics of the tile, computed once per data set"),
    "hf:": Entry(
        "stclip.model.pretrained_image:PretrainedFeatures",
        "outputs of a pretrained vision model, computed once",
    ),
}
LOGGERS: dict[str, Entry] = {
    "csv": Entry("stclip.training.loggers:csv_logger", "metrics.csv in the run's folder"),
    "tensorboard": Entry("stclip.training.loggers:tensorboard_logger", "event files in the run's folder"),
    "mlflow": Entry("stclip.training.loggers:mlflow_logger", "MLflow (pip install -e '.[mlflow]')"),
    "wandb": Entry("stclip.training.loggers:wandb_logger", "Weights & Biases (pip install -e '.[wandb]')"),
}
AnyEntry = TypeVar("AnyEntry", bound=Entry)
PREFIX = "hf:"  # of the names of pretrained models


def is_pretrained(name: str) -> bool:
    """Whether a tower's name is `hf:<name on the hub, or local folder>`."""
    return name.startswith(PREFIX)


def lookup(kind: str, registry: Mapping[str, AnyEntry], name: str) -> AnyEntry:
    """The entry called ``name``; one that ends in ``:`` answers for all names that begin so, as `hf:` for `hf:some/model`.

    Raises ConfigError that lists the known names.
    """
    key = name if name in registry else name[: name.find(":") + 1]
    if key not in registry:
        raise ConfigError(unknown_name(kind, name, registry))
    return registry[key]
