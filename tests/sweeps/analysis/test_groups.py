"""Test recall by technology and organ."""

from __future__ import annotations

import pytest

from sweeps.analysis.groups import group_means
from tests.sweeps.made_up import slide_rows

ROWS = [
    *slide_rows("spatial", [[0.2, 0.4, 0.6], [0.4, 0.6, 0.8]]),
    *slide_rows("cca", [[0.1, 0.2, 0.3]], "baseline"),
]


def sweep(**test):
    return {"data": {key: {"train": {"T": "other"}, "test": named} for key, named in test.items()}}


def test_means_are_over_the_seeds_and_slides_of_a_group():
    found = group_means(sweep(technology={"E0": "Visium", "E1": "Xenium", "E2": "Visium"}), ROWS)
    assert found.keys() == {"technology"}
    visium, xenium = found["technology"]
    assert (visium["group"], visium["slides"], visium["spots"]) == ("Visium", 2, 200)
    assert visium["families"]["spatial"]["R@10"] == pytest.approx((0.2 + 0.6 + 0.4 + 0.8) / 4)
    assert visium["families"]["spatial"]["chance_R@10"] == pytest.approx(0.1)
    assert visium["baselines"]["cca"]["R@1"] == pytest.approx((0.1 + 0.3) / 2 / 4)
    assert (xenium["group"], xenium["slides"]) == ("Xenium", 1)
    assert xenium["families"]["spatial"]["R@10"] == pytest.approx(0.5)


def test_slides_of_which_it_is_not_said_come_last_as_a_group_of_their_own():
    (_, other) = group_means(sweep(organ={"E1": "skin", "E2": "skin"}), ROWS)["organ"]
    assert (other["group"], other["slides"]) == ("not known", 1)


ONE_ORGAN = sweep(organ=dict.fromkeys(("E0", "E1", "E2"), "skin"))


@pytest.mark.parametrize("given", [{}, {"data": {}}, {"data": {"technology": {}}}, ONE_ORGAN])
def test_what_does_not_tell_slides_apart_is_left_out(given):
    assert group_means(given, ROWS) == {}
    assert group_means(sweep(organ={"E0": "skin"}), []) == {}
