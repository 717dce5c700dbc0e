"""Intervals and comparisons: against slow reference code, on tables whose answer is known, and in simulation."""

import math
from collections import Counter

import numpy as np
import pytest
from scipy import stats as distributions

from sweeps.stats import (
    _standard_errors,
    cell_residuals,
    compare,
    holm,
    interval,
    standard_error,
)

OWN = np.arange(10)  # each slide its own cluster


def table(seeds, slides, slide_sd, seed_sd, rest_sd, rng, mean=0.0):
    return (
        mean
        + slide_sd * rng.normal(size=(1, slides))
        + seed_sd * rng.normal(size=(seeds, 1))
        + rest_sd * rng.normal(size=(seeds, slides))
    )


# -- the standard error


def slow_mean_squares(cells):
    s, c = cells.shape
    mean = cells.mean()
    slides = s * sum((cells[:, j].mean() - mean) ** 2 for j in range(c)) / (c - 1)
    seeds = c * sum((cells[i].mean() - mean) ** 2 for i in range(s)) / (s - 1)
    rest = sum(
        (cells[i, j] - cells[i].mean() - cells[:, j].mean() + mean) ** 2 for i in range(s) for j in range(c)
    )
    return slides, seeds, rest / ((s - 1) * (c - 1))


def test_the_error_is_that_of_the_two_way_table():
    cells = table(5, 10, 0.05, 0.06, 0.01, np.random.default_rng(0))
    slides, seeds, rest = slow_mean_squares(cells)
    error, degrees = standard_error(cells)
    both = slides + seeds - rest
    assert error == pytest.approx(math.sqrt(both / 50))
    expected = both**2 / (slides**2 / 9 + seeds**2 / 4 + rest**2 / 36)
    assert degrees == pytest.approx(max(4, expected))


def slow_standard_error(cells):
    """The rule written out, and which part it leaves out."""
    (s, c), parts = cells.shape, slow_mean_squares(cells)
    free = {"slides": c - 1, "seeds": s - 1, "rest": (s - 1) * (c - 1)}
    slides, seeds, rest = parts
    small, large = ("seeds", "slides") if slides >= seeds else ("slides", "seeds")
    if min(slides, seeds) <= rest * distributions.f.ppf(0.75, free[small], free["rest"]):
        return math.sqrt(max(slides, seeds) / (s * c)), free[large], small
    both = slides + seeds - rest
    satterthwaite = both**2 / sum(part**2 / own for part, own in zip(parts, free.values(), strict=True))
    floor = min(s, c) - 1
    kept = "neither" if satterthwaite >= floor else "neither, at the floor"
    return math.sqrt(both / (s * c)), max(satterthwaite, floor), kept


def test_a_part_is_left_out_up_to_the_upper_quartile_of_f():
    rng, seen = np.random.default_rng(15), Counter()
    for shape in [(3, 12), (12, 3), (6, 6)] * 100:
        cells = table(*shape, *rng.uniform(0, 0.02, 2), 0.02, rng)
        error, degrees, left_out = slow_standard_error(cells)
        assert standard_error(cells) == pytest.approx((error, degrees))
        seen[left_out] += 1
    assert seen.keys() == {"slides", "seeds", "neither", "neither, at the floor"}


def test_a_part_that_is_noise_leaves_the_other_alone():
    cells = table(5, 10, 0.2, 0.0, 0.01, np.random.default_rng(1))
    cells -= cells.mean(1, keepdims=True)  # no seed effect at all
    slides, _, _ = slow_mean_squares(cells)
    assert standard_error(cells) == pytest.approx((math.sqrt(slides / 50), 9))


def test_one_seed_or_one_cluster_is_the_classical_t():
    values = np.random.default_rng(2).normal(size=10)
    for cells in (values[None], values[:, None]):
        assert standard_error(cells) == pytest.approx((values.std(ddof=1) / math.sqrt(10), 9))
    assert standard_error(np.ones((1, 1))) is None


def test_many_tables_at_once_are_each_as_by_itself():
    tables = np.random.default_rng(3).normal(size=(20, 4, 6))
    errors, degrees = _standard_errors(tables)
    for one, error, free in zip(tables, errors, degrees, strict=True):
        assert standard_error(one) == pytest.approx((error, free))


def test_clusters_of_equal_size_are_their_means():
    values = np.random.default_rng(4).normal(size=(3, 6))
    clusters = np.array([0, 0, 1, 1, 2, 2])
    means = np.stack([values[:, clusters == c].mean(1) for c in range(3)], 1)
    assert cell_residuals(values, clusters) == pytest.approx(means - values.mean())


def test_clusters_of_unequal_size_keep_the_mean_over_slides():
    values = np.random.default_rng(5).normal(size=(3, 6))
    cells = cell_residuals(values, np.array([7, 7, 7, 7, 2, 5]))
    assert cells.shape == (3, 3) and cells.mean() == pytest.approx(0)
    assert interval(values, np.array([7, 7, 7, 7, 2, 5]), 0).value == pytest.approx(values.mean())


# -- the interval


def test_the_interval_has_the_width_of_the_t_interval_and_holds_the_mean():
    values = table(5, 10, 0.1, 0.02, 0.02, np.random.default_rng(6), mean=0.6)
    found = interval(values, OWN, 0)
    error, degrees = standard_error(values)
    assert found.high - found.low == pytest.approx(2 * error * distributions.t.ppf(0.975, degrees))
    assert found.value == pytest.approx(values.mean())
    assert found.low < found.value < found.high
    assert interval(values, OWN, 0) == found


