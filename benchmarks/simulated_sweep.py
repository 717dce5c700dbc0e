"""Whole sweeps whose truth is known, for `benchmarks/calibration.py`: two families, searched and confirmed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from benchmarks.simulated_search import Landscape, bowl, hills, random_search, tpe_search
from sweeps.analysis.family_stats import Source, winner_weights
from sweeps.planning.plan import CONFIRM_CONFIGS, CONFIRM_SEEDS

LANDSCAPES = {"hills": hills, "bowl": bowl}
SEARCHES = {"random": random_search, "tpe": tpe_search}


@dataclass(frozen=True)
class Truth:
    """Standard deviations of R@10, as measured on the default sweep's confirmation."""

    slide: float = 0.10  # between slides, the same for all
    family_slide: float = 0.006  # of one family on one slide
    configuration_slide: float = 0.003  # of one configuration on one slide
    seed: float = 0.003  # of one training, on all slides alike
    shared_rest: float = 0.0215  # of one seed on one slide, the same for all (paired seeds start alike)
    rest: float = 0.0106  # of one training on one slide
    level: float = 0.6

    def val_noise(self, slides: int) -> float:
        """Of one val value: a training with a seed of its own, on `slides` val slides."""
        on_a_slide = np.sqrt(self.rest**2 + self.shared_rest**2 + self.configuration_slide**2)
        return float(np.hypot(self.seed, on_a_slide / np.sqrt(slides)))


@dataclass(frozen=True)
class Design:
    """What a sweep does."""

    trials: int = 24
    configurations: int = CONFIRM_CONFIGS
    seeds: int = CONFIRM_SEEDS
    val_slides: int = 5
    searches: int = 1

    @property
    def source(self) -> Source:
        return "one search" if self.searches == 1 else "several searches"

    def weights(self) -> np.ndarray:
        """Of the confirmed configurations, the best by val first."""
        if self.searches > 1:
            return np.full(self.searches, 1 / self.searches)
        return winner_weights(np.arange(self.configurations), self.trials)


@dataclass(frozen=True)
class Cell:
    """A kind of sweep."""

    landscape: str
    search: str
    spread: float
    other: float | None = None  # the second family's spread; None for the same

    @property
    def spreads(self) -> tuple[float, float]:
        return self.spread, self.spread if self.other is None else self.other


def searched(
    cell: Cell, landscape: Landscape, design: Design, truth: Truth, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """True quality and val value [2, trials] of one search of each of two families."""
    noise = truth.val_noise(design.val_slides)
    both = [SEARCHES[cell.search](landscape, spread, noise, design.trials, rng) for spread in cell.spreads]
    return np.stack([quality for quality, _ in both]), np.stack([value for _, value in both])


def chosen(
    cell: Cell, landscape: Landscape, design: Design, truth: Truth, rng: np.random.Generator
) -> np.ndarray:
    """True quality [2, M] of what one sweep confirms: the best of a family's search, or the winner of each of its searches."""
    sweep = [searched(cell, landscape, design, truth, rng) for _ in range(design.searches)]
    if design.searches == 1:
        return _best(*sweep[0], design.configurations)
    return np.concatenate([_best(quality, values, 1) for quality, values in sweep], 1)


def _best(quality: np.ndarray, values: np.ndarray, count: int) -> np.ndarray:
    return np.take_along_axis(quality, np.argsort(-values, 1)[:, :count], 1)


def confirmed(
    quality: np.ndarray, design: Design, truth: Truth, clusters: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Test tables [2, M, S, L] of configurations of this quality [2, M], and what is true of each family [2, L] on each slide."""
    (_, m), s, slides = quality.shape, design.seeds, len(clusters)
    donors = rng.normal(0, 1, (2, clusters.max() + 1))[:, clusters]
    several = len(set(clusters.tolist())) < slides
    own = (
        rng.normal(0, 1, (2, slides))
        if not several
        else (donors + rng.normal(0, 1, (2, slides))) / np.sqrt(2)
    )
    own = truth.level + rng.normal(0, truth.slide, slides) + truth.family_slide * own
    values = quality[:, :, None, None] + own[:, None, None] + rng.normal(0, truth.shared_rest, (s, slides))
    values = values + rng.normal(0, truth.configuration_slide, (2, m, 1, slides))
    values = values + rng.normal(0, truth.seed, (2, m, s, 1)) + rng.normal(0, truth.rest, (2, m, s, slides))
    return values, own
