"""The verdict: made from a summary's numbers, and never more than they show."""

from __future__ import annotations

import math

import numpy as np
import pytest

from sweeps.stats import compare
from sweeps.verdict import (
    difference_sentence,
    enough_seeds,
    is_shown,
    least_p,
    p_text,
    recall_of,
    signed,
    verdict,
)


def entry(val=0.4, test=0.6, low=0.55, high=0.65):
    intervals = {} if test is None else {"R@10": {"value": test, "low": low, "high": high}}
    best = {"val": {"R@10": val}, "test": {"chance_R@10": 0.125}}
    return {"best": best, "test_intervals": intervals}


def pair(a="spatial", b="clip", difference=0.031, low=0.012, high=0.049, p=0.004, kind="families", **other):
    found = {"difference": difference, "low": low, "high": high, "p": p, "p_holm": p, "detectable": 0.05}
    return {
        "a": a,
        "b": b,
        "kind": kind,
        "seeds": 5,
        "slides": 10,
        "clusters": 10,
        "metrics": {"R@10": found},
    } | other


def of(
    families=None,
    comparisons=(),
    confirmed=True,
    baselines=(),
    status="complete",
    metric="val/R@10",
    reads=(),
    to_go=0,
):
    value = {"R@10": {"value": 0.5, "low": 0.4, "high": 0.6}}
    return verdict(
        {
            "metric": metric,
            "status": status,
            "families": families or {"spatial": entry(), "clip": entry(test=0.57)},
            "comparisons": list(comparisons),
            "confirmation": {"seeds": 5, "to_go": to_go} if confirmed else None,
            "test_reads": list(reads),
            "baselines": {name: {"test_intervals": value} for name in baselines},
        }
    )


def against(baseline, difference, shown=True, a="spatial"):
    half = 0.01 if shown else 1.0
    return pair(
        a, baseline, difference, difference - half, difference + half, 0.01 if shown else 0.5, "baseline"
    )


def test_a_shown_difference_names_the_better_family_with_its_numbers():
    text = of(comparisons=[pair()])
    assert text.startswith(
        "spatial retrieves better than clip on the test slides: R@10 +0.031 [0.012, 0.049], p = 0.004, 5 seeds x 10 slides."
    )


def test_the_better_family_comes_first_whatever_the_order_of_the_pair():
    text = difference_sentence(pair(difference=-0.031, low=-0.049, high=-0.012), "R@10")
    assert text.startswith(
        "clip retrieves better than spatial on the test slides: R@10 +0.031 [0.012, 0.049]"
    )


@pytest.mark.parametrize(
    "doubt",
    [
        {"low": -0.001},  # the interval includes 0
        {"low": 0.0},
        {"p": 0.05},  # the permutation test disagrees
        {"p": None},
        {"difference": -0.02, "low": -0.05, "high": 0.0},
    ],
)
def test_no_winner_is_named_while_there_is_doubt(doubt):
    text = difference_sentence(pair(**doubt), "R@10")
    assert text.startswith("No difference shown between spatial and clip on the test slides: R@10 ")
    assert "better" not in text
    assert text.endswith("5 seeds x 10 slides; the sweep could have shown 0.050 or more.")


def test_a_difference_that_holm_takes_back_is_not_shown():
    one = pair()
    one["metrics"]["R@10"]["p_holm"] = 0.06
    assert not is_shown(one["metrics"]["R@10"]) and "No difference shown" in difference_sentence(one, "R@10")


def test_what_cannot_have_an_interval_is_no_claim():
    one = pair(low=None, high=None, p=None, seeds=1, slides=1, clusters=1)
    assert difference_sentence(one, "R@10").startswith(
        "No claim about spatial and clip: with 1 seed x 1 slide"
    )


def test_what_the_sweep_could_have_shown_is_left_out_where_it_is_not_known():
    one = pair(low=-0.01)
    one["metrics"]["R@10"]["detectable"] = None
    assert difference_sentence(one, "R@10").endswith(", 5 seeds x 10 slides.")


def test_donors_are_counted_where_they_are_fewer_than_slides():
    assert "5 seeds x 10 slides of 4 donors" in difference_sentence(pair(clusters=4), "R@10")
    text = difference_sentence(pair(clusters=1), "R@10")
    assert "10 slides of 1 donor (so the interval covers other seeds, not other donors)" in text
    text = difference_sentence(pair(slides=1, clusters=1), "R@10")
    assert "5 seeds x 1 slide (so the interval covers other seeds, not other slides)" in text


@pytest.mark.parametrize(("seeds", "least"), [(5, "0.062"), (4, "0.125")])
def test_too_few_values_for_any_p_are_told_of(seeds, least):
    text = difference_sentence(pair(seeds=seeds, slides=1, clusters=1, low=-0.01, p=2 * 2.0**-seeds), "R@10")
    assert text.endswith(
        f"from so few values p cannot fall below {least}: use --confirm-seeds 6 or more (with --resume, which is another "
        "reading, 9 or more)."
    )
    assert "could have shown" not in text


