"""The price of another look at the test slides."""

import pytest

from sweeps.analysis.looks import LEVEL, corrected_for_looks, looks_factor, looks_level


def test_the_first_look_keeps_the_whole_level_and_each_later_one_gets_less():
    factors = [looks_factor(look) for look in range(1, 8)]
    assert factors == [1, 10, 20, 40, 80, 160, 320]


def test_all_looks_together_are_wrong_in_6_per_cent_at_most():
    shares = [LEVEL / looks_factor(look) for look in range(1, 200)]
    assert shares[0] == 0.05
    assert sum(shares) == pytest.approx(0.06)


def test_the_level_of_intervals_follows():
    assert [looks_level(look) for look in (1, 2, 3)] == pytest.approx([0.95, 0.995, 0.9975])


def test_p_values_are_multiplied_and_never_above_1():
    given = [0.004, None, 0.3, 1.0]
    assert corrected_for_looks(given, 1) == given
    assert corrected_for_looks(given, 2) == [pytest.approx(0.04), None, 1.0, 1.0]


@pytest.mark.parametrize("look", [0, -1])
def test_looks_are_counted_from_1(look):
    with pytest.raises(ValueError, match=f"look must be 1 or more, got {look}"):
        looks_factor(look)
