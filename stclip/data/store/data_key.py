"""What a run reads, as one key: whether it is still what it was when others like it were run.

A store bears the key of its shards, split files and settings; a pretrained model has a fingerprint. Runs that are to be
compared are given the key that all of them must find.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any

from stclip.config import DataConfig, Experiment
from stclip.config.registry import is_pretrained
from stclip.data.shards import slide_shards
from stclip.data.shards.splits import SPLITS, Splits, read_splits
from stclip.data.store.fetch import content_digests
from stclip.data.store.locate import dataset_dir
from stclip.errors import DataError
from stclip.model.pretrained import fingerprint

FORMAT_VERSION = 2  # of a store


class DataChangedError(DataError):
    """Data or a pretrained model that are not what they were when the runs began that belong together."""


@dataclass(frozen=True)
class DataKey:
    """What one configuration reads: the name of its store, and the fingerprint of each pretrained model that it names."""

    store: str
    models: Mapping[str, str]


@dataclass(frozen=True)
class DataState:
    """What configurations on one data set read, as it was when it was looked at.

    `files`: split files and shards (name, size, time or digest), as a store's key has them. `models`: name -> fingerprint.
    """

    files: tuple[Any, ...]
    models: Mapping[str, str]

    @classmethod
    def of(cls, configs: Iterable[Experiment]) -> DataState:
        """As it is now. Raises DataError for a data set, ConfigError for a model that is not there."""
        every = list(configs)
        dataset = dataset_dir(every[0].data)
        models = {name: fingerprint(name) for config in every for name in _models(config)}
        return cls(files_of(dataset, read_splits(dataset)), models)

    def key(self, config: Experiment) -> DataKey:
        """What a configuration finds, if nothing has changed."""
        return DataKey(key_of(self.files, config.data), {name: self.models[name] for name in _models(config)})


def files_of(dataset: Path, splits: Splits) -> tuple[Any, ...]:
    """Split files and shards. Files are told apart by size and time; those of a fetched data set, whose times mean nothing,
    by their content."""
    digests = content_digests(dataset)
    content: list[Any] = []
    for split in SPLITS:
        slides = getattr(splits, split)
        content.append((split, *slides))
        for slide in slides:
            for shard in slide_shards(dataset, slide):
                stat = shard.stat()
                name = f"{slide}/{shard.name}"
                content.append((name, stat.st_size, digests.get(name, stat.st_mtime_ns)))
    return tuple(content)


def key_of(files: tuple[Any, ...], data: DataConfig) -> str:
    """A name for the content of a store: equal keys, equal arrays."""
    settings = [FORMAT_VERSION, data.image_size, data.max_genes, data.num_neighbors, data.on_bad_spot]
    return blake2b(json.dumps([*settings, *files]).encode(), digest_size=12).hexdigest()


def what_is_read(config: Experiment) -> str:
    """Equal for configurations that read the same arrays: store, image features, gene inputs."""
    image, genes = config.model.image, config.model.genes
    data = config.data.model_dump(mode="json", exclude={"batching", "batch_size"})
    parts = [
        data,
        image.name,
        image.center,
        image.finetune,
        genes.name,
        genes.finetune,
        config.features.normalize_genes,
    ]
    return json.dumps(parts, sort_keys=True)


def check_models(config: Experiment, expected: DataKey) -> None:
    """Raise DataChangedError when a pretrained model is not the one that the other runs read."""
    for name in _models(config):
        if fingerprint(name) != expected.models.get(name):
            raise changed(f"the model {name}", "its files")


def changed(what: str, of: str) -> DataChangedError:
    """`what` has changed; `of`: which of its files may tell."""
    return DataChangedError(
        f"{what} is not as it was when the runs began that this one belongs to ({of} have changed), so they could not be "
        "compared; put it back as it was, or start them all anew"
    )


def _models(config: Experiment) -> list[str]:
    return [name for name in (config.model.image.name, config.model.genes.name) if is_pretrained(name)]
