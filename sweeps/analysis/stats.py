"""How sure one can be of a mean recall: functions of arrays, seeds by slides.

A table [S, L] holds a recall for each of S trainings (seeds) on each of L test slides. Both are samples: the question is
about other seeds and other slides. So y = mean + slide + seed + rest, crossed: every seed meets every slide. The variance
of the mean is

    V = slide variance / C + seed variance / S + rest / (S C) = (MS_slides + MS_seeds - MS_rest) / (S C)

estimated by the mean squares of the two-way table. Slides of one donor are one cluster; C is the number of clusters, and
clusters of unequal size enter by the residuals of their sums (the mean stays one over slides).

A variance goes by a `Part`: its size, and the degrees of freedom that its estimate has. Parts from several sources add up
(Satterthwaite 1946), and intervals and p-values are those of Student's t, so that the two always agree.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats as distributions

LEVEL = 0.95
POWER = 0.80
TINY = 1e-24  # a variance below it is none: all values are the same


@dataclass(frozen=True)
class Estimate:
    """A mean with its 95 % interval; `low` and `high` are None where there is nothing to take one from."""

    value: float
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Part:
    """A source's share in the variance of a mean, and the degrees of freedom of its estimate."""

    variance: float
    degrees: float


@dataclass(frozen=True)
class Components:
    """Variances of single effects, none below 0: of one slide (or donor), of one seed, of one training on one slide."""

    slide: float
    seed: float
    rest: float


def sampling_part(values: np.ndarray, clusters: np.ndarray) -> Part | None:
    """The variance of a table's mean over other seeds and other slides.

    With one seed it covers slides only, with one cluster seeds only.

    Args:
        values: float [S, L], S seeds by L slides, each slide with equal weight.
        clusters: int [L], equal numbers for slides that are not independent (of one donor).

    Returns:
        None for one seed on one cluster: there is nothing to take a variance from.

    Raises:
        ValueError: shapes that do not fit, no cell, or values that are not finite.
    """
    cells = cell_residuals(*checked(values, clusters))
    s, c = cells.shape
    if s == 1 and c == 1:
        return None
    if 1 in (s, c):
        return Part(float((cells**2).sum()) / (cells.size - 1) / cells.size, cells.size - 1.0)
    ms_slides, ms_seeds, ms_rest = mean_squares(cells)
    larger, degrees = (ms_slides, c - 1.0) if ms_slides >= ms_seeds else (ms_seeds, s - 1.0)
    if min(ms_slides, ms_seeds) <= ms_rest * _pooling_limit(s + c - 2 - int(degrees), (s - 1) * (c - 1)):
        return Part(larger / (s * c), degrees)
    both = ms_slides + ms_seeds - ms_rest
    spread = ms_slides**2 / (c - 1) + ms_seeds**2 / (s - 1) + ms_rest**2 / ((s - 1) * (c - 1))
    # The sum is never below its larger part, so it is known no worse than a part alone.
    return Part(both / (s * c), max(both**2 / spread, min(s, c) - 1.0))


def sampling_variance(values: np.ndarray, clusters: np.ndarray) -> float | None:
    """The unbiased estimate of the same variance, which may fall below 0; for sums of many, where no part may be left out."""
    cells = cell_residuals(*checked(values, clusters))
    if cells.size == 1:
        return None
    if 1 in cells.shape:
        return float((cells**2).sum()) / (cells.size - 1) / cells.size
    ms_slides, ms_seeds, ms_rest = mean_squares(cells)
    return (ms_slides + ms_seeds - ms_rest) / cells.size


def components(values: np.ndarray, clusters: np.ndarray) -> Components:
    """What a table's variance is made of. In a table of one seed or one cluster all of it is the other's."""
    cells = cell_residuals(*checked(values, clusters))
    s, c = cells.shape
    if s == 1 or c == 1:
        variance = float((cells**2).sum()) / max(1, cells.size - 1)
        return Components(0.0, variance, 0.0) if c == 1 else Components(variance, 0.0, 0.0)
    ms_slides, ms_seeds, ms_rest = mean_squares(cells)
    return Components(max(0.0, (ms_slides - ms_rest) / s), max(0.0, (ms_seeds - ms_rest) / c), ms_rest)


