"""The sign-flip test: exact where it can be, and flips that have the variances of the two-way table."""

import itertools

import numpy as np
import pytest
from scipy import stats as distributions

from sweeps.stats import DRAWS, _flipped_table, sign_flip_p, standard_error


def all_flips_p(values):
    """The share of all flips whose mean is as far from 0, in their own standard error."""
    flips = np.array(list(itertools.product([1, -1], repeat=len(values)))) * values
    far = np.abs(flips.mean(1)) / flips.std(1, ddof=1)
    return (far >= far[0] * (1 - 1e-9)).mean()  # the first is the values themselves


def t_p(cells, mean):
    error, degrees = standard_error(cells)
    return 2 * distributions.t.sf(abs(mean) / error, degrees)


@pytest.mark.parametrize("count", [6, 12])
@pytest.mark.parametrize("line", ["one seed", "one slide"])
def test_up_to_twelve_values_in_a_line_are_flipped_in_every_way(count, line):
    values = 1 + 0.05 * np.arange(count)
    values[-1] = -0.1  # so that some flips are as far from 0
    cells = values[None] if line == "one seed" else values[:, None]
    exact = all_flips_p(values)
    assert exact > t_p(cells - values.mean(), values.mean())
    assert sign_flip_p(cells - values.mean(), values.mean(), 0) == pytest.approx(exact, rel=1e-9)


def test_more_values_in_a_line_are_flipped_at_random():
    values = np.r_[np.ones(12), -5]
    exact = all_flips_p(values)
    found = sign_flip_p(values[None] - values.mean(), values.mean(), 0)
    assert found == pytest.approx(exact, rel=0.05)


def test_p_is_never_below_that_of_t():
    rng, at_the_floor = np.random.default_rng(1), 0
    for number in range(40):
        cells = rng.normal(size=(5, 1)) + rng.normal(size=(1, 3)) + rng.normal(size=(5, 3))
        mean = rng.normal(0, 2)
        cells -= cells.mean()
        found, least = sign_flip_p(cells, mean, number), t_p(cells, mean)
        assert found >= least * (1 - 1e-9)
        at_the_floor += found == pytest.approx(least)
    assert 0 < at_the_floor < 40  # for the others the flips decide


@pytest.mark.parametrize("sds", [(2.0, 1.0, 0.5), (1.0, 2.0, 0.5), (0.7, 0.7, 2.0)])
def test_flips_have_the_variances_that_are_estimated_for_the_parts(sds):
    """Products of two cells of a flip, on average: a slide in common, a seed in common, neither, the same cell."""
    s, c, rng = 6, 9, np.random.default_rng(2)
    parts = [rng.normal(size=shape) for shape in ((1, c), (s, 1), (s, c))]
    cells = sum(sd * part for sd, part in zip(sds, parts, strict=True))
    cells -= cells.mean()
    slides, seeds = cells.mean(0, keepdims=True), cells.mean(1, keepdims=True)
    ms_slides, ms_seeds = s * (slides**2).sum() / (c - 1), c * (seeds**2).sum() / (s - 1)
    ms_rest = ((cells - slides - seeds) ** 2).sum() / ((s - 1) * (c - 1))
    of_slides, of_seeds = max(0, ms_slides - ms_rest) / s, max(0, ms_seeds - ms_rest) / c

    flips = _flipped_table(cells, np.random.default_rng(3))
    assert flips.shape == (DRAWS, s, c)
    total = of_slides + of_seeds + ms_rest
    assert np.abs(flips.mean(0)).max() < 0.1 * np.sqrt(total)
    assert (flips**2).mean() == pytest.approx(total, rel=0.03)
    same_slide = (flips.sum(1) ** 2 - (flips**2).sum(1)).mean() / (s * (s - 1))
    same_seed = (flips.sum(2) ** 2 - (flips**2).sum(2)).mean() / (c * (c - 1))
    assert same_slide == pytest.approx(of_slides, abs=0.02 * total)
    assert same_seed == pytest.approx(of_seeds, abs=0.02 * total)
