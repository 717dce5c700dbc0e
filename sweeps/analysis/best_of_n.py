"""The expected best of n trials: what a search finds on average with a smaller budget, and how much of it is luck.

Unequal tuning effort is the usual way to make one method look better than another (Dodge et al. 2019; Musgrave et al.
2020). The trials of a search are treated as exchangeable, though later ones follow from earlier ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

DRAWS = 1000
LEVEL = 0.95


@dataclass(frozen=True)
class BestCurve:
    """For n = 1 ... N: the expected best value, and its pointwise 95 % interval."""

    value: list[float]
    low: list[float]
    high: list[float]


def best_curve(values: Sequence[float], mode: Literal["max", "min"], seed: int) -> BestCurve:
    """The expected best of n of these N values, for every n, with intervals by a bootstrap over the trials.

    Raises ValueError for no values, or one that is not finite.
    """
    given = np.asarray(values, dtype=np.float64)
    if not given.size or not np.isfinite(given).all():
        raise ValueError(f"the best of n needs finite values, one or more, got {list(values)[:5]}")
    weights = subset_weights(len(given))
    rng = np.random.default_rng(seed)
    drawn = given[rng.integers(len(given), size=(DRAWS, len(given)))]
    curves = _expected(drawn, weights, mode)
    low, high = np.quantile(curves, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0)
    return BestCurve(_expected(given[None], weights, mode)[0].tolist(), low.tolist(), high.tolist())


def subset_weights(count: int) -> np.ndarray:
    """float [N, N]: in row n - 1 the chance that the i-th smallest of N values is the largest of a subset of n.

    C(i - 1, n - 1) / C(N, n) for i = 1 ... N, which makes the mean over all subsets of n without listing them: unbiased
    (Tang et al. 2020, arXiv 2004.13705), unlike the plug-in estimate. By recurrence, since the binomials overflow:
    w(n, N) = n / N, and w(n, i) = w(n, i + 1) (i + 1 - n) / i.
    """
    weights = np.zeros((count, count))
    sizes = np.arange(1, count + 1)
    weights[:, count - 1] = sizes / count
    for i in range(count - 1, 0, -1):
        weights[:, i - 1] = weights[:, i] * np.maximum(i + 1 - sizes, 0) / i
    return weights


def _expected(values: np.ndarray, weights: np.ndarray, mode: Literal["max", "min"]) -> np.ndarray:
    """Rows of values [M, N] -> curves [M, N]."""
    sign = 1.0 if mode == "max" else -1.0
    return np.asarray(sign * (np.sort(sign * values, axis=1) @ weights.T))
