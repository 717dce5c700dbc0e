"""How sure one can be of a recall, and of a difference between two: functions of arrays, replicates by slides.

A table [S, L] holds a recall for each of S trainings (seeds) on each of L test slides. Both are samples: the question is
about other seeds and other slides. So y = mean + slide + seed + (what is left), crossed: every seed meets every slide. The
variance of the mean is

    V = slide variance / C + seed variance / S + rest / (S C) = (MS_slides + MS_seeds - MS_rest) / (S C)

estimated by the mean squares of the two-way table. Slides of one donor are one cluster; C is the number of clusters, and
clusters of unequal size enter by the residuals of their sums (the mean stays one over slides).

With a handful of seeds and slides the quantiles of a plain bootstrap are too narrow. The intervals here keep the shape of
the two-way bootstrap (Owen 2007, "The pigeonhole bootstrap") and have the width that t quantiles give, in the spirit of
the expanded percentile interval (Hesterberg 2015, "What teachers should know about the bootstrap").
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats as distributions

LEVEL = 0.95
POWER = 0.80
DRAWS = 4000
_TINY = 1e-12  # a standard error below it is none: all values are the same


@dataclass(frozen=True)
class Estimate:
    """A mean with its 95 % interval; `low` and `high` are None where there is nothing to take one from."""

    value: float
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Comparison:
    """A paired difference, the p-value of its sign-flip test, and the smallest true difference that the design would have
    shown with 80 % power. `p` and `detectable` are None where there is nothing to take them from."""

    difference: Estimate
    p: float | None
    detectable: float | None
    seeds: int
    slides: int
    clusters: int


def interval(values: np.ndarray, clusters: np.ndarray, seed: int, level: float = LEVEL) -> Estimate:
    """The mean of a table and its interval, of 95 % unless another level is asked for.

    Args:
        values: float [S, L], S seeds by L slides, each slide with equal weight.
        clusters: int [L], equal numbers for slides that are not independent (of one donor).
        seed: of the bootstrap; the same input gives the same interval.
        level: of the interval (see `sweeps.looks`). Its shape is that of the 95 % interval at any level: the draws do
            not reach further out.

    With one seed the interval covers slides only, with one cluster seeds only, with one of both there is none.

    Raises ValueError for shapes that do not fit, no cell, or values that are not finite.
    """
    values, clusters = _checked(values, clusters)
    mean = float(values.mean())
    cells = cell_residuals(values, clusters)
    spread = standard_error(cells)
    if spread is None:
        return Estimate(mean, None, None)
    error, degrees = spread
    if error < _TINY:
        return Estimate(mean, mean, mean)
    half = error * float(distributions.t.ppf((1 + level) / 2, degrees))
    low, high = np.quantile(_bootstrap(cells, seed), [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    # The bootstrap's shape around the mean, at the width of the t interval.
    expand = 2 * half / float(high - low) if high - low > _TINY else 0.0
    if not expand or low >= 0 or high <= 0:
        return Estimate(mean, mean - half, mean + half)
    return Estimate(mean, mean + expand * float(low), mean + expand * float(high))


def compare(
    a: np.ndarray, b: np.ndarray, clusters: np.ndarray, seed: int, level: float = LEVEL
) -> Comparison:
    """a - b, paired by seed and slide.

    Args:
        a, b: float [S, L]; one of them may be [1, L], a model without seeds, which stands against each of the other's.
        clusters, seed, level: as in `interval`.

    Raises ValueError as `interval` does.
    """
    if (
        a.ndim != 2
        or b.ndim != 2
        or a.shape[1] != b.shape[1]
        or not (len(a) == len(b) or 1 in (len(a), len(b)))
    ):
        raise ValueError(
            f"a and b must be [S, L] on the same slides, with the same seeds or one row, got {list(a.shape)} and {list(b.shape)}"
        )
    difference = a - b
    estimate = interval(difference, clusters, seed, level)
    difference, clusters = _checked(difference, clusters)
    cells = cell_residuals(difference, clusters)
    return Comparison(
        difference=estimate,
        p=sign_flip_p(cells, estimate.value, seed),
        detectable=_detectable(cells, level),
        seeds=len(difference),
        slides=difference.shape[1],
        clusters=cells.shape[1],
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


def standard_error(cells: np.ndarray) -> tuple[float, float] | None:
    """Standard error of the mean of cells [S, C], and its degrees of freedom (Satterthwaite); None for a single cell."""
    errors, degrees = _standard_errors(cells[None])
    return None if math.isnan(degrees[0]) else (float(errors[0]), float(degrees[0]))


def _standard_errors(tables: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The same for tables [N, S, C] at once; degrees are NaN for single cells.

    A part whose mean square hardly exceeds the rest's is taken for nothing: the estimate is then the other part's alone.
    """
    _, s, c = tables.shape
    mean = tables.mean((1, 2), keepdims=True)
    slides, seeds = tables.mean(1, keepdims=True) - mean, tables.mean(2, keepdims=True) - mean
    if s == 1 or c == 1:
        only, free = (slides, c - 1) if s == 1 else (seeds, s - 1)
        if free == 0:
            return np.zeros(len(tables)), np.full(len(tables), np.nan)
        return np.sqrt((only**2).sum((1, 2)) / free / (free + 1)), np.full(len(tables), float(free))
    ms_slides = s * (slides**2).sum((1, 2)) / (c - 1)
    ms_seeds = c * (seeds**2).sum((1, 2)) / (s - 1)
    free_rest = (s - 1) * (c - 1)
    ms_rest = ((tables - mean - slides - seeds) ** 2).sum((1, 2)) / free_rest
    both = ms_slides + ms_seeds - ms_rest
    tiny = np.finfo(np.float64).tiny
    satterthwaite = both**2 / (ms_slides**2 / (c - 1) + ms_seeds**2 / (s - 1) + ms_rest**2 / free_rest + tiny)
    larger = np.maximum(ms_slides, ms_seeds)
    free_larger = np.where(ms_slides >= ms_seeds, c - 1, s - 1).astype(float)
    limit = np.where(
        ms_slides >= ms_seeds, _pooling_limit(s - 1, free_rest), _pooling_limit(c - 1, free_rest)
    )
    one = np.minimum(ms_slides, ms_seeds) <= ms_rest * limit
    variance = np.where(one, larger, both) / (s * c)
    # The sum is never below its larger part, so it is known no worse than a part alone.
    degrees = np.where(one, free_larger, np.maximum(satterthwaite, min(s, c) - 1))
    return np.sqrt(variance), degrees


