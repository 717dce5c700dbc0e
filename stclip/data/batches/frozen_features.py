"""Outputs of frozen image encoders: computed once per store, kept beside it, scaled for the tower."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

import numpy as np

from stclip.config.registry import FROZEN_FEATURES, is_pretrained, lookup
from stclip.data.batches.relative_sentences import SentenceOrder, ordered_genes
from stclip.data.store.seal import read_array, seal_later_file
from stclip.errors import DataError

if TYPE_CHECKING:
    import torch

    from stclip.config import ImageTowerConfig
    from stclip.data.store import SpotStore

_BLOCK = 2048  # tiles in memory at once
Progress = Callable[[int, int], None]


def unseen(done: int, total: int) -> None:
    """Progress that nobody follows."""


class FrozenEncoder(Protocol):
    """Tiles uint8 [N, H, W, 3] to float32 [N, F]; `version` changes whenever a value does."""

    @property
    def version(self) -> str: ...

    def __call__(self, tiles: torch.Tensor) -> torch.Tensor: ...


def reads_features(image: ImageTowerConfig) -> bool:
    """Whether an image tower reads the outputs of a frozen encoder; else it reads tiles."""
    frozen = image.name in FROZEN_FEATURES or is_pretrained(image.name)
    return frozen and not image.finetune


def frozen_encoder(name: str, center: float = 1.0) -> FrozenEncoder:
    """The frozen image encoder `name`, ready to be called. Raises ConfigError for an unknown name."""
    encoder_class = lookup("frozen encoder", FROZEN_FEATURES, name).load()
    if is_pretrained(name):
        return encoder_class(name)
    return encoder_class(center) if center < 1 else encoder_class()


def frozen_features(
    store: SpotStore, name: str, center: float = 1.0, progress: Progress = unseen
) -> np.ndarray:
    """Features of every spot by the frozen encoder `name`, a read-only memory map float32 [N, F].

    Computed on first use by one process while others wait, and stored whole as
    `features_<name>_<version>.npy` in the store's folder; in memory alone where that cannot be written to.
    `center` is `model.image.center`; `progress(spots done, spots)` follows the computation.
    Raises ConfigError for an unknown name, DataError when they cannot be written or what is there cannot be read.
    """
    encoder = frozen_encoder(name, center)
    return computed_once(
        store,
        _file_of(encoder, name, center),
        len(store.tiles),
        lambda: _compute(store.tiles, encoder, progress),
        progress=progress,
    )


def feature_file(name: str, center: float = 1.0) -> str:
    """The file in a store's folder that holds the features of this encoder."""
    return _file_of(frozen_encoder(name, center), name, center)


def _file_of(encoder: FrozenEncoder, name: str, center: float) -> str:
    version = encoder.version if center == 1.0 else f"{encoder.version}_center{center:g}"
    return f"features_{name.partition(':')[0]}_{version}.npy"


def frozen_sentences(
    store: SpotStore, name: str, order: SentenceOrder = "none", progress: Progress = unseen
) -> np.ndarray:
    """Features of every spot's gene sentence by the frozen text model `hf:...`, as `frozen_features` has those of tiles.

    `order` is `features.normalize_genes`.
    """
    from stclip.model.pretrained_genes import PretrainedSentences

    encoder = PretrainedSentences(name)
    file = f"sentences_hf_{encoder.version}{'' if order == 'none' else f'_{order}'}.npy"

    def compute() -> np.ndarray:
        genes = ordered_genes(store.genes, store.slide_index, len(store.vocabulary), order)
        return _by_block(
            genes, lambda block: encoder(sentences_of(store.vocabulary, block)).cpu().numpy(), progress
        )

    return computed_once(store, file, len(store.genes), compute, progress=progress)


