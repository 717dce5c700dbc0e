"""Which families are compared, on what, and with which correction."""

from dataclasses import replace

import numpy as np
import pytest

from sweeps.analysis.comparison import compare_all, intervals_of
from sweeps.analysis.family_stats import FamilyTable, compare_families, family_estimate
from sweeps.analysis.outcome import outcome_of
from sweeps.analysis.stats import holm
from sweeps.results.slide_rows import SlideRow
from tests.sweeps.made_up import slide_rows


def noisy(mean, seed, seeds=4, slides=6):
    return (mean + 0.02 * np.random.default_rng(seed).normal(size=(seeds, slides))).tolist()


def compared(rows, families, baselines=(), source="given", margin=0.01, looks=1):
    return compare_all(rows, dict.fromkeys(families, source), list(baselines), margin, looks)


def of_one(values):
    """A family of a single configuration, from [S][L]."""
    return FamilyTable(np.array(values)[None], np.ones(1), "given")


ROWS: list[SlideRow] = [
    *slide_rows("a", noisy(0.5, 0)),
    *slide_rows("b", noisy(0.4, 1)),
    *slide_rows("c", noisy(0.5, 2)),
    *slide_rows("cca", noisy(0.45, 3, seeds=1), "baseline"),
]


def test_every_pair_of_families_then_every_family_with_every_baseline():
    found = compared(ROWS, ["a", "b", "c"], ["cca", "absent"])
    pairs = [(one["a"], one["b"], one["kind"]) for one in found]
    families = [("a", "b", "families"), ("a", "c", "families"), ("b", "c", "families")]
    assert pairs == [*families, *((f, "cca", "baseline") for f in "abc")]
    assert {(one["seeds"], one["slides"], one["clusters"]) for one in found} == {(4, 6, 6)}
    assert found[0]["metrics"]["R@10"]["difference"] == pytest.approx(0.1, abs=0.02)
    assert found[0]["metrics"]["R@10"]["p"] < 0.05 < found[1]["metrics"]["R@10"]["p"]


def test_each_recall_has_the_numbers_of_its_own_comparison():
    """R@1 and R@5 are a quarter and a half of R@10 in these rows."""
    a, b, cca = (np.array(noisy(*of)) for of in ((0.5, 0), (0.4, 1), (0.45, 3, 1)))
    for found, other in zip(compared(ROWS, ["a", "b"], ["cca"]), (b, cca), strict=False):
        for metric, part in (("R@1", 0.25), ("R@5", 0.5), ("R@10", 1.0)):
            right = compare_families(of_one(part * a), of_one(part * other), np.arange(6))
            numbers = found["metrics"][metric]
            assert numbers["difference"] == pytest.approx(right.difference.value)
            assert (numbers["low"], numbers["high"]) == pytest.approx(
                (right.difference.low, right.difference.high)
            )
            assert (numbers["p"], numbers["detectable"]) == pytest.approx((right.p, right.detectable))
            effects = right.effects
            expected = {"search": 0, "slide": effects.slide, "seed": effects.seed, "rest": effects.rest}
            assert numbers["variance"] == pytest.approx(expected)
            assert numbers["outcome"] == outcome_of(numbers, True, 0.01)


def test_slides_of_one_donor_are_one_cluster():
    donors = ("p", "p", "q", "q", "r", "r")
    rows = [*slide_rows("a", noisy(0.5, 0), donors=donors), *slide_rows("b", noisy(0.4, 1), donors=donors)]
    (one,) = compared(rows, ["a", "b"], [])
    assert (one["slides"], one["clusters"]) == (6, 3)
    right = family_estimate(of_one(noisy(0.5, 0)), np.array([0, 0, 1, 1, 2, 2]))
    found = intervals_of(rows, "family", "a", "given")["R@10"]
    assert (found["low"], found["value"], found["high"]) == pytest.approx(
        (right.low, right.value, right.high)
    )


