"""A family's value and its interval: weights, the search's part, and comparisons, against code written out and simulation."""

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats as distributions

from sweeps.analysis.family_stats import (
    SEARCH_FACTOR,
    FamilyTable,
    compare_families,
    family_estimate,
    search_part,
    winner_weights,
)
from sweeps.analysis.stats import sampling_part, sampling_variance

OWN = np.arange(6)


def family(rng, spread, noise=0.01, m=5, s=3, slides=6, source="one search", mean=0.5):
    """Configurations whose quality has this spread, and trainings with noise."""
    values = mean + spread * rng.normal(size=(m, 1, 1)) + noise * rng.normal(size=(m, s, slides))
    return FamilyTable(values, np.full(m, 1 / m), source)


# -- weights


@pytest.mark.parametrize("trials", [1, 2, 7, 24])
def test_weights_are_how_often_a_rank_is_the_best_of_a_new_draw(trials):
    exact = winner_weights(np.arange(trials), trials)
    draws = np.random.default_rng(0).integers(0, trials, (200_000, trials)).min(1)
    assert exact == pytest.approx(np.bincount(draws, minlength=trials) / 200_000, abs=0.005)
    assert exact.sum() == pytest.approx(1) and (np.diff(exact) < 0).all()


def test_weights_of_the_first_few_are_scaled():
    whole = winner_weights(np.arange(24), 24)
    assert winner_weights(np.arange(5), 24) == pytest.approx(whole[:5] / whole[:5].sum())
    assert winner_weights(np.array([0, 3]), 24) == pytest.approx(whole[[0, 3]] / whole[[0, 3]].sum())
    assert winner_weights(np.arange(5), 2000)[0] == pytest.approx(
        (1 - math.exp(-1)) / (1 - math.exp(-5)), rel=0.01
    )


@pytest.mark.parametrize("ranks", [[], [-1], [3], [0, 5]])
def test_ranks_lie_among_the_trials(ranks):
    with pytest.raises(ValueError, match=r"ranks must lie in 0\.\.2 \(of 3 trials\), got"):
        winner_weights(np.array(ranks), 3)


# -- the search's part


def slow_search_part(table, clusters):
    """Between configurations, less the noise of each, all written out."""
    m = len(table.values)
    means = [table.values[r].mean() for r in range(m)]
    between = sum((one - np.mean(means)) ** 2 for one in means) / (m - 1)
    noise = 0.0
    for r in range(m):
        deviation = table.values[r] - sum(table.values) / m
        noise += sampling_variance(deviation, clusters) * (m / (m - 1)) / m
    return max(0.0, between - noise)


@pytest.mark.parametrize("m", [2, 3, 5])
@pytest.mark.parametrize("spread", [0.0, 0.01, 0.1])
def test_the_searchs_part(m, spread):
    for seed in range(5):
        table = family(np.random.default_rng(seed), spread, m=m)
        slow = slow_search_part(table, OWN)
        found = search_part(table, OWN)
        assert (found.variance, found.degrees) == pytest.approx((SEARCH_FACTOR * slow, m - 1))
        several = search_part(replace(table, source="several searches"), OWN)
        assert several.variance == pytest.approx(slow / m)


def test_it_is_right_on_average_whatever_the_noise():
    """The noise of seeds and slides is taken out, also where it is most of the difference."""
    rng = np.random.default_rng(1)
    for spread, noise in ((0.01, 0.002), (0.01, 0.03)):
        found = [search_part(family(rng, spread, noise), OWN).variance for _ in range(3000)]
        # below 0 it is cut off, which noise makes happen: not a hair less than the truth, and not much more
        assert 0.95 * spread**2 < np.mean(found) / SEARCH_FACTOR < 1.5 * spread**2


def test_nothing_searched_has_no_part_and_a_single_configuration_cannot_tell():
    given = family(np.random.default_rng(2), 0.0, m=1, source="given")
    assert search_part(given, OWN).variance == 0
    assert search_part(replace(given, source="one search"), OWN) is None
    assert search_part(replace(given, source="several searches"), OWN) is None


def test_unknown_noise_is_left_in():
    """One seed on one slide: what is seen between configurations counts as it is."""
    table = family(np.random.default_rng(3), 0.01, s=1, slides=1)
    assert search_part(table, OWN[:1]).variance == pytest.approx(SEARCH_FACTOR * table.values.var(ddof=1))


# -- a family, and two of them


def test_a_familys_value_is_the_weighted_mean_and_its_interval_has_both_parts():
    table = replace(family(np.random.default_rng(4), 0.02), weights=np.array([0.6, 0.2, 0.1, 0.06, 0.04]))
    found = family_estimate(table, OWN)
    mean = sum(w * one for w, one in zip(table.weights, table.values, strict=True))
    sampling, search = sampling_part(mean, OWN), search_part(table, OWN)
    variance = sampling.variance + search.variance
    degrees = variance**2 / (sampling.variance**2 / sampling.degrees + search.variance**2 / search.degrees)
    half = math.sqrt(variance) * distributions.t.ppf(0.975, degrees)
    assert (found.low, found.value, found.high) == pytest.approx(
        (mean.mean() - half, mean.mean(), mean.mean() + half)
    )


