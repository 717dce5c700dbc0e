"""Frozen features as a tower reads them: taken from the memory map a batch at a time, and scaled on the way.

So every trial of a node reads the same pages; its own are two small tables.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch

from stclip.data.batches.frozen_features import FeatureScaling, computed_once, feature_file, frozen_features

if TYPE_CHECKING:
    from stclip.data.store import SpotStore

Scaled = Literal["none", "train", "slide"]


@dataclass(frozen=True)
class ScalingTables:
    """How features are scaled: over the training slides, and over each slide."""

    train: FeatureScaling  # [F]
    slides: tuple[FeatureScaling, ...]  # of each slide of the store, in its order

    @classmethod
    def of(
        cls, features: np.ndarray, slide_index: np.ndarray, train_rows: np.ndarray, slides: int
    ) -> ScalingTables:
        """Of features [N, F] of spots on slides `slide_index` [N]; a slide without a spot is left as it is."""
        own = [features[slide_index == slide] for slide in range(slides)]
        one = np.ones(features.shape[1], np.float32)
        return cls(
            FeatureScaling.of(features[train_rows]),
            tuple(FeatureScaling.of(rows) if len(rows) else FeatureScaling(0 * one, one) for rows in own),
        )

    def as_array(self) -> np.ndarray:
        """float32 [2 (1 + slides), F]: mean and spread of the training slides, then of each slide."""
        return np.concatenate([np.stack([one.mean, one.std]) for one in (self.train, *self.slides)])

    @classmethod
    def from_array(cls, table: np.ndarray) -> ScalingTables:
        """What `as_array` made."""
        train, *slides = (
            FeatureScaling(mean, std) for mean, std in np.array(table).reshape(-1, 2, table.shape[1])
        )
        return cls(train, tuple(slides))


def scaling_tables(store: SpotStore, name: str, center: float = 1.0) -> ScalingTables:
    """Those of the frozen encoder `name` on this store. Computed once, kept beside the features.

    Raises what `frozen_features` does.
    """
    features = frozen_features(store, name, center)
    slides = len(store.slides)

    def compute() -> np.ndarray:
        return ScalingTables.of(features, store.slide_index, store.spots("train"), slides).as_array()

    return ScalingTables.from_array(
        computed_once(store, f"scaling_of_{feature_file(name, center)}", 2 * (1 + slides), compute)
    )


class ScaledFeatures:
    """Features of every spot; `features[rows]` are those of some spots, scaled, float32 [B, F]."""

    def __init__(
        self, features: np.ndarray, slide_index: np.ndarray, tables: ScalingTables, how: Scaled
    ) -> None:
        """Takes no copy of `features` [N, F] of spots on slides `slide_index` [N].

        Args:
            features: float32, as the encoder gave them.
            slide_index: int [N], places in the store's slides.
            tables: mean and spread.
            how: `none` leaves them as they are; `train` scales by the training slides, `slide` by the spot's own.

        Raises:
            ValueError: another `how`.
        """
        if how not in ("none", "train", "slide"):
            raise ValueError(f"how must be none, train or slide, got {how!r}")
        self._features, self._slides, self._how = shared(features), shared(slide_index), how
        scalings = [tables.train] if how == "train" else tables.slides
        self._means = torch.from_numpy(np.stack([one.mean for one in scalings]))
        self._factors = torch.from_numpy(np.stack([one.factor() for one in scalings]))

    @property
    def dim(self) -> int:
        """F."""
        return int(self._features.shape[1])

    def __getitem__(self, rows: torch.Tensor) -> torch.Tensor:
        """Of these spots, int64 [B]."""
        taken = self._features[rows]
        if self._how == "none":
            return taken
        group = self._slides[rows].long() if self._how == "slide" else torch.zeros_like(rows)
        return taken.sub_(self._means[group]).mul_(self._factors[group])


def shared(array: np.ndarray) -> torch.Tensor:
    """A memory-mapped array as a tensor on the same pages, so that trials on one node share one copy.

    torch has no read-only tensors and warns about the map; nothing here writes to it.
    """
    import warnings

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*not writable.*")
        return torch.from_numpy(array)