def test_holm_is_over_the_pairs_and_over_each_baseline_by_itself():
    rows = [*ROWS, *slide_rows("untrained", noisy(0.48, 4), "baseline")]
    found = compared(rows, ["a", "b", "c"], ["cca", "untrained"])
    assert len(found) == 9
    for group in (found[:3], found[3:6], found[6:]):
        for metric in ("R@1", "R@5", "R@10"):
            ps = [one["metrics"][metric]["p"] for one in group]
            assert [one["metrics"][metric]["p_holm"] for one in group] == holm(ps)


def test_a_later_look_multiplies_p_before_holm_and_widens_the_intervals_with_it():
    first = compared(ROWS, ["a", "b", "c"], ["cca"])
    second = compared(ROWS, ["a", "b", "c"], ["cca"], looks=2)
    for group in (slice(0, 3), slice(3, 6)):
        ps = [one["metrics"]["R@10"]["p"] for one in first[group]]
        assert [one["metrics"]["R@10"]["p"] for one in second[group]] == ps
        assert [one["metrics"]["R@10"]["p_holm"] for one in second[group]] == holm(
            [min(1.0, 10 * p) for p in ps]
        )
    a, b = np.array(noisy(0.5, 0)), np.array(noisy(0.4, 1))
    right = compare_families(of_one(a), of_one(b), np.arange(6), level=0.995)
    found = second[0]["metrics"]["R@10"]
    assert (found["low"], found["high"], found["detectable"]) == pytest.approx(
        (right.difference.low, right.difference.high, right.detectable)
    )
    assert (
        found["low"]
        < first[0]["metrics"]["R@10"]["low"]
        < first[0]["metrics"]["R@10"]["high"]
        < found["high"]
    )


def test_families_are_compared_on_the_seeds_that_both_have():
    rows = [row for row in ROWS if (row.who, row.replicate) not in (("a", 0), ("b", 3))]
    one = compared(rows, ["a", "b"], [])[0]
    assert one["seeds"] == 2
    assert one["metrics"]["R@10"]["difference"] == pytest.approx(
        np.mean(np.array(noisy(0.5, 0))[1:3] - np.array(noisy(0.4, 1))[1:3])
    )
    apart = [row for row in ROWS if (row.who == "a") == (row.replicate < 2) and row.kind == "family"]
    assert compared(apart, ["a", "b"], []) == []


def test_a_family_with_one_seed_left_is_compared_on_that_seed():
    """It stands for nothing but its own seed, whichever of the two comes first."""
    rows = [row for row in ROWS if row.who != "b" or row.replicate == 2]
    value = np.mean(np.array(noisy(0.5, 0))[2] - np.array(noisy(0.4, 1))[2])
    for families, sign in ((["a", "b"], 1), (["b", "a"], -1)):
        (one,) = compared(rows, families, [])
        assert (one["seeds"], one["slides"]) == (1, 6)
        assert one["metrics"]["R@10"]["difference"] == pytest.approx(sign * value)
    apart = [row for row in rows if row.who != "a" or row.replicate == 0]
    assert compared(apart, ["a", "b"], []) == []


def test_a_family_with_one_seed_left_still_stands_against_a_baseline_without_seeds():
    rows = [row for row in ROWS if row.who == "cca" or (row.who == "a" and row.replicate == 2)]
    (one,) = compared(rows, ["a"], ["cca"])
    assert (one["seeds"], one["slides"]) == (1, 6)


def test_families_on_other_slides_are_not_compared():
    moved = [replace(row, slide=f"other {row.slide}") for row in ROWS if row.who == "b"]
    rows = [row for row in ROWS if row.who == "a"] + moved
    assert compared(rows, ["a", "b"], []) == []


def test_intervals_of_each_recall():
    found = intervals_of(ROWS, "family", "a", "given")
    assert list(found) == ["R@1", "R@5", "R@10"]
    assert found["R@10"]["low"] < found["R@10"]["value"] < found["R@10"]["high"]
    assert found["R@10"]["value"] == pytest.approx(np.mean(noisy(0.5, 0)))
    assert intervals_of(ROWS, "family", "absent", "given") == {}
    right = family_estimate(of_one(noisy(0.5, 0)), np.arange(6))
    assert (found["R@10"]["low"], found["R@10"]["high"]) == pytest.approx((right.low, right.high))