@pytest.mark.parametrize("among", [1, 3, 6, 10])
def test_holm_asks_for_more_seeds_among_more_pairs(among):
    """The first number of seeds at which even the corrected p can fall below 0.05."""
    possible = [n for n in range(2, 20) if among * 2 * 0.5**n < 0.05]
    assert enough_seeds(among) == possible[0]
    short = pair(seeds=possible[0] - 1, clusters=1, slides=1, low=-0.01)
    assert f"use --confirm-seeds {possible[0]} or more (with --resume" in difference_sentence(
        short, "R@10", among
    )
    assert "p cannot fall" not in difference_sentence({**short, "seeds": possible[0]}, "R@10", among)


def test_the_least_p_is_that_of_a_line_of_values():
    assert least_p(pair(seeds=1, clusters=4)) == least_p(pair(seeds=4, clusters=1)) == 2 / 2**4
    assert least_p(pair(seeds=1, clusters=4), 3) == 3 * 2 / 2**4
    assert least_p(pair(seeds=2, clusters=1), 3) == 1  # no p is above 1
    assert least_p(pair(seeds=2, clusters=2)) == 0  # a table has more flips than seeds or slides


def test_the_verdict_asks_for_the_seeds_that_all_its_pairs_need():
    families = {name: entry() for name in ("a", "b", "c")}
    line = {"seeds": 7, "slides": 1, "clusters": 1, "low": -0.01}
    text = of(families, [pair(*two, **line) for two in ("ab", "ac", "bc")])
    assert text.count("p cannot fall below") == 0
    text = of(families, [pair(*two, **{**line, "seeds": 6}) for two in ("ab", "ac", "bc")])
    assert text.count("from so few values p cannot fall below 0.094: use --confirm-seeds 7 or more (") == 3


def test_six_seeds_on_one_slide_can_show_something():
    values = np.array([[0.1], [0.11], [0.12], [0.09], [0.1], [0.13]])
    found = compare(values, np.zeros((6, 1)), np.zeros(1, dtype=int), seed=0)
    assert found.p == pytest.approx(least_p(pair(seeds=6, clusters=1)), abs=1e-3) and found.p < 0.05
    few = compare(values[:5], np.zeros((5, 1)), np.zeros(1, dtype=int), seed=0)
    assert few.p == pytest.approx(least_p(pair(seeds=5, clusters=1)), abs=1e-3) and few.p > 0.05


def test_every_level_has_its_interval_and_chance():
    text = of(comparisons=[pair()], baselines=("cca", "untrained"))
    assert (
        "Test R@10: spatial 0.600 [0.550, 0.650], clip 0.570 [0.550, 0.650], the CCA baseline 0.500, "
        "an untrained model 0.500, chance 0.125." in text
    )


def test_all_pairs_of_three_families_are_spoken_of():
    families = {name: entry() for name in ("a", "b", "c")}
    pairs = [
        pair("a", "b"),
        pair("a", "c", low=-0.01),
        pair("b", "c", difference=-0.03, low=-0.05, high=-0.01),
    ]
    text = of(families, pairs)
    assert "a retrieves better than b" in text and "No difference shown between a and c" in text
    assert "c retrieves better than b" in text


def test_who_beats_cca_and_who_does_not():
    pairs = [against("cca", 0.02), against("cca", -0.05, a="clip"), against("cca", 0.01, False, "third")]
    text = of(comparisons=[pair(), *pairs, against("cca", -0.01, False, "fourth")])
    size = "p = 0.010, 5 seeds x 10 slides."
    assert f" Better than the CCA baseline: spatial R@10 +0.020 [0.010, 0.030], {size}" in text
    assert text.endswith(f"{size} The CCA baseline is better than clip: R@10 +0.050 [0.040, 0.060], {size}")
    text = of(comparisons=[pair(), against("cca", 0.02, shown=False), against("cca", 0.0, False, "clip")])
    assert "No family is shown to beat the CCA baseline" in text and "is better than" not in text
    assert "The CCA baseline was not run" in of(comparisons=[pair()])


def test_another_baseline_is_not_taken_for_cca():
    text = of(comparisons=[pair(), against("untrained", 0.3), against("cca", 0.02, shown=False)])
    assert "No family is shown to beat the CCA baseline" in text
    assert "The CCA baseline was not run" in of(comparisons=[pair(), against("untrained", 0.3)])


def test_training_that_gained_nothing_is_said():
    gained = against("untrained", 0.3)
    lost = [against("untrained", 0.01, shown=False, a="clip"), against("untrained", -0.1, a="third")]
    text = of(comparisons=[pair(), gained, *lost])
    assert text.endswith("Not shown to be better than without any training: clip, third.")
    assert "without any training" not in of(comparisons=[pair(), gained])


