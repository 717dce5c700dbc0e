"""The expected best of n trials against all subsets."""

from itertools import combinations

import numpy as np
import pytest

from sweeps.analysis.best_of_n import best_curve, subset_weights


def by_enumeration(values, mode):
    best = max if mode == "max" else min
    return [
        float(np.mean([best(subset) for subset in combinations(values, n)]))
        for n in range(1, len(values) + 1)
    ]


@pytest.mark.parametrize("mode", ["max", "min"])
@pytest.mark.parametrize(
    "values",
    [
        [0.3],
        [0.3, 0.1],
        [0.5, 0.5, 0.5],
        [0.2, 0.4, 0.4, 0.1, 0.4],
        list(np.random.default_rng(0).normal(size=9)),
    ],
)
def test_the_curve_is_the_mean_over_all_subsets(values, mode):
    curve = best_curve(values, mode, seed=0)
    assert curve.value == pytest.approx(by_enumeration(values, mode))
    assert all(low <= high for low, high in zip(curve.low, curve.high, strict=True))


def test_a_thousand_trials_do_not_overflow():
    weights = subset_weights(1000)
    assert weights.sum(1) == pytest.approx(np.ones(1000))
    assert weights[0] == pytest.approx(np.full(1000, 1e-3))
    assert weights[-1].tolist() == [0.0] * 999 + [1.0]


def test_it_is_unbiased_where_the_plug_in_estimate_is_not():
    """Of uniform values the best of n is n / (n + 1) on average."""
    rng = np.random.default_rng(1)
    means = np.mean([best_curve(rng.uniform(size=8), "max", 0).value for _ in range(600)], axis=0)
    assert means == pytest.approx([n / (n + 1) for n in range(1, 9)], abs=0.012)


def test_the_same_seed_gives_the_same_interval_and_it_holds_the_curve():
    values = np.random.default_rng(2).normal(size=24)
    first, again = best_curve(values, "max", 5), best_curve(values, "max", 5)
    assert first == again
    assert first.low[0] < first.value[0] < first.high[0]
    assert best_curve([0.4] * 5, "max", 0).low == [pytest.approx(0.4)] * 5


@pytest.mark.parametrize("values", [[], [0.1, float("nan")], [float("inf")]])
def test_values_that_are_none(values):
    with pytest.raises(ValueError, match="needs finite values, one or more, got"):
        best_curve(values, "max", 0)