def test_an_interval_of_a_recall_stays_within_0_and_1():
    found = intervals_of(slide_rows("a", [[0.02, 0.97]]), "family", "a", "given")["R@10"]
    assert (found["low"], found["high"]) == (0.0, 1.0)


# -- several configurations of a family


def several(who, means, seeds=3, weights=None, start=10):
    """A configuration a mean, as trials 0, 1, ..."""
    weights = weights or [1 / len(means)] * len(means)
    rows = []
    for number, (mean, weight) in enumerate(zip(means, weights, strict=True)):
        rows += slide_rows(who, noisy(mean, start + number, seeds), number=number, weight=weight)
    return rows


def test_the_configurations_of_a_family_are_weighted_and_contain_the_search():
    weights = [0.6, 0.3, 0.1]
    rows = several("a", [0.5, 0.48, 0.4], weights=weights) + several("b", [0.4, 0.41], start=20)
    (one,) = compared(rows, ["a", "b"], source="one search")
    tables = [
        FamilyTable(
            np.array([noisy(mean, start + n, 3) for n, mean in enumerate(means)]), np.array(own), "one search"
        )
        for means, own, start in (([0.5, 0.48, 0.4], weights, 10), ([0.4, 0.41], [0.5, 0.5], 20))
    ]
    right = compare_families(*tables, np.arange(6))
    found = one["metrics"]["R@10"]
    assert (found["difference"], found["low"]) == pytest.approx(
        (right.difference.value, right.difference.low)
    )
    assert found["variance"]["search"] == pytest.approx(right.search) and right.search > 0
    assert (one["configurations"], one["covers_search"], one["searches"]) == ([3, 2], True, 1)
    own = intervals_of(rows, "family", "a", "one search")["R@10"]
    assert own["value"] == pytest.approx(tables[0].mean().mean())


def test_a_single_configuration_of_a_search_says_nothing_of_its_family():
    rows = several("a", [0.5]) + several("b", [0.2, 0.2], start=20)
    (one,) = compared(rows, ["a", "b"], source="one search")
    assert not one["covers_search"] and one["metrics"]["R@10"]["outcome"] == "undecided"
    assert one["metrics"]["R@10"]["p"] < 0.001  # of the configurations


def without(rows, *lost):
    """Rows less some trainings, each (family, configuration, replicate)."""
    return [row for row in rows if (row.who, int(row.configuration[-4:]), row.replicate) not in lost]


@pytest.mark.parametrize(
    ("lost", "configurations", "seeds"),
    [
        ([("a", 1, 0)], [2, 3], 3),  # 3 seeds of 2 configurations, as many as 2 of 3
        ([("a", 1, 0), ("a", 2, 0)], [3, 3], 2),  # rather than one configuration with all seeds
        ([("a", 2, 0), ("b", 0, 0)], [2, 2], 3),
        ([("a", n, 2) for n in range(3)], [3, 3], 2),  # cut off before the last seed
        ([("a", n, r) for n in (1, 2) for r in (1, 2)], [1, 3], 3),
    ],
)
def test_trainings_that_are_missing_cost_as_little_as_they_can(lost, configurations, seeds):
    rows = several("a", [0.5, 0.5, 0.5]) + several("b", [0.5, 0.5, 0.5], start=20)
    (one,) = compared(without(rows, *lost), ["a", "b"], source="one search")
    assert (one["configurations"], one["seeds"]) == (configurations, seeds)


def test_the_weights_of_those_that_are_left_are_scaled():
    rows = several("a", [0.5, 0.4, 0.3], weights=[0.6, 0.3, 0.1])
    left = without(rows, *(("a", 2, replicate) for replicate in range(3)))
    found = intervals_of(left, "family", "a", "one search")["R@10"]
    means = [np.mean(noisy(mean, 10 + n, 3)) for n, mean in enumerate((0.5, 0.4))]
    assert found["value"] == pytest.approx((0.6 * means[0] + 0.3 * means[1]) / 0.9)