def _pooling_limit(free: int, free_rest: int) -> float:
    """The F ratio below which a part is taken for nothing: the upper quartile, as is usual for pooling (Bancroft 1964)."""
    return float(distributions.f.ppf(0.75, free, free_rest))


def _bootstrap(cells: np.ndarray, seed: int) -> np.ndarray:
    """float [DRAWS]: means of cells [S, C] with seeds and clusters both drawn again with replacement."""
    s, c = cells.shape
    rng = np.random.default_rng(seed)
    seeds = rng.multinomial(s, np.full(s, 1 / s), DRAWS) / s
    slides = rng.multinomial(c, np.full(c, 1 / c), DRAWS) / c
    return np.asarray(((seeds @ cells) * slides).sum(1))


def sign_flip_p(cells: np.ndarray, mean: float, seed: int) -> float | None:
    """Two-sided p-value of mean = 0 by flipping signs; never 0. None for a single cell.

    Flipping whole slides alone would take a lucky draw of seeds, which moves all slides alike, for a real difference, and
    flipping single cells would ignore both. So the estimated effects are flipped, each kind by itself: the slides', the
    seeds', and the rest, each scaled to the variance that is estimated for it. The statistic is the mean over its standard
    error, made anew for every flip, which carries the uncertainty of a small table (as in the wild bootstrap for two-way
    clusters, MacKinnon, Nielsen and Webb 2021). Where there is one seed, or one cluster, the values themselves are
    flipped, which is the classical exact test. The flips of three or four slides are too few to know the tails by (in
    simulation 12 % of equal families had p < 0.05 with 3 slides), so p is never below that of the t statistic.
    """
    spread = standard_error(cells)
    if spread is None:
        return None
    if spread[0] < _TINY:
        return 1.0 if abs(mean) < _TINY else 1 / (DRAWS + 1)
    rng = np.random.default_rng(seed)
    flipped = _flipped_line(cells + mean, rng) if 1 in cells.shape else _flipped_table(cells, rng)
    errors, _ = _standard_errors(flipped)
    numerator = np.abs(flipped.mean((1, 2)))
    observed = abs(mean) / spread[0]
    # A flip that leaves all values equal has no standard error: it is as extreme as can be.
    extreme = numerator >= observed * errors * (1 - 1e-9)
    by_flips = float((1 + extreme.sum()) / (1 + len(flipped)))
    return max(by_flips, float(2 * distributions.t.sf(observed, spread[1])))


