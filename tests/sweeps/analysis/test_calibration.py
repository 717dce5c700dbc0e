"""The calibration in its quick form: the bounds are wide, the full run is benchmarks/calibration.py."""

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.calibration import (
    Cell,
    Design,
    Truth,
    confirmed,
    expected_of,
    known_power,
    largest_allowed,
    main,
    run_cell,
)
from benchmarks.simulated_search import bowl, hills, random_search, tpe_search

TRUTH, DESIGN = Truth(), Design()


def rates(spread, sweeps=120):
    """Without donors and with them, on ten slides."""
    return run_cell(Cell("hills", "random", spread), DESIGN, TRUTH, sweeps, seed=0, sizes=(10,))


def test_equal_families_are_not_told_apart_though_their_winners_differ():
    found, _ = rates(0.015)
    assert found.false <= 0.09
    assert found.winners > 0.3  # what the search's part is for
    assert found.half > 2 * found.error > 0


def test_without_a_spread_the_winners_alone_are_right_too_and_a_difference_is_found():
    found, of_donors = rates(0.0)
    assert found.false <= 0.09 and found.winners <= 0.11
    assert found.found > 0.5 and known_power(3) == pytest.approx(0.851, abs=1e-3)
    assert of_donors.donors and of_donors.half > found.half  # donors are fewer than slides


def test_families_of_unequal_spread_differ_and_the_intervals_hold_what_is_true():
    cell = Cell("hills", "random", 0.03, 0.004)
    for found in run_cell(cell, DESIGN, TRUTH, 120, seed=0, sizes=(1, 10)):
        assert found.false <= 0.09 and found.own <= 0.1
        assert 0 < found.error < found.half
    assert cell.spreads == (0.03, 0.004) and Cell("hills", "random", 0.03).spreads == (0.03, 0.03)


def test_a_simulated_table_has_the_spreads_it_is_made_of():
    rng = np.random.default_rng(0)
    clusters = np.arange(10) // 2
    quality = np.array([[0.05, 0.0], [0.0, 0.0]])
    values, own = zip(*(confirmed(quality, DESIGN, TRUTH, clusters, rng) for _ in range(400)), strict=True)
    tables = np.stack(values)  # [sweep, family, configuration, seed, slide]
    assert tables[:, 0, 0].mean() - tables[:, 0, 1].mean() == pytest.approx(0.05, abs=0.001)
    first = tables[:, 0, 0] - tables[:, 1, 0]  # what is shared by seeds and slides falls out
    expected = 2 * (TRUTH.family_slide**2 + TRUTH.configuration_slide**2 + TRUTH.seed**2 + TRUTH.rest**2)
    assert first.var() == pytest.approx(expected, rel=0.05)
    assert np.stack(own).mean() == pytest.approx(TRUTH.level, abs=0.01)
    # What the slide gives to both falls out.
    effects = (np.stack(own)[:, 0] - np.stack(own)[:, 1]) / np.sqrt(2)
    assert effects.std() == pytest.approx(TRUTH.family_slide, rel=0.05)
    assert np.corrcoef(effects[:, 0], effects[:, 1])[0, 1] == pytest.approx(0.5, abs=0.12)  # of one donor
    assert abs(np.corrcoef(effects[:, 1], effects[:, 2])[0, 1]) < 0.15


@pytest.mark.parametrize("landscape", [hills, bowl])
def test_landscapes_have_a_standard_deviation_of_1(landscape):
    rng = np.random.default_rng(1)
    for _ in range(5):
        values = landscape(rng)(rng.uniform(0, 1, (4000, 3)))
        assert values.std() == pytest.approx(1, rel=0.25)


def test_a_bowl_is_bounded_and_tpe_gets_nearer_to_its_best_than_random_points():
    rng = np.random.default_rng(2)
    best = {search: [] for search in (random_search, tpe_search)}
    for _ in range(12):
        landscape = bowl(rng)
        for search, found in best.items():
            quality, values = search(landscape, 0.03, 0.0, 24, rng)
            assert (quality <= 0).all() and values == pytest.approx(quality)
            found.append(quality.max())
    assert np.mean(best[tpe_search]) > np.mean(best[random_search])


def test_the_table_is_printed_and_too_many_false_winners_are_a_failure(capsys):
    assert main(["--sweeps", "3", "--search", "random", "--processes", "1"]) == 0
    out = capsys.readouterr().out
    assert "3 sweeps a cell, 24 trials a search, 5 configurations x 3 seeds" in out
    assert "hills     random 0.015        10 of 5 donors" in out and "bowl      random 0.030/0.004" in out
    assert "most false winners:" in out
    assert (
        main(["--sweeps", "3", "--search", "random", "--searches", "2", "--unequal", "--processes", "1"]) == 0
    )
    out = capsys.readouterr().out
    assert "24 trials a search, 2 searches x 3 seeds" in out and "hills     random 0.015/0.000  40" in out
    assert "random 0.030  " not in out
    assert largest_allowed(1000) == pytest.approx(0.064) and largest_allowed(3) >= 1 / 3


def test_what_is_true_of_a_family_is_its_mean_on_the_landscape_that_its_sweeps_share():
    best = [np.array([[0.1 * n, 0.0], [0.2, 0.1]]) for n in range(60)]  # winner first
    unequal = expected_of(Cell("hills", "random", 0.03, 0.004), best, DESIGN)
    assert unequal.shape == (60, 2)
    assert unequal[0, 0] == pytest.approx(0.1 * np.mean(range(30))) == unequal[29, 0]
    assert unequal[30, 0] == pytest.approx(0.1 * np.mean(range(30, 60))) and unequal[:, 1] == pytest.approx(
        0.2
    )
    equal = expected_of(Cell("hills", "random", 0.03), best, DESIGN)
    assert equal[0] == pytest.approx([(0.1 * np.mean(range(30)) + 0.2) / 2] * 2)  # both families are one
    several = expected_of(Cell("hills", "random", 0.03, 0.004), best, replace(DESIGN, searches=2))
    assert several[0] == pytest.approx([0.05 * np.mean(range(30)), 0.15])  # all winners count