def test_a_comparison_is_paired_and_symmetric():
    rng = np.random.default_rng(5)
    shared = 0.2 * rng.normal(size=(1, 3, 6))  # of seeds and slides, the same for both
    a, b = family(rng, 0.0, 0.002, mean=0.52), family(rng, 0.0, 0.002, mean=0.5)
    a, b = replace(a, values=a.values + shared), replace(b, values=b.values + shared)
    found = compare_families(a, b, OWN)
    assert found.difference.value == pytest.approx((a.mean() - b.mean()).mean())
    assert found.difference.low > 0.01 and found.p < 0.001 and found.covers_search
    assert (found.seeds, found.slides, found.clusters) == (3, 6, 6)
    back = compare_families(b, a, OWN)
    assert back.difference.value == pytest.approx(-found.difference.value) and back.p == pytest.approx(
        found.p
    )


def test_both_searches_widen_the_interval():
    rng = np.random.default_rng(6)
    a, b = family(rng, 0.02), family(rng, 0.0)
    both = compare_families(a, b, OWN)
    assert both.search == pytest.approx(search_part(a, OWN).variance + search_part(b, OWN).variance)
    fixed = compare_families(replace(a, source="given"), replace(b, source="given"), OWN)
    assert fixed.search == 0 and fixed.effects == both.effects
    assert both.difference.high - both.difference.low > 2 * (fixed.difference.high - fixed.difference.low)
    several = compare_families(replace(a, source="several searches"), b, OWN)
    assert several.search < both.search / 4


def test_without_the_searchs_part_it_says_so():
    rng = np.random.default_rng(7)
    a, b = family(rng, 0.0, m=1), family(rng, 0.01)
    found = compare_families(a, b, OWN)
    assert not found.covers_search and found.search == search_part(b, OWN).variance
    assert compare_families(replace(a, source="given"), b, OWN).covers_search


def test_one_row_stands_against_every_seed():
    rng = np.random.default_rng(8)
    a, b = family(rng, 0.01), family(rng, 0.0, m=1, s=1, source="given")
    repeated = replace(b, values=np.repeat(b.values, 3, 1))
    assert compare_families(a, b, OWN) == compare_families(a, repeated, OWN)


def test_slides_of_one_donor_are_counted_as_one_cluster():
    rng = np.random.default_rng(9)
    found = compare_families(family(rng, 0.0), family(rng, 0.0), OWN // 2)
    assert (found.slides, found.clusters) == (6, 3)


def test_a_single_cell_claims_nothing():
    rng = np.random.default_rng(10)
    one = family(rng, 0.01, s=1, slides=1)
    found = compare_families(one, one, OWN[:1])
    assert (found.p, found.detectable, found.difference.low) == (None, None, None)


@pytest.mark.parametrize(
    ("shape", "rule"),
    [
        ((5, 2, 6), r"the same seeds or one row, got \[5, 3, 6\] and \[5, 2, 6\]"),
        ((5, 3, 5), r"on the same slides"),
        ((3, 6), r"a family's values must be \[M, S, L\], got \[5, 3, 6\] and \[3, 6\]"),
    ],
)
def test_tables_that_do_not_fit(shape, rule):
    rng = np.random.default_rng(11)
    other = FamilyTable(rng.normal(size=shape), np.full(shape[0], 1 / shape[0]), "one search")
    with pytest.raises(ValueError, match=rule):
        compare_families(family(rng, 0.0), other, OWN)


# -- in simulation; the full grid is benchmarks/calibration.py


@pytest.mark.parametrize("spread", [0.0, 0.004, 0.03])
def test_equal_families_whose_searches_had_different_luck_are_not_told_apart(spread):
    """Each family's trials are drawn anew, chosen by noisy val values, and confirmed; the winners alone do differ."""
    rng, sweeps = np.random.default_rng(12), 300
    weights = winner_weights(np.arange(5), 24)
    false = alone = 0
    for _ in range(sweeps):
        tables = []
        for _ in range(2):
            quality = spread * rng.normal(size=24)
            best = quality[np.argsort(-(quality + 0.011 * rng.normal(size=24)))[:5]]
            values = best[:, None, None] + 0.003 * rng.normal(size=(5, 3, 1))
            tables.append(values + 0.011 * rng.normal(size=(5, 3, 6)))
        found = compare_families(*(FamilyTable(one, weights, "one search") for one in tables), OWN)
        false += found.p < 0.05
        winners = compare_families(*(FamilyTable(one[:1], np.ones(1), "given") for one in tables), OWN)
        alone += winners.p < 0.05
    assert false / sweeps < 0.08
    if spread == 0.03:
        assert alone / sweeps > 0.4  # which is what the search's part is for
