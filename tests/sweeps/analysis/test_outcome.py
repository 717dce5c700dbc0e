"""Better, equivalent, undecided; and what it would take to decide."""

import math

import numpy as np
import pytest

from sweeps.analysis.outcome import Effort, effort_to_decide, outcome_of, search_share

NOW = Effort(searches=1, seeds=3, slides=10)


def outcome(low, high, p=0.5, covers_search=True, margin=0.01):
    return outcome_of({"low": low, "high": high, "p_holm": p}, covers_search, margin)


@pytest.mark.parametrize(
    ("low", "high", "p", "expected"),
    [
        (0.002, 0.05, 0.01, "better"),
        (-0.05, -0.002, 0.01, "worse"),
        (0.002, 0.05, 0.05, "undecided"),  # Holm takes it back
        (0.002, 0.05, None, "undecided"),
        (0.0, 0.05, 0.01, "undecided"),
        (-0.009, 0.009, 0.9, "equivalent"),
        (-0.01, 0.009, 0.9, "undecided"),  # within the margin, not on it
        (-0.009, 0.01, 0.9, "undecided"),
        (0.001, 0.009, 0.01, "better"),  # by less than the margin, but it is
        (0.001, 0.009, 0.06, "equivalent"),
        (-0.02, 0.02, 0.9, "undecided"),
        (None, None, None, "undecided"),
    ],
)
def test_outcomes(low, high, p, expected):
    assert outcome(low, high, p) == expected


def test_an_interval_without_the_search_decides_nothing():
    assert outcome(0.02, 0.05, 0.001, covers_search=False) == "undecided"
    assert outcome(-0.001, 0.001, 0.9, covers_search=False) == "undecided"


def test_a_wider_margin_makes_equivalent():
    assert outcome(-0.02, 0.02, margin=0.03) == "equivalent"


def spread(search=0.0, slide=0.0, seed=0.0, rest=0.0):
    return {"search": search, "slide": slide, "seed": seed, "rest": rest}


def variance_of(variance, effort):
    return (
        variance["search"] / effort.searches
        + variance["slide"] / effort.slides
        + variance["seed"] / effort.seeds
        + variance["rest"] / (effort.seeds * effort.slides)
    )


def effort_for(variance, margin, t=2.0):
    """From an interval of t standard errors on either side."""
    return effort_to_decide(variance, NOW, t * math.sqrt(variance_of(variance, NOW)), margin)


@pytest.mark.parametrize("seed", range(20))
def test_the_effort_is_enough_and_asks_for_little_more(seed):
    rng = np.random.default_rng(seed)
    variance = spread(*(rng.uniform(0, 0.02, 4) ** 2))
    effort = effort_for(variance, margin=0.005)
    assert effort.searches >= 1 and effort.seeds >= 3 and effort.slides >= 10
    assert variance_of(variance, effort) <= 0.0025**2 * (1 + 1e-6)
    # no more than a quarter above what is needed: all of it cut by a quarter is too little
    less = Effort(*(max(1, int(0.75 * size)) for size in (effort.searches, effort.seeds, effort.slides)))
    assert variance_of(variance, less) > 0.0025**2


@pytest.mark.parametrize(
    ("variance", "grows"),
    [
        (spread(search=0.01**2), "searches"),
        (spread(slide=0.05**2), "slides"),
        (spread(seed=0.02**2), "seeds"),
    ],
)
def test_it_asks_for_what_the_variance_is_made_of(variance, grows):
    effort = effort_for(variance, margin=0.01)
    changed = {name for name in vars(NOW) if getattr(effort, name) != getattr(NOW, name)}
    assert changed == {grows}


def test_nothing_more_is_asked_where_it_is_narrow_already():
    assert effort_for(spread(seed=0.001**2), margin=0.01) == NOW
    assert effort_to_decide(spread(), NOW, 0.0, 0.01) == NOW


def test_what_is_out_of_reach_is_none():
    assert effort_for(spread(search=1.0), margin=0.001) is None


def test_a_variance_that_is_hardly_known_asks_for_more():
    """The interval of three seeds has t = 4.3: it is wider than the variance alone says."""
    few, many = (effort_for(spread(seed=0.01**2), margin=0.01, t=t).seeds for t in (4.3, 2.0))
    assert few > many


def test_the_searchs_share():
    assert search_share(spread(search=0.03, seed=0.09, slide=0.4), NOW) == pytest.approx(0.3)
    assert search_share(spread(), NOW) == 0
