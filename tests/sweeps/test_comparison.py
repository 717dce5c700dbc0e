"""Which families are compared, on what, and with which correction."""

import numpy as np
import pytest

from sweeps.comparison import compare_all, intervals_of
from sweeps.slide_table import SlideRow
from sweeps.stats import holm
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


def test_holm_is_over_the_pairs_and_over_each_baseline_by_itself():
    found = compare_all(ROWS, ["a", "b", "c"], ["cca"], seed=0)
    for group in (found[:3], found[3:]):
        for metric in ("R@1", "R@5", "R@10"):
            ps = [one["metrics"][metric]["p"] for one in group]
            assert [one["metrics"][metric]["p_holm"] for one in group] == holm(ps)


def test_families_are_compared_on_the_seeds_that_both_have():
    rows = [row for row in ROWS if (row.who, row.replicate) not in (("a", 0), ("b", 3))]
    one = compare_all(rows, ["a", "b"], [], seed=0)[0]
    assert one["seeds"] == 2
    assert one["metrics"]["R@10"]["difference"] == pytest.approx(
        np.mean(np.array(noisy(0.5, 0))[1:3] - np.array(noisy(0.4, 1))[1:3])
    )
    apart = [row for row in ROWS if (row.who == "a") == (row.replicate < 2) and row.kind == "family"]
    assert compare_all(apart, ["a", "b"], [], seed=0) == []


def test_intervals_of_each_recall():
    found = intervals_of(ROWS, "family", "a", seed=0)
    assert list(found) == ["R@1", "R@5", "R@10"]
    assert found["R@10"]["low"] < found["R@10"]["value"] < found["R@10"]["high"]
    assert found["R@10"]["value"] == pytest.approx(np.mean(noisy(0.5, 0)))
    assert intervals_of(ROWS, "family", "absent", seed=0) == {}


def test_an_interval_of_a_recall_stays_within_0_and_1():
    found = intervals_of(slide_rows("a", [[0.02, 0.97]]), "family", "a", seed=0)["R@10"]
    assert (found["low"], found["high"]) == (0.0, 1.0)