def computed_once(
    store: SpotStore,
    file: str,
    rows: int,
    compute: Callable[[], np.ndarray],
    dtype: type[np.generic] = np.float32,
    progress: Progress = unseen,
) -> np.ndarray:
    """An array [rows, ...] that follows from a store and is kept in its folder: a read-only memory map.

    Computed on first use by one process while others wait; in memory alone where the folder cannot be written to.
    Raises DataError when it cannot be written, or what is there cannot be read.
    """
    path = Path(store.path) / file
    if path.exists():
        return _read(path, rows, dtype)
    if not os.access(path.parent, os.W_OK):
        return compute()
    from filelock import FileLock

    # No name that a link could wait under.
    draft = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.partial")
    progress(0, rows)  # another process may be at it for minutes
    try:
        with FileLock(path.with_name(f".{path.name}.lock")):
            if not path.exists():
                try:
                    features = compute()
                    with draft.open("xb") as target:
                        np.save(target, features)
                    seal_later_file(draft, path.name)
                    draft.replace(path)
                finally:
                    draft.unlink(missing_ok=True)
    except OSError as error:
        raise DataError(f"{path}: cannot be written ({error.strerror or error}); make room there") from None
    return _read(path, rows, dtype)


def _read(path: Path, rows: int, dtype: type[np.generic]) -> np.ndarray:
    try:
        features = read_array(path)
        if features.dtype != dtype or features.ndim != 2 or len(features) != rows:
            raise ValueError(
                f"{features.dtype} {list(features.shape)}, needed {np.dtype(dtype)} [{rows}, ...]"
            )
        return features
    except (OSError, ValueError) as error:
        raise DataError(
            f"{path}: the features are damaged ({error}); delete this file, it is made again"
        ) from None


def _compute(
    tiles: np.ndarray, encoder: Callable[[torch.Tensor], torch.Tensor], progress: Progress = unseen
) -> np.ndarray:
    import torch

    return _by_block(tiles, lambda block: encoder(torch.from_numpy(np.array(block))).cpu().numpy(), progress)


def _by_block(rows: np.ndarray, encode: Callable[[np.ndarray], np.ndarray], progress: Progress) -> np.ndarray:
    """Features float32 [N, F] of N rows, a few of them in memory at once."""
    features = []
    for at in range(0, len(rows), _BLOCK):
        features.append(encode(rows[at : at + _BLOCK]))
        progress(min(at + _BLOCK, len(rows)), len(rows))
    return np.concatenate(features).astype(np.float32, copy=False)


def sentences_of(vocabulary: Sequence[str], genes: np.ndarray) -> list[str]:
    """Sentences [n, T] of gene ids, padded with -1, as text."""
    return [" ".join(vocabulary[gene] for gene in row if gene >= 0) for row in genes]


@dataclass(frozen=True)
class FeatureScaling:
    """Mean and spread of each feature, float32 [F]. A feature that was constant has spread 0, scales to 0."""

    mean: np.ndarray
    std: np.ndarray

    @classmethod
    def of(cls, features: np.ndarray) -> FeatureScaling:
        """Of features [n, F], n >= 1, as seen over these rows (float64 sums)."""
        values = np.asarray(features, dtype=np.float64)
        mean, std = values.mean(0), values.std(0)
        std[std <= 1e-6 * np.maximum(1.0, np.abs(mean))] = 0.0  # rounding, not variation
        return cls(mean.astype(np.float32), std.astype(np.float32))

    def apply(self, features: np.ndarray) -> np.ndarray:
        """(features - mean) / std, float32 [n, F]; 0 where std is 0."""
        return np.asarray((features - self.mean) * self.factor(), dtype=np.float32)

    def factor(self) -> np.ndarray:
        """1 / std, float32 [F]; 0 where std is 0."""
        varies = self.std > 0
        return np.where(varies, 1.0 / np.where(varies, self.std, 1.0), 0.0).astype(np.float32)


def scale_features(
    features: np.ndarray,
    slide_index: np.ndarray,
    train_rows: np.ndarray,
    how: Literal["none", "train", "slide"],
) -> np.ndarray:
    """Features [N, F] of spots on slides `slide_index` [N], scaled, float32 [N, F].

    `none`: as they are. `train`: by mean and spread of the rows `train_rows`. `slide`: by those of the spot's
    own slide, over all spots of that slide among the N. A feature without spread becomes 0.
    """
    if how == "none":
        return np.array(features, dtype=np.float32)
    if how == "train":
        return FeatureScaling.of(features[train_rows]).apply(features)
    if how != "slide":
        raise ValueError(f"how must be none, train or slide, got {how!r}")
    out = np.empty(features.shape, np.float32)
    for slide in np.unique(slide_index):
        rows = np.flatnonzero(slide_index == slide)
        out[rows] = FeatureScaling.of(features[rows]).apply(features[rows])
    return out
