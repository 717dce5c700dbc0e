"""The calibration in its quick form: the bounds are wide, the full run is benchmarks/calibration.py."""

import pytest

from benchmarks.calibration import Design, Truth, difference_error, main, simulate, theory

SWEEPS = 200


def test_equal_families_are_not_told_apart_and_intervals_cover():
    found = simulate(SWEEPS, Truth(), Design(), 0.0, seed=0)
    assert found["different"] <= 0.09
    assert 0.89 <= found["covers"] <= 0.99
    assert 0.87 <= found["covers_mean"] <= 0.99
    assert found["naive"] > 0.5  # what the confirmation is for


def test_a_planted_difference_is_found_with_the_power_of_theory():
    truth, design = Truth(), Design()
    found = simulate(SWEEPS, truth, design, 2 * difference_error(truth, design), seed=1)
    assert found["different"] == pytest.approx(theory(found["degrees"]), abs=0.12)
    assert simulate(50, truth, design, 6 * difference_error(truth, design), seed=2)["different"] > 0.95


def test_the_table_is_printed(capsys):
    assert main(["--sweeps", "5", "--slides", "4"]) == 0
    out = capsys.readouterr().out
    assert "5 sweeps, 24 trials a family, 5 seeds x 4 slides" in out
    assert "equal families called different:" in out and "naive: " in out
