"""The verdict: made from a summary's numbers, and never more than they show."""

from __future__ import annotations

import math

import pytest

from sweeps.analysis.outcome import outcome_of
from sweeps.analysis.verdict import difference_sentence, p_text, signed, verdict, verdict_recall

MARGIN = 0.01
SIZE = "5 configurations x 3 seeds x 10 slides"


def entry(val=0.4, test=0.6, low=0.55, high=0.65, name="spatial-0007"):
    intervals = {} if test is None else {"R@10": {"value": test, "low": low, "high": high}}
    best = {"name": name, "val": {"R@10": val}, "test": {"R@10": 0.61, "chance_R@10": 0.125}}
    return {"best": best, "test_intervals": intervals}


def pair(
    a="spatial",
    b="clip",
    difference=0.031,
    low=0.012,
    high=0.049,
    p=0.004,
    kind="families",
    margin=MARGIN,
    **other,
):
    variance = {"search": 0.01**2, "slide": 0.0, "seed": 0.0, "rest": 0.0}
    found = {"difference": difference, "low": low, "high": high, "p": p, "p_holm": p, "detectable": 0.05}
    covers_search = other.get("covers_search", True)
    found |= {
        "variance": other.pop("variance", variance),
        "outcome": outcome_of(found, covers_search, margin),
    }
    return {
        "a": a,
        "b": b,
        "kind": kind,
        "covers_search": covers_search,
        "configurations": [5, 5],
        "searches": 1,
        "seeds": 3,
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
            "margin": MARGIN,
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


def sentence(**given):
    margin = given.get("margin", MARGIN)
    return difference_sentence(pair(**given), "R@10", margin)


def test_a_shown_difference_names_the_better_family_with_its_numbers():
    assert of(comparisons=[pair()]).startswith(
        "spatial retrieves better than clip on the test slides, by more than the margin of 0.01: R@10 +0.031 [0.012, 0.049], "
        f"p = 0.004, {SIZE}."
    )


def test_the_better_family_comes_first_whatever_the_order_of_the_pair():
    text = sentence(difference=-0.031, low=-0.049, high=-0.012)
    assert text.startswith("clip retrieves better than spatial on the test slides, by more than the margin")
    assert "R@10 +0.031 [0.012, 0.049]" in text


@pytest.mark.parametrize(
    ("low", "high", "lead"),
    [
        (0.01, 0.05, "by more than the margin of 0.01"),
        (0.002, 0.05, "perhaps by less than the margin of 0.01"),
        (0.002, 0.01, "by less than the margin of 0.01"),
    ],
)
def test_a_lead_is_held_against_the_margin(low, high, lead):
    for a, b, sign in (("spatial", "clip", 1), ("clip", "spatial", -1)):
        low_of, high_of = sorted((sign * low, sign * high))
        text = sentence(difference=sign * 0.005, low=low_of, high=high_of)
        assert text.startswith(
            f"{a} retrieves better than {b} on the test slides, {lead}: R@10 +0.005 [{low:.3f}, {high:.3f}]"
        )


def test_equivalent_families():
    assert sentence(difference=0.001, low=-0.007, high=0.009, p=0.8) == (
        f"spatial and clip are equivalent on the test slides, within 0.01: R@10 +0.001 [-0.007, 0.009], p = 0.800, {SIZE}."
    )


@pytest.mark.parametrize(
    "doubt",
    [
        {"low": -0.001},  # the interval includes 0
        {"low": 0.0},
        {"p": 0.05},  # Holm takes it back
        {"p": None},
        {"difference": -0.02, "low": -0.05, "high": 0.0},
    ],
)
def test_no_winner_is_named_while_there_is_doubt(doubt):
    text = sentence(**doubt)
    assert text.startswith("Undecided between spatial and clip on the test slides: R@10 ")
    assert "better" not in text and f"{SIZE}, not within the margin of 0.01. " in text


def parts(search=0.0, slide=0.0, seed=0.0):
    return {"search": search**2, "slide": slide**2, "seed": seed**2, "rest": 0.0}


ADDS_NOTHING = "The search adds nothing to the variance"


@pytest.mark.parametrize(
    ("interval", "variance", "more"),
    [
        ((-0.01, 0.03), parts(search=0.01), "The search is 100% of the variance; to decide it would take about 4 independent "
         "searches of each family."),
        ((-0.01, 0.03), parts(slide=0.02), f"{ADDS_NOTHING}; to decide it would take about 42 slides in test."),
        ((-0.01, 0.03), parts(seed=0.01), f"{ADDS_NOTHING}; to decide it would take about 12 seeds."),
        ((-0.004, 0.015), parts(seed=0.001), "the interval is as narrow as the margin, and the difference is close to it."),
        ((-1500, 1500), parts(search=1.0), "a decision at this margin is out of reach, a wider --margin is not."),
    ],
)  # fmt: skip
def test_undecided_says_what_more_it_would_take(interval, variance, more):
    low, high = interval
    assert sentence(low=low, high=high, variance=variance).endswith(more)


def test_more_donors_where_donors_are_known():
    assert sentence(low=-0.01, variance=parts(slide=0.02), clusters=5).endswith("donors in test.")


def test_what_cannot_have_an_interval_is_no_claim():
    text = sentence(low=None, high=None, p=None, seeds=1, slides=1, clusters=1)
    assert text.startswith("No claim about spatial and clip: with 5 configurations x 1 seed x 1 slide")


def test_single_configurations_are_no_families():
    text = sentence(covers_search=False, configurations=[1, 5])
    assert text.startswith(
        "No claim about spatial and clip as families: one of them had a single configuration"
    )
    assert "use --confirm-configs 2 or more" in text and "better" not in text
    assert "R@10 +0.031 [0.012, 0.049], p = 0.004, 1 and 5 configurations x 3 seeds x 10 slides." in text


def test_donors_are_counted_where_they_are_fewer_than_slides():
    assert "3 seeds x 10 slides of 4 donors" in sentence(clusters=4)
    assert "10 slides of 1 donor (so the interval covers other seeds, not other donors)" in sentence(
        clusters=1
    )
    text = sentence(slides=1, clusters=1)
    assert "3 seeds x 1 slide (so the interval covers other seeds, not other slides)" in text


def test_families_and_their_best_configurations_are_told_apart():
    families = {"spatial": entry(), "clip": entry(name="clip-0003")}
    assert " The best configurations by val: spatial-0007 0.610, clip-0003 0.610." in of(families, [pair()])


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
    assert "a retrieves better than b" in text and "Undecided between a and c" in text
    assert "c retrieves better than b" in text


def test_who_beats_cca_and_who_does_not():
    pairs = [against("cca", 0.02), against("cca", -0.05, a="clip"), against("cca", 0.01, False, "third")]
    text = of(comparisons=[pair(), *pairs, against("cca", -0.01, False, "fourth")])
    size = f"p = 0.010, {SIZE}."
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
    assert verdict_recall({"metric": "val/R@5"}) == "R@5"
    assert verdict_recall({"metric": "val/median_rank"}) == "R@10"


def test_numbers_in_words():
    assert (signed(0.0312), signed(-0.0312), signed(0.00001), signed(-0.00001)) == (
        "+0.031",
        "-0.031",
        "0.000",
        "0.000",
    )
    assert (p_text(0.0312), p_text(0.00049), p_text(1.0)) == ("0.031", "0.0005", "1.000")