def test_it_is_not_said_where_nothing_could_have_been_shown():
    lost = against("untrained", 0.01, shown=False)
    assert "without any training" in of(comparisons=[pair(), lost])
    few = lost | {"seeds": 6, "slides": 1, "clusters": 1}
    assert "without any training" in of(comparisons=[pair(), few])
    assert "without any training" not in of(comparisons=[pair(), few, few | {"a": "clip"}])


def test_without_a_confirmation_there_is_no_verdict():
    text = of({"spatial": entry(test=None), "clip": entry(0.38, None)}, confirmed=False)
    assert text == (
        "No verdict: the test slides were not read (--confirm-seeds 0); best val R@10, which flatters: spatial 0.400, clip 0.380."
    )


def test_an_interrupted_sweep_has_no_verdict_yet():
    text = of({"spatial": entry(test=None), "clip": entry(0.38, None)}, confirmed=False, status="interrupted")
    assert text == (
        "No verdict yet: the sweep ended before its search was over, so its winners were not read on the test slides. "
        "Best val R@10 so far, which flatters: spatial 0.400, clip 0.380."
    )


def read(number, trials, seeds=5):
    return {"number": number, "trials": {"spatial": trials, "clip": trials}, "seeds": seeds}


SECOND = [read(1, 24), read(2, 40)]


def test_a_second_reading_is_said():
    text = of(comparisons=[pair()], reads=SECOND)
    assert (
        "The test slides were read for the 2nd time, after 24 and then 40 trials a family, with 5 seeds; p is corrected for "
        "2 looks (times 10), and the intervals of differences are 99.5 % ones. Test R@10: " in text
    )
    assert "time, after" not in of(comparisons=[pair()], reads=SECOND[:1])


def test_at_a_later_reading_p_can_fall_less_far():
    """6 seeds on one slide can give 2/2^6 = 0.031, which is 0.31 at the second look."""
    line = pair(seeds=6, slides=1, clusters=1, low=-0.01)
    assert "p cannot fall" not in of(comparisons=[line], reads=SECOND[:1])
    assert (
        "p cannot fall below 0.312: use --confirm-seeds 6 or more (with --resume, which is another reading, 10 or more)."
        in of(comparisons=[line], reads=SECOND)
    )
    lost = against("untrained", 0.01, shown=False) | {"seeds": 6, "slides": 1, "clusters": 1}
    assert "without any training" in of(comparisons=[pair(), lost], reads=SECOND[:1])
    assert "without any training" not in of(comparisons=[pair(), lost], reads=SECOND)


def test_an_interrupted_search_tells_of_earlier_readings():
    families = {"spatial": entry(test=None)}
    text = of(families, confirmed=False, status="interrupted", reads=SECOND)
    assert text.endswith(
        "The test slides have been read 2 times before, after 24 and then 40 trials a family, with 5 seeds; the next verdict "
        "counts that."
    )


def test_a_confirmation_that_was_cut_off_has_no_verdict():
    families = {"spatial": entry(test=None), "clip": entry(0.38, None)}
    text = of(families, status="interrupted", reads=SECOND[:1], to_go=3)
    assert text == (
        "No verdict yet: the confirmation was cut off, 3 trainings before its end; nothing of the test slides is shown "
        "until then; go on with --resume."
    )
    again = of(families, status="interrupted", reads=SECOND, to_go=3)
    assert again.removeprefix(text) == (
        " The test slides have been read once before, after 24 trials a family, with 5 seeds; the next verdict counts that."
    )


def test_no_winner_no_verdict():
    none = {"best": None, "test_intervals": {}}
    assert of({"spatial": none}) == "No verdict: no family has a winner."
    assert (
        of({"spatial": entry(math.nan, None)}, status="interrupted") == "No verdict: no family has a winner."
    )
    assert "no winner was read on the test slides" in of({"spatial": entry(test=None)})
    text = of({"spatial": entry(), "clip": none})
    assert text.startswith("No comparison: only spatial could be read on the test slides.")
    assert text.endswith("Without a test result: clip.")


def test_a_single_family_is_no_comparison():
    assert of({"clip": entry()}).startswith("Test R@10: clip 0.600 [0.550, 0.650], chance 0.125.")


def test_the_recall_spoken_of_is_the_one_chosen_by():
    assert recall_of({"metric": "val/R@5"}) == "R@5"
    assert recall_of({"metric": "val/median_rank"}) == "R@10"


def test_numbers_in_words():
    assert (signed(0.0312), signed(-0.0312), signed(0.00001), signed(-0.00001)) == (
        "+0.031",
        "-0.031",
        "0.000",
        "0.000",
    )
    assert (p_text(0.0312), p_text(0.00049), p_text(1.0)) == ("0.031", "0.0005", "1.000")
