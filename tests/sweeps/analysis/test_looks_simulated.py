"""The simulated looks in their quick form; the full run is benchmarks/looks.py."""

import pytest

from benchmarks.looks import main, simulate

PERSONS = 150


@pytest.mark.parametrize(("kind", "plain"), [("seeds", 0.07), ("trials", 0.2)])
def test_looking_again_finds_false_differences_and_the_correction_takes_them_back(kind, plain):
    found = simulate(PERSONS, kind, looks=10, seed=0)
    assert found["plain"][-1] >= plain
    assert found["corrected"][-1] <= 0.09
    assert found["corrected"][0] == found["plain"][0]  # the first look is not punished


def test_the_table_is_printed(capsys):
    assert main(["--persons", "4", "--looks", "2"]) == 0
    out = capsys.readouterr().out
    assert "4 persons, equal families, up to 2 looks" in out
    assert out.count("by the last, p corrected for looks: ") == 2
