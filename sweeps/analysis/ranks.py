"""What else the test slides say of a ranking: recall with a neighbour as a hit, and the median rank, with intervals.

    {families: {<family>: {ring_R@1: {value, low, high}, ..., median_rank: {...}}}, baselines: {...},
     chance: {ring_R@1: ..., median_rank: ...}}

A tile and its neighbour's genes are nearly the same tissue, so a neighbour in the partner's place is half a hit; the median
rank also tells models apart that find little among the first ten. Empty where the test slides were not read.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from sweeps.analysis.comparison import estimate_of
from sweeps.analysis.family_stats import Source
from sweeps.results.slide_rows import Kind, SlideRow
from sweeps.text import RECALLS

RING = tuple(f"ring_{name}" for name in RECALLS)
RANK = "median_rank"


def ranks_of(
    rows: Sequence[SlideRow], sources: Mapping[str, Source], baselines: Sequence[str]
) -> dict[str, Any]:
    """What has no row, or lacks a metric in one, is left out.

    Args:
        rows: test_slides.csv.
        sources: family -> where its configurations come from (see `sweeps.analysis.family_stats`).
        baselines: their names.
    """
    given: dict[str, Source] = dict.fromkeys(baselines, "given")
    kinds: tuple[tuple[Kind, str, Mapping[str, Source]], ...] = (
        ("family", "families", sources),
        ("baseline", "baselines", given),
    )
    found: dict[str, Any] = {
        title: {who: known for who, source in names.items() if (known := _of_one(rows, kind, who, source))}
        for kind, title, names in kinds
    }
    return {**found, "chance": _chance(rows)} if any(found.values()) else {}


def _of_one(rows: Sequence[SlideRow], kind: Kind, who: str, source: Source) -> dict[str, Any]:
    own = [row for row in rows if (row.kind, row.who) == (kind, who)]
    known = [name for name in (*RING, RANK) if own and all(name in row.metrics for row in own)]
    ends = {RANK: (1.0, math.inf)}
    return {name: estimate_of(rows, kind, who, name, source, ends.get(name, (0.0, 1.0))) for name in known}


def _chance(rows: Sequence[SlideRow]) -> dict[str, float]:
    """Of a random ranking, mean over the slides; its median rank is the middle of the gallery."""
    slides = list({row.slide: row for row in rows if f"chance_{RING[0]}" in row.metrics}.values())
    levels = {name: fmean(row.metrics[f"chance_{name}"] for row in slides) for name in RING if slides}
    every = {row.slide: row for row in rows}.values()
    return {**levels, RANK: fmean((row.spots + 1) / 2 for row in every)}
