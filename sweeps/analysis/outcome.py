"""What a comparison of two families comes to: better, equivalent or undecided; and what more it would take to decide."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

LEVEL = 0.05
MOST = 500  # of anything; what would take more is out of reach

Outcome = Literal["better", "worse", "equivalent", "undecided"]


@dataclass(frozen=True)
class Effort:
    """How much of each: independent searches of each family, confirmation seeds, test slides (or donors)."""

    searches: int
    seeds: int
    slides: int


def outcome_of(found: Mapping[str, Any], covers_search: bool, margin: float) -> Outcome:
    """What a difference a - b, with its interval, says of the two families.

    Args:
        found: `low`, `high` (the 95 % interval, or None) and `p_holm`.
        covers_search: whether the interval contains the search; one that does not says nothing of families.
        margin: differences below it do not matter.

    Returns:
        better, worse: the interval excludes 0 and Holm's p is below 0.05. equivalent: the interval lies within ± margin.
        undecided: all else.
    """
    low, high, p = found["low"], found["high"], found["p_holm"]
    if low is None or high is None or not covers_search:
        return "undecided"
    if p is not None and p < LEVEL and (low > 0 or high < 0):
        return "better" if low > 0 else "worse"
    return "equivalent" if -margin < low and high < margin else "undecided"


def effort_to_decide(variance: Mapping[str, float], now: Effort, half: float, margin: float) -> Effort | None:
    """What would make the interval of a difference as narrow as ± margin: then every outcome but 'undecided' is likely.

    Raises, again and again, what the largest part of the variance depends on. An estimate from estimates, so a hint.

    Args:
        variance: `search` (of the difference, as it is now), `slide`, `seed`, `rest` (of single effects).
        now: what the interval at hand is from.
        half: half the width of the interval at hand.
        margin: half the width that is wanted.

    Returns:
        `now` when the interval is as narrow already; None when it is out of reach.
    """
    wanted = sum(_parts(variance, now, now).values()) * min(1.0, margin / half) ** 2 if half > 0 else 0.0
    effort = now
    while True:
        parts = _parts(variance, now, effort)
        if sum(parts.values()) <= wanted * (1 + 1e-9):
            return effort
        largest = max(parts, key=lambda name: parts[name])
        size = math.ceil(getattr(effort, largest) * 1.1 + 0.5)
        if size > MOST:
            return None
        effort = Effort(**{**vars(effort), largest: size})


def _parts(variance: Mapping[str, float], now: Effort, effort: Effort) -> dict[str, float]:
    """The variance of a difference after this effort, by what would lower it; `rest` falls with seeds and slides alike."""
    return {
        "searches": variance["search"] * now.searches / effort.searches,
        "slides": (variance["slide"] + variance["rest"] / (2 * effort.seeds)) / effort.slides,
        "seeds": (variance["seed"] + variance["rest"] / (2 * effort.slides)) / effort.seeds,
    }


def search_share(variance: Mapping[str, float], now: Effort) -> float:
    """The search's share of the variance, 0 to 1."""
    parts = _parts(variance, now, now)
    whole = sum(parts.values())
    return parts["searches"] / whole if whole > 0 else 0.0