def total(parts: Sequence[Part]) -> Part:
    """Independent parts together (Satterthwaite 1946); a part of no variance does not count."""
    there = [part for part in parts if part.variance > TINY]
    if not there:
        return Part(0.0, math.inf)
    variance = sum(part.variance for part in there)
    return Part(variance, variance**2 / sum(part.variance**2 / part.degrees for part in there))


def estimate(mean: float, part: Part | None, level: float = LEVEL) -> Estimate:
    """A mean and its t interval."""
    if part is None:
        return Estimate(mean, None, None)
    half = math.sqrt(part.variance) * _quantile((1 + level) / 2, part.degrees)
    return Estimate(mean, mean - half, mean + half)


def p_value(mean: float, part: Part | None) -> float | None:
    """Two-sided p-value of mean = 0 by Student's t; None where there is no variance to hold it against."""
    if part is None:
        return None
    if part.variance <= TINY:
        return 1.0 if mean**2 <= TINY else 0.0
    return float(2 * distributions.t.sf(abs(mean) / math.sqrt(part.variance), part.degrees))


def detectable(part: Part | None, level: float = LEVEL) -> float | None:
    """The smallest true difference that is shown with 80 % power: the usual (t_0.975 + t_0.8) x standard error (at 95 %)."""
    if part is None:
        return None
    return math.sqrt(part.variance) * (
        _quantile((1 + level) / 2, part.degrees) + _quantile(POWER, part.degrees)
    )


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Holm's adjusted p-values (1979), in the given order; None stays None and does not count as a test."""
    known = sorted((p, place) for place, p in enumerate(p_values) if p is not None)
    adjusted: list[float | None] = [None] * len(p_values)
    largest = 0.0
    for rank, (p, place) in enumerate(known):
        largest = max(largest, min(1.0, (len(known) - rank) * p))
        adjusted[place] = largest
    return adjusted


def cell_residuals(values: np.ndarray, clusters: np.ndarray) -> np.ndarray:
    """float [S, C], with mean 0: what each seed's sum over a cluster adds to the deviation of the mean.

    For clusters of equal size these are the cluster means less the overall mean.
    """
    sums = np.stack([values[:, clusters == c].sum(1) for c in np.unique(clusters)], axis=1)
    sizes = np.array([(clusters == c).sum() for c in np.unique(clusters)])
    return np.asarray((sums - sizes * values.mean()) * len(sizes) / values.shape[1])


def mean_squares(cells: np.ndarray) -> tuple[float, float, float]:
    """MS_slides, MS_seeds and MS_rest of cells [S, C] with two rows and two columns at least."""
    s, c = cells.shape
    mean = cells.mean()
    slides, seeds = cells.mean(0) - mean, cells.mean(1) - mean
    rest = cells - mean - slides - seeds[:, None]
    return (
        float(s * (slides**2).sum() / (c - 1)),
        float(c * (seeds**2).sum() / (s - 1)),
        float((rest**2).sum() / ((s - 1) * (c - 1))),
    )


def checked(values: np.ndarray, clusters: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both as arrays of a table. Raises ValueError for what is no table [S, L] of finite values with L clusters."""
    values, clusters = np.asarray(values, dtype=np.float64), np.asarray(clusters)
    if values.ndim != 2 or not values.size or clusters.shape != (values.shape[1],):
        raise ValueError(
            f"values must be [S, L] with a cell at least, and clusters [L], got {list(values.shape)} and {list(clusters.shape)}"
        )
    if not np.isfinite(values).all():
        raise ValueError(f"values must be finite, got {int((~np.isfinite(values)).sum())} that are not")
    return values, clusters


def _pooling_limit(free: int, free_rest: int) -> float:
    """The F ratio below which a part is taken for nothing: the upper quartile, as is usual for pooling (Bancroft 1964)."""
    return float(distributions.f.ppf(0.75, free, free_rest))


def _quantile(probability: float, degrees: float) -> float:
    return float(distributions.t.ppf(probability, degrees))
