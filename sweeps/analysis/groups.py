"""Test recall by technology and by organ, where the data set says what each slide is.

    {<technology or organ>: [{group, slides, spots, families: {<family>: {R@1: ..., chance_R@1: ...}}, baselines: {...}}]}

Means over seeds, slides and (weighted) configurations, without intervals: a group has few slides, often of one donor. The
numbers describe these slides and say nothing about other ones of their kind.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from stclip.data.shards.groups import GROUPS
from sweeps.results.slide_rows import SlideRow
from sweeps.text import RECALLS

NOT_KNOWN = "not known"


def group_means(sweep: Mapping[str, Any], rows: Sequence[SlideRow]) -> dict[str, list[dict[str, Any]]]:
    """Of those of `GROUPS` that tell test slides apart: two groups or more, slides of which it is not said being one.

    Args:
        sweep: sweep.yaml, whose `data` names each slide's. rows: test_slides.csv.
    """
    found = {}
    for key in GROUPS:
        named = ((sweep.get("data") or {}).get(key) or {}).get("test") or {}
        group_of = {row.slide: named.get(row.slide, NOT_KNOWN) for row in rows if row.kind == "family"}
        if len(set(group_of.values())) > 1:
            found[key] = [_one_group(group, rows, group_of) for group in _in_order(group_of)]
    return found


def _in_order(group_of: Mapping[str, str]) -> list[str]:
    return sorted(set(group_of.values()), key=lambda group: (group == NOT_KNOWN, group))


def _one_group(group: str, rows: Sequence[SlideRow], group_of: Mapping[str, str]) -> dict[str, Any]:
    own = [row for row in rows if group_of.get(row.slide) == group]
    spots = {row.slide: row.spots for row in own}
    titles = {"families": "family", "baselines": "baseline"}
    return {
        "group": group,
        "slides": len(spots),
        "spots": sum(spots.values()),
        **{title: _means([row for row in own if row.kind == kind]) for title, kind in titles.items()},
    }


def _means(rows: Sequence[SlideRow]) -> dict[str, dict[str, float]]:
    names = [f"{kind}{name}" for kind in ("", "chance_") for name in RECALLS]
    found = {}
    for who in dict.fromkeys(row.who for row in rows):
        own = [row for row in rows if row.who == who]
        whole = sum(row.weight for row in own)
        found[who] = {name: sum(row.weight * row.metrics[name] for row in own) / whole for name in names}
    return found
