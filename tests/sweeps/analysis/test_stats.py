"""Means, variances and intervals of seeds by slides: against slow reference code, on known tables, and in simulation."""

import math
from collections import Counter

import numpy as np
import pytest
from scipy import stats as distributions

from sweeps.analysis.stats import (
    Part,
    cell_residuals,
    components,
    detectable,
    estimate,
    holm,
    mean_squares,
    p_value,
    sampling_part,
    sampling_variance,
    total,
)

OWN = np.arange(10)  # each slide its own cluster


def table(seeds, slides, slide_sd, seed_sd, rest_sd, rng, mean=0.0):
    return (
        mean
        + slide_sd * rng.normal(size=(1, slides))
        + seed_sd * rng.normal(size=(seeds, 1))
        + rest_sd * rng.normal(size=(seeds, slides))
    )


# -- the variance of a mean


def slow_mean_squares(cells):
    s, c = cells.shape
    mean = cells.mean()
    slides = s * sum((cells[:, j].mean() - mean) ** 2 for j in range(c)) / (c - 1)
    seeds = c * sum((cells[i].mean() - mean) ** 2 for i in range(s)) / (s - 1)
    rest = sum(
        (cells[i, j] - cells[i].mean() - cells[:, j].mean() + mean) ** 2 for i in range(s) for j in range(c)
    )
    return slides, seeds, rest / ((s - 1) * (c - 1))


def slow_part(cells):
    """The rule written out, and which part it leaves out."""
    (s, c), parts = cells.shape, slow_mean_squares(cells)
    free = {"slides": c - 1, "seeds": s - 1, "rest": (s - 1) * (c - 1)}
    slides, seeds, rest = parts
    small, large = ("seeds", "slides") if slides >= seeds else ("slides", "seeds")
    if min(slides, seeds) <= rest * distributions.f.ppf(0.75, free[small], free["rest"]):
        return max(slides, seeds) / (s * c), free[large], small
    both = slides + seeds - rest
    satterthwaite = both**2 / sum(part**2 / own for part, own in zip(parts, free.values(), strict=True))
    floor = min(s, c) - 1
    kept = "neither" if satterthwaite >= floor else "neither, at the floor"
    return both / (s * c), max(satterthwaite, floor), kept


def test_a_part_is_left_out_up_to_the_upper_quartile_of_f():
    rng, seen = np.random.default_rng(15), Counter()
    for shape in [(3, 12), (12, 3), (6, 6)] * 100:
        values = table(*shape, *rng.uniform(0, 0.02, 2), 0.02, rng)
        variance, degrees, left_out = slow_part(values - values.mean())
        found = sampling_part(values, np.arange(shape[1]))
        assert (found.variance, found.degrees) == pytest.approx((variance, degrees))
        seen[left_out] += 1
    assert seen.keys() == {"slides", "seeds", "neither", "neither, at the floor"}


def test_mean_squares_are_those_of_the_two_way_table():
    cells = table(5, 10, 0.05, 0.06, 0.01, np.random.default_rng(0))
    assert mean_squares(cells) == pytest.approx(slow_mean_squares(cells))


def test_one_seed_or_one_cluster_is_the_classical_error():
    values = np.random.default_rng(2).normal(size=10)
    for one in (values[None], values[:, None]):
        found = sampling_part(one, np.arange(one.shape[1]))
        assert (found.variance, found.degrees) == pytest.approx((values.var(ddof=1) / 10, 9))
    assert sampling_part(np.ones((1, 1)), np.zeros(1)) is None
    assert sampling_part(np.array([[0.1, 0.3]]), np.zeros(2)) is None  # two slides of one donor


def test_the_unbiased_variance_leaves_nothing_out():
    rng = np.random.default_rng(16)
    values = table(4, 6, 0.001, 0.0, 0.02, rng)
    slides, seeds, rest = slow_mean_squares(values)
    assert sampling_variance(values, OWN[:6]) == pytest.approx((slides + seeds - rest) / 24)
    found = [sampling_variance(table(3, 4, 0.0, 0.0, 0.02, rng), OWN[:4]) for _ in range(4000)]
    assert min(found) < 0 and np.mean(found) == pytest.approx(0.02**2 / 12, rel=0.1)
    line = rng.normal(size=(1, 6))
    assert sampling_variance(line, OWN[:6]) == pytest.approx(line.var(ddof=1) / 6)
    assert sampling_variance(np.ones((1, 1)), np.zeros(1)) is None


def test_components_are_variances_of_single_effects():
    rng = np.random.default_rng(3)
    # Large tables know them well.
    found = [components(table(30, 40, 0.05, 0.03, 0.02, rng), np.arange(40)) for _ in range(20)]
    for name, sd in (("slide", 0.05), ("seed", 0.03), ("rest", 0.02)):
        assert np.mean([getattr(one, name) for one in found]) == pytest.approx(sd**2, rel=0.1)
    none = components(np.full((3, 4), 0.5), np.arange(4))
    assert (none.slide, none.seed, none.rest) == (0, 0, 0)
    only_noise = [components(rng.normal(size=(3, 4)), np.arange(4)) for _ in range(20)]
    assert min(min(one.slide, one.seed) for one in only_noise) == 0  # never below