@pytest.mark.parametrize("of", ["slides", "seeds"])
def test_it_leans_to_the_side_of_the_long_tail(of):
    values = np.full((3, 10), 0.2)
    values[:, 0] = 0.9
    values += np.random.default_rng(7).normal(size=values.shape) * 1e-3
    values = values if of == "slides" else values.T
    found = interval(values, np.arange(values.shape[1]), 0)
    assert found.high - found.value > 1.2 * (found.value - found.low)


def test_slides_of_one_donor_count_once():
    values = np.repeat(table(5, 5, 0.1, 0.0, 0.01, np.random.default_rng(8)), 2, axis=1)
    own, donors = interval(values, OWN, 0), interval(values, np.repeat(np.arange(5), 2), 0)
    assert donors.high - donors.low > 1.1 * (own.high - own.low)
    assert donors.value == pytest.approx(own.value)


def test_where_there_is_nothing_to_take_an_interval_from():
    assert (
        interval(np.array([[0.4]]), np.zeros(1), 0).low,
        interval(np.full((1, 3), 0.4), np.zeros(3), 0).low,
    ) == (
        None,
        None,
    )
    same = interval(np.full((3, 4), 0.4), np.arange(4), 0)
    assert (same.low, same.value, same.high) == pytest.approx((0.4, 0.4, 0.4))


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
    with pytest.raises(ValueError, match=rule):
        interval(values, clusters, 0)


# -- comparisons


def test_a_comparison_is_paired():
    rng = np.random.default_rng(9)
    shared = table(5, 10, 0.2, 0.05, 0.0, rng)
    a, b = shared + 0.02 + 0.002 * rng.normal(size=(5, 10)), shared + 0.002 * rng.normal(size=(5, 10))
    found = compare(a, b, OWN, 0)
    assert found.difference.value == pytest.approx((a - b).mean())
    assert found.difference.low > 0.01 and found.p < 0.001
    assert (found.seeds, found.slides, found.clusters) == (5, 10, 10)
    back = compare(b, a, OWN, 0)
    assert back.difference.value == pytest.approx(-found.difference.value)
    assert back.p < 0.001


def test_one_row_stands_against_every_seed():
    rng = np.random.default_rng(10)
    a, b = rng.normal(size=(5, 10)), rng.normal(size=(1, 10))
    assert compare(a, b, OWN, 0) == compare(a, np.repeat(b, 5, 0), OWN, 0)
    with pytest.raises(ValueError, match=r"same seeds or one row, got \[5, 10\] and \[2, 10\]"):
        compare(a, rng.normal(size=(2, 10)), OWN, 0)
    with pytest.raises(ValueError, match=r"on the same slides"):
        compare(a, b[:, :9], OWN, 0)


def test_slides_of_one_donor_are_counted_as_one_cluster():
    found = compare(np.random.default_rng(16).normal(size=(3, 6)), np.zeros((1, 6)), OWN[:6] // 2, 0)
    assert (found.seeds, found.slides, found.clusters) == (3, 6, 3)


def test_equal_models_are_not_different():
    a = np.random.default_rng(11).normal(size=(5, 10))
    same = compare(a, a, OWN, 0)
    assert (same.difference.value, same.p, same.detectable) == (0, 1, pytest.approx(0))
    shifted = compare(a + 0.5, a, OWN, 0)  # by the same amount everywhere
    assert shifted.p < 0.001 and shifted.difference.low == pytest.approx(0.5)


def test_a_single_cell_claims_nothing():
    found = compare(np.array([[0.5]]), np.array([[0.4]]), np.zeros(1), 0)
    assert (found.p, found.detectable, found.difference.low) == (None, None, None)


def test_what_the_design_could_have_shown():
    cells = table(5, 10, 0.01, 0.005, 0.01, np.random.default_rng(13))
    error, degrees = standard_error(cells)
    t = distributions.t
    assert compare(cells, np.zeros_like(cells), OWN, 0).detectable == pytest.approx(
        error * (t.ppf(0.975, degrees) + t.ppf(0.8, degrees))
    )


def test_holm():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.01, None, 0.03]) == [pytest.approx(0.02), None, pytest.approx(0.03)]
    assert holm([0.9, 0.8]) == [1.0, 1.0] and holm([]) == [] and holm([None]) == [None]


# -- in simulation; the full grid is benchmarks/calibration.py


@pytest.mark.parametrize("sds", [(0.008, 0.003, 0.015), (0.02, 0.002, 0.01), (0.002, 0.02, 0.01)])
def test_intervals_cover_and_equal_families_are_not_told_apart(sds):
    rng, sweeps = np.random.default_rng(14), 250
    covered = different = 0
    for number in range(sweeps):
        found = compare(table(5, 10, *sds, rng), np.zeros((5, 10)), OWN, number)
        covered += found.difference.low <= 0 <= found.difference.high
        different += found.p < 0.05
    assert covered / sweeps > 0.91
    assert different / sweeps < 0.09


@pytest.mark.parametrize("level", [0.9, 0.995, 0.99875])
def test_another_level_is_a_width_by_its_t_quantile(level):
    """The shape, how far the mean is from either end, stays."""
    values = 0.5 + 0.02 * np.random.default_rng(3).normal(size=(5, 10))
    usual, other = interval(values, np.arange(10), 0), interval(values, np.arange(10), 0, level)
    _, degrees = standard_error(cell_residuals(values, np.arange(10)))
    wider = distributions.t.ppf((1 + level) / 2, degrees) / distributions.t.ppf(0.975, degrees)
    for end in ("low", "high"):
        assert getattr(other, end) - other.value == pytest.approx(wider * (getattr(usual, end) - usual.value))
    more, detectable = (
        compare(values, values[:1] - 0.1, np.arange(10), 0, level),
        compare(values, values[:1] - 0.1, np.arange(10), 0),
    )
    assert (more.detectable > detectable.detectable) == (level > 0.95)
    assert more.p == detectable.p