def _flipped_line(values: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """All flips but the identity of up to 12 values [1, C] or [S, 1], else random ones; [N, S, C]."""
    count = values.size
    if count <= 12:
        bits = np.arange(1, 2**count)[:, None] >> np.arange(count) & 1
        signs = 1.0 - 2.0 * bits
    else:
        signs = rng.choice([-1.0, 1.0], (DRAWS, count))
    return np.asarray(signs.reshape(-1, *values.shape) * values)


def _flipped_table(cells: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """[DRAWS, S, C]: flips of the estimated effects of cells [S, C]."""
    s, c = cells.shape
    mean = cells.mean()
    slides, seeds = cells.mean(0) - mean, cells.mean(1) - mean
    rest = cells - mean - slides - seeds[:, None]
    ms_rest = (rest**2).sum() / ((s - 1) * (c - 1))
    slides = slides * _scale((slides**2).sum() / (c - 1), ms_rest / s, c / (c - 1))
    seeds = seeds * _scale((seeds**2).sum() / (s - 1), ms_rest / c, s / (s - 1))
    rest = rest * math.sqrt(s * c / ((s - 1) * (c - 1)))
    made = rng.choice([-1.0, 1.0], (DRAWS, 1, c)) * slides
    made = made + rng.choice([-1.0, 1.0], (DRAWS, s, 1)) * seeds[:, None]
    return np.asarray(made + rng.choice([-1.0, 1.0], (DRAWS, s, c)) * rest)


def _scale(variance: float, noise: float, correction: float) -> float:
    """By how much estimated effects shrink, since part of their `variance` is `noise`; `correction` for their own mean."""
    return math.sqrt(max(0.0, 1 - noise / variance) * correction) if variance > 0 else 0.0


def _detectable(cells: np.ndarray, level: float) -> float | None:
    """The usual (t_0.975 + t_0.8) x standard error (at 95 %); the noncentral t would give a few per cent less."""
    spread = standard_error(cells)
    if spread is None:
        return None
    error, degrees = spread
    t = distributions.t
    return error * (float(t.ppf((1 + level) / 2, degrees)) + float(t.ppf(POWER, degrees)))


def _checked(values: np.ndarray, clusters: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    values, clusters = np.asarray(values, dtype=np.float64), np.asarray(clusters)
    if values.ndim != 2 or not values.size or clusters.shape != (values.shape[1],):
        raise ValueError(
            f"values must be [S, L] with a cell at least, and clusters [L], got {list(values.shape)} and {list(clusters.shape)}"
        )
    if not np.isfinite(values).all():
        raise ValueError(f"values must be finite, got {int((~np.isfinite(values)).sum())} that are not")
    return values, clusters