@pytest.mark.parametrize("axis", ["slide", "seed"])
def test_in_a_line_all_variance_is_of_its_own_axis(axis):
    values = np.array([[0.1, 0.2, 0.4]])
    values = values if axis == "slide" else values.T
    found = components(values, np.arange(values.shape[1]))
    assert getattr(found, axis) == pytest.approx(np.var([0.1, 0.2, 0.4], ddof=1))
    assert found.rest == getattr(found, "seed" if axis == "slide" else "slide") == 0


def test_clusters_of_equal_size_are_their_means():
    values = np.random.default_rng(4).normal(size=(3, 6))
    clusters = np.array([0, 0, 1, 1, 2, 2])
    means = np.stack([values[:, clusters == c].mean(1) for c in range(3)], 1)
    assert cell_residuals(values, clusters) == pytest.approx(means - values.mean())


def test_clusters_of_unequal_size_keep_the_mean_over_slides():
    values = np.random.default_rng(5).normal(size=(3, 6))
    cells = cell_residuals(values, np.array([7, 7, 7, 7, 2, 5]))
    assert cells.shape == (3, 3) and cells.mean() == pytest.approx(0)


def test_slides_of_one_donor_count_once():
    values = np.repeat(table(5, 5, 0.1, 0.0, 0.01, np.random.default_rng(8)), 2, axis=1)
    own, donors = sampling_part(values, OWN), sampling_part(values, OWN // 2)
    assert donors.variance > 1.5 * own.variance and donors.degrees < own.degrees


@pytest.mark.parametrize(
    ("values", "clusters", "rule"),
    [
        (np.ones(3), np.arange(3), r"values must be \[S, L\].*got \[3\] and \[3\]"),
        (np.ones((2, 3)), np.arange(2), r"clusters \[L\], got \[2, 3\] and \[2\]"),
        (np.ones((0, 3)), np.arange(3), r"with a cell at least"),
        (np.array([[1.0, np.nan]]), np.arange(2), r"values must be finite, got 1 that are not"),
        (np.array([[np.inf, -np.inf]]), np.arange(2), r"values must be finite, got 2 that are not"),
    ],
)
def test_tables_that_are_none(values, clusters, rule):
    for function in (sampling_part, components):
        with pytest.raises(ValueError, match=rule):
            function(values, clusters)


# -- parts together, intervals, p


def test_parts_add_up_with_satterthwaites_degrees():
    found = total([Part(3.0, 4.0), Part(1.0, 2.0)])
    assert (found.variance, found.degrees) == pytest.approx((4.0, 16 / (9 / 4 + 1 / 2)))
    same = total([Part(3.0, 4.0), Part(0.0, math.inf)])
    assert (same.variance, same.degrees) == pytest.approx((3.0, 4.0))
    assert total([]).variance == 0


@pytest.mark.parametrize("degrees", [1, 2.5, 9, math.inf])
def test_interval_and_p_agree(degrees):
    part = Part(0.01**2, degrees)
    half = 0.01 * distributions.t.ppf(0.975, degrees)
    found = estimate(0.3, part)
    assert (found.low, found.high) == pytest.approx((0.3 - half, 0.3 + half))
    assert p_value(half * 1.001, part) < 0.05 < p_value(half * 0.999, part)
    assert p_value(-half, part) == pytest.approx(0.05)
    assert estimate(0.3, part, level=0.99).low < found.low
    power = half + 0.01 * distributions.t.ppf(0.8, degrees)
    assert detectable(part) == pytest.approx(power)


def test_where_there_is_nothing_to_take_an_interval_from():
    assert (estimate(0.4, None).low, p_value(0.4, None), detectable(None)) == (None, None, None)


def test_a_mean_without_variance_is_sure():
    none = Part(0.0, math.inf)
    assert (estimate(0.4, none).low, estimate(0.4, none).high) == (0.4, 0.4)
    assert (p_value(0.0, none), p_value(0.4, none)) == (1.0, 0.0)


def test_holm():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.01, None, 0.03]) == [pytest.approx(0.02), None, pytest.approx(0.03)]
    assert holm([0.9, 0.8]) == [1.0, 1.0] and holm([]) == [] and holm([None]) == [None]


# -- in simulation


@pytest.mark.parametrize("sds", [(0.008, 0.003, 0.015), (0.02, 0.002, 0.01), (0.002, 0.02, 0.01)])
def test_intervals_cover(sds):
    rng, sweeps, covered = np.random.default_rng(14), 400, 0
    for _ in range(sweeps):
        values = table(5, 10, *sds, rng)
        found = estimate(values.mean(), sampling_part(values, OWN))
        covered += found.low <= 0 <= found.high
    assert 0.91 < covered / sweeps < 0.99
