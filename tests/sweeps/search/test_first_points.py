"""A family's first points: all published ones, then spread ones that nothing else of the sweep changes."""

from sweeps.search.first_points import STARTUP_TRIALS, startup_points
from tests.sweeps.searches import FAMILIES, TEMPERATURE

PARAMETERS = FAMILIES["spatial"].parameters
FIRST = [{"model.temperature": 0.02 + 0.01 * number} for number in range(12)]


def points(trials, first=(), parameters=None, seed=0, family="a"):
    return startup_points(parameters or {"model.temperature": TEMPERATURE}, first, trials, seed, family)


def test_more_published_settings_than_startup_points_are_all_tried():
    assert points(40, FIRST) == FIRST
    assert points(11, FIRST) == FIRST[:11]
    assert len(FIRST) > STARTUP_TRIALS


def test_spread_points_fill_up_to_ten():
    assert points(40, FIRST[:10]) == FIRST[:10]
    spread = points(40)
    assert len(spread) == 10
    assert points(40, FIRST[:3]) == [*FIRST[:3], *spread[:7]]
    assert [points(trials) for trials in range(1, 11)] == [spread[:trials] for trials in range(1, 11)]


def test_the_order_in_which_parameters_are_written_does_not_matter():
    assert points(40, parameters=dict(reversed(PARAMETERS.items()))) == points(40, parameters=PARAMETERS)


def test_a_published_setting_that_is_changed_afterwards_changes_no_point():
    first = [{"model.temperature": 0.07}]
    found = points(5, first)
    first[0]["model.temperature"] = 0.5
    assert found[0] == {"model.temperature": 0.07}


def test_a_family_without_parameters_has_as_many_points():
    assert startup_points({}, [], 40, 0, "a") == [{}] * 10
    assert startup_points({}, [{}], 3, 0, "a") == [{}] * 3
