"""What else the test slides say of a ranking: recall with a neighbour as a hit, and the median rank, with intervals.

    {families: {<family>: {ring_R@1: {value, low, high}, ..., median_rank: {...}}}, baselines: {...},
     chance: {ring_R@1: ..., median_rank: ...}}

A tile and its neighbour's genes are nearly the same tissue, so a neighbour in the partner's place is half a hit; the median
rank also tells models apart that find little among the first ten. Empty where the test slides were not read.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean
from typing import Any

from sweeps.seeding import derived_seed
from sweeps.slide_table import Kind, SlideRow, clusters_of, slide_values
from sweeps.stats import interval
from sweeps.words import RECALLS

RING = tuple(f"ring_{name}" for name in RECALLS)
RANK = "median_rank"


def ranks_of(
    rows: Sequence[SlideRow], families: Sequence[str], baselines: Sequence[str], seed: int
) -> dict[str, Any]:
    """`rows`: test_slides.csv. `seed`: of the sweep. What has no row, or lacks a metric in one, is left out."""
    kinds: tuple[tuple[Kind, str, Sequence[str]], ...] = (
        ("family", "families", families),
        ("baseline", "baselines", baselines),
    )
    found: dict[str, Any] = {
        title: {who: known for who in names if (known := _of_one(rows, kind, who, seed))}
        for kind, title, names in kinds
    }
    return {**found, "chance": _chance(rows)} if any(found.values()) else {}


def _of_one(rows: Sequence[SlideRow], kind: Kind, who: str, seed: int) -> dict[str, Any]:
    own = [row for row in rows if (row.kind, row.who) == (kind, who)]
    known = [name for name in (*RING, RANK) if own and all(name in row.metrics for row in own)]
    return {name: _interval(rows, kind, who, name, seed) for name in known}


def _interval(
    rows: Sequence[SlideRow], kind: Kind, who: str, name: str, seed: int
) -> dict[str, float | None]:
    """As those of R@K (`sweeps.comparison`), within what the metric can be."""
    own = slide_values(rows, kind, who, name)
    estimate = interval(own.values, clusters_of(rows, own.slides), derived_seed(seed, "interval"))
    least, most = (1.0, float("inf")) if name == RANK else (0.0, 1.0)
    low = None if estimate.low is None else max(least, estimate.low)
    high = None if estimate.high is None else min(most, estimate.high)
    return {"value": estimate.value, "low": low, "high": high}


def _chance(rows: Sequence[SlideRow]) -> dict[str, float]:
    """Of a random ranking, mean over the slides; its median rank is the middle of the gallery."""
    slides = list({row.slide: row for row in rows if f"chance_{RING[0]}" in row.metrics}.values())
    levels = {name: fmean(row.metrics[f"chance_{name}"] for row in slides) for name in RING if slides}
    every = {row.slide: row for row in rows}.values()
    return {**levels, RANK: fmean((row.spots + 1) / 2 for row in every)}
