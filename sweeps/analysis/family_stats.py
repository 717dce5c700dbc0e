"""How sure one can be of a loss family: of its expected recall when it is tuned by a search of this budget.

Which configuration a search happens to choose is chance too: another search of the same family ends at another one. So a
family is not its single winner. The best M configurations of its search are each trained again with S fresh seeds, and

    value = sum over r of w_r (mean of configuration r),   w_r = (1 - r/n)^n - (1 - (r+1)/n)^n

where w_r is how often the trial of rank r (from 0) is the best when the n trials are drawn again with replacement. The
variance of the value has three sources: seeds and slides (`sweeps.analysis.stats`), and the search. The search's part is

    1.5 x (variance between the M configurations, less what seeds and slides add to it)

not divided by M: all M rise and fall with the luck of the one search that found them. The factor is from simulation
(`benchmarks/calibration.py`): a search that converges draws its best trials close to one another, so that they differ less
than the winners of two searches do. Where a family is searched R times independently, the winners of these searches are a
plain sample: equal weights, and the variance between them divided by R.

(Bouthillier et al. 2021, "Accounting for Variance in Machine Learning Benchmarks": the search belongs to the variance.)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from sweeps.analysis.stats import (
    LEVEL,
    Components,
    Estimate,
    Part,
    checked,
    components,
    detectable,
    estimate,
    p_value,
    sampling_part,
    sampling_variance,
    total,
)

SEARCH_FACTOR = 1.5

# Where the configurations of a table come from: the best of `one search`, the winners of `several searches`, or `given`,
# when nothing was searched (a baseline, a family without parameters).
Source = Literal["one search", "several searches", "given"]


@dataclass(frozen=True)
class FamilyTable:
    """Recall [M, S, L] of M configurations by S seeds by L slides, the weight [M] of each (their sum is 1), their source."""

    values: np.ndarray
    weights: np.ndarray
    source: Source

    def mean(self) -> np.ndarray:
        """float [S, L]: the family's value by seed and slide."""
        return np.asarray(np.tensordot(self.weights, self.values, 1))


@dataclass(frozen=True)
class Comparison:
    """A difference of two families, paired by seed and slide, and what its variance is made of.

    `p` and `detectable` are None where there is nothing to take them from. `covers_search` is False when the search's part is
    not known, since a single configuration was confirmed: the interval then speaks of the configurations, not the families.
    """

    difference: Estimate
    p: float | None
    detectable: float | None
    covers_search: bool
    search: float  # variance that the searches add to the difference
    effects: Components  # variances of one slide, one seed, one training on one slide, of the difference
    seeds: int
    slides: int
    clusters: int


def winner_weights(ranks: np.ndarray, trials: int) -> np.ndarray:
    """How often each of some trials is the best when all are drawn again with replacement; scaled to sum 1.

    Args:
        ranks: int [M], the places of these trials among all, 0 for the best.
        trials: how many there are.

    Returns:
        float [M].

    Raises:
        ValueError: no rank, or one that is not in 0..trials - 1.
    """
    ranks = np.asarray(ranks, dtype=np.float64)
    if not ranks.size or ranks.min() < 0 or ranks.max() >= trials:
        raise ValueError(f"ranks must lie in 0..{trials - 1} (of {trials} trials), got {ranks.tolist()}")
    weights = (1 - ranks / trials) ** trials - (1 - (ranks + 1) / trials) ** trials
    return np.asarray(weights / weights.sum())


def search_part(table: FamilyTable, clusters: np.ndarray) -> Part | None:
    """The search's share in the variance of a family's value; None when one configuration cannot tell it.

    Args:
        table: the family. clusters: int [L], equal numbers for slides of one donor.
    """
    m = len(table.values)
    if table.source == "given":
        return Part(0.0, np.inf)
    if m == 1:
        return None
    between = float(table.values.mean((1, 2)).var(ddof=1))
    noise = [sampling_variance(one, clusters) for one in table.values - table.values.mean(0)]
    # A configuration's deviation has (M - 1) / M of its own noise; unknown noise (one seed, one slide) is left in.
    known = sum(one for one in noise if one is not None) / (m - 1)
    factor = SEARCH_FACTOR if table.source == "one search" else 1 / m
    return Part(factor * max(0.0, between - known), m - 1.0)


def family_estimate(table: FamilyTable, clusters: np.ndarray) -> Estimate:
    """A family's value with its interval; where the search's part is not known it covers seeds and slides only.

    Args:
        table: the family. clusters: int [L], equal numbers for slides of one donor.

    Raises:
        ValueError: as `sweeps.analysis.stats.sampling_part` does.
    """
    mean = table.mean()
    return estimate(float(mean.mean()), _total(sampling_part(mean, clusters), search_part(table, clusters)))


def compare_families(
    a: FamilyTable, b: FamilyTable, clusters: np.ndarray, level: float = LEVEL
) -> Comparison:
    """a - b, paired by seed and slide.

    Args:
        a, b: on the same slides and seeds; one of them may have a single row of seeds, which stands against each of the
            other's (a baseline without seeds).
        clusters: int [L], equal numbers for slides of one donor.
        level: of the interval.

    Raises:
        ValueError: tables that do not fit each other, or as `sweeps.analysis.stats.sampling_part` does.
    """
    _fit(a, b)
    difference, clusters = checked(a.mean() - b.mean(), clusters)
    searches = [search_part(a, clusters), search_part(b, clusters)]
    known = [part for part in searches if part is not None]
    part = _total(sampling_part(difference, clusters), *searches)
    value = float(difference.mean())
    return Comparison(
        difference=estimate(value, part, level),
        p=p_value(value, part),
        detectable=detectable(part, level),
        covers_search=len(known) == len(searches),
        search=sum(part.variance for part in known),
        effects=components(difference, clusters),
        seeds=len(difference),
        slides=difference.shape[1],
        clusters=len(np.unique(clusters)),
    )


def _total(sampling: Part | None, *searches: Part | None) -> Part | None:
    if sampling is None:
        return None
    return total([sampling, *(part for part in searches if part is not None)])


def _fit(a: FamilyTable, b: FamilyTable) -> None:
    shapes = [list(table.values.shape) for table in (a, b)]
    if any(len(shape) != 3 for shape in shapes):
        raise ValueError(f"a family's values must be [M, S, L], got {shapes[0]} and {shapes[1]}")
    seeds = {shapes[0][1], shapes[1][1]}
    if shapes[0][2] != shapes[1][2] or not (len(seeds) == 1 or 1 in seeds):
        raise ValueError(
            f"a and b must be on the same slides, with the same seeds or one row, got {shapes[0]} and {shapes[1]}"
        )
