"""Which families are compared, on what, and with which correction."""

from dataclasses import replace

import numpy as np
import pytest

from sweeps.comparison import compare_all, intervals_of
from sweeps.seeding import derived_seed
from sweeps.slide_table import SlideRow
from sweeps.stats import compare, holm, interval
from tests.sweeps.made_up import slide_rows


def noisy(mean, seed, seeds=4, slides=6):
    return (mean + 0.02 * np.random.default_rng(seed).normal(size=(seeds, slides))).tolist()


ROWS: list[SlideRow] = [
    *slide_rows("a", noisy(0.5, 0)),
    *slide_rows("b", noisy(0.4, 1)),
    *slide_rows("c", noisy(0.5, 2)),
    *slide_rows("cca", noisy(0.45, 3, seeds=1), "baseline"),
]


def test_every_pair_of_families_then_every_family_with_every_baseline():
    found = compare_all(ROWS, ["a", "b", "c"], ["cca", "absent"], seed=0)
    pairs = [(one["a"], one["b"], one["kind"]) for one in found]
    families = [("a", "b", "families"), ("a", "c", "families"), ("b", "c", "families")]
    assert pairs == [*families, *((f, "cca", "baseline") for f in "abc")]
    assert {(one["seeds"], one["slides"], one["clusters"]) for one in found} == {(4, 6, 6)}
    assert found[0]["metrics"]["R@10"]["difference"] == pytest.approx(0.1, abs=0.02)
    assert found[0]["metrics"]["R@10"]["p"] < 0.05 < found[1]["metrics"]["R@10"]["p"]


@pytest.mark.parametrize("seed", [0, 7])
def test_each_recall_has_the_numbers_of_its_own_comparison(seed):
    """R@1 and R@5 are a quarter and a half of R@10 in these rows."""
    a, b, cca = (np.array(noisy(*of)) for of in ((0.5, 0), (0.4, 1), (0.45, 3, 1)))
    for found, other in zip(compare_all(ROWS, ["a", "b"], ["cca"], seed), (b, cca), strict=False):
        for metric, part in (("R@1", 0.25), ("R@5", 0.5), ("R@10", 1.0)):
            right = compare(part * a, part * other, np.arange(6), derived_seed(seed, "compare"))
            numbers = found["metrics"][metric]
            assert numbers["difference"] == pytest.approx(right.difference.value)
            assert (numbers["low"], numbers["high"]) == pytest.approx(
                (right.difference.low, right.difference.high)
            )
            assert (numbers["p"], numbers["detectable"]) == pytest.approx((right.p, right.detectable))


def test_slides_of_one_donor_are_one_cluster():
    donors = ("p", "p", "q", "q", "r", "r")
    rows = [*slide_rows("a", noisy(0.5, 0), donors=donors), *slide_rows("b", noisy(0.4, 1), donors=donors)]
    (one,) = compare_all(rows, ["a", "b"], [], seed=0)
    assert (one["slides"], one["clusters"]) == (6, 3)
    right = interval(np.array(noisy(0.5, 0)), np.array([0, 0, 1, 1, 2, 2]), derived_seed(0, "interval"))
    found = intervals_of(rows, "family", "a", seed=0)["R@10"]
    assert (found["low"], found["value"], found["high"]) == pytest.approx(
        (right.low, right.value, right.high)
    )


def test_holm_is_over_the_pairs_and_over_each_baseline_by_itself():
    rows = [*ROWS, *slide_rows("untrained", noisy(0.48, 4), "baseline")]
    found = compare_all(rows, ["a", "b", "c"], ["cca", "untrained"], seed=0)
    assert len(found) == 9
    for group in (found[:3], found[3:6], found[6:]):
        for metric in ("R@1", "R@5", "R@10"):
            ps = [one["metrics"][metric]["p"] for one in group]
            assert [one["metrics"][metric]["p_holm"] for one in group] == holm(ps)


def test_a_later_look_multiplies_p_before_holm_and_widens_the_intervals_with_it():
    first = compare_all(ROWS, ["a", "b", "c"], ["cca"], seed=0)
    second = compare_all(ROWS, ["a", "b", "c"], ["cca"], seed=0, looks=2)
    for group in (slice(0, 3), slice(3, 6)):
        ps = [one["metrics"]["R@10"]["p"] for one in first[group]]
        assert [one["metrics"]["R@10"]["p"] for one in second[group]] == ps
        assert [one["metrics"]["R@10"]["p_holm"] for one in second[group]] == holm(
            [min(1.0, 10 * p) for p in ps]
        )
    a, b = np.array(noisy(0.5, 0)), np.array(noisy(0.4, 1))
    right = compare(a, b, np.arange(6), derived_seed(0, "compare"), level=0.995)
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
    one = compare_all(rows, ["a", "b"], [], seed=0)[0]
    assert one["seeds"] == 2
    assert one["metrics"]["R@10"]["difference"] == pytest.approx(
        np.mean(np.array(noisy(0.5, 0))[1:3] - np.array(noisy(0.4, 1))[1:3])
    )
    apart = [row for row in ROWS if (row.who == "a") == (row.replicate < 2) and row.kind == "family"]
    assert compare_all(apart, ["a", "b"], [], seed=0) == []


def test_a_family_with_one_seed_left_is_compared_on_that_seed():
    """It stands for nothing but its own seed, whichever of the two comes first."""
    rows = [row for row in ROWS if row.who != "b" or row.replicate == 2]
    value = np.mean(np.array(noisy(0.5, 0))[2] - np.array(noisy(0.4, 1))[2])
    for families, sign in ((["a", "b"], 1), (["b", "a"], -1)):
        (one,) = compare_all(rows, families, [], seed=0)
        assert (one["seeds"], one["slides"]) == (1, 6)
        assert one["metrics"]["R@10"]["difference"] == pytest.approx(sign * value)
    apart = [row for row in rows if row.who != "a" or row.replicate == 0]
    assert compare_all(apart, ["a", "b"], [], seed=0) == []


def test_a_family_with_one_seed_left_still_stands_against_a_baseline_without_seeds():
    rows = [row for row in ROWS if row.who == "cca" or (row.who == "a" and row.replicate == 2)]
    (one,) = compare_all(rows, ["a"], ["cca"], seed=0)
    assert (one["seeds"], one["slides"]) == (1, 6)


def test_families_on_other_slides_are_not_compared():
    moved = [replace(row, slide=f"other {row.slide}") for row in ROWS if row.who == "b"]
    rows = [row for row in ROWS if row.who == "a"] + moved
    assert compare_all(rows, ["a", "b"], [], seed=0) == []


def test_intervals_of_each_recall():
    found = intervals_of(ROWS, "family", "a", seed=0)
    assert list(found) == ["R@1", "R@5", "R@10"]
    assert found["R@10"]["low"] < found["R@10"]["value"] < found["R@10"]["high"]
    assert found["R@10"]["value"] == pytest.approx(np.mean(noisy(0.5, 0)))
    assert intervals_of(ROWS, "family", "absent", seed=0) == {}
    right = interval(np.array(noisy(0.5, 0)), np.arange(6), derived_seed(7, "interval"))
    again = intervals_of(ROWS, "family", "a", seed=7)["R@10"]
    assert (again["low"], again["high"]) == pytest.approx((right.low, right.high))


def test_an_interval_of_a_recall_stays_within_0_and_1():
    found = intervals_of(slide_rows("a", [[0.02, 0.97]]), "family", "a", seed=0)["R@10"]
    assert (found["low"], found["high"]) == (0.0, 1.0)
