"""Which families differ on the test slides, and which beat the baselines: the statistics of test_slides.csv.

Families are compared on the replicates that both have (the same seeds) and all test slides. Holm's correction is over the
pairs of families; what is compared with a baseline is a question of its own and is corrected by itself. Before that, all
p-values are multiplied by the factor of the look at the test slides (`sweeps.looks`); the intervals' level follows it.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np

from sweeps.looks import corrected_for_looks, looks_level
from sweeps.seeding import derived_seed
from sweeps.slide_table import Kind, SlideRow, SlideValues, clusters_of, slide_values
from sweeps.stats import Comparison, compare, holm, interval
from sweeps.words import RECALLS


def intervals_of(rows: Sequence[SlideRow], kind: Kind, who: str, seed: int) -> dict[str, Any]:
    """`R@K` -> {value, low, high} of a family or baseline; empty without a row of it. `seed`: of the sweep."""
    found = {}
    for metric in RECALLS:
        own = slide_values(rows, kind, who, metric)
        if own.values.size:
            estimate = interval(own.values, clusters_of(rows, own.slides), derived_seed(seed, "interval"))
            # A recall lies in 0..1; with two slides the interval would not.
            low = None if estimate.low is None else max(0.0, estimate.low)
            high = None if estimate.high is None else min(1.0, estimate.high)
            found[metric] = {"value": estimate.value, "low": low, "high": high}
    return found


def compare_all(
    rows: Sequence[SlideRow], families: Sequence[str], baselines: Sequence[str], seed: int, looks: int = 1
) -> list[dict[str, Any]]:
    """Every pair of families, then every family with every baseline, as summary.json holds them (`sweeps.summary`).

    `looks`: how often the test slides have been read, this time included.
    """
    pairs: list[tuple[Kind, str, str]] = [("family", a, b) for a, b in combinations(families, 2)]
    against: list[tuple[Kind, str, str]] = [("baseline", a, b) for b in baselines for a in families]
    found = []
    for group in (pairs, *([pair for pair in against if pair[2] == b] for b in baselines)):
        found_of = (_entry(rows, kind, a, b, seed, looks_level(looks)) for kind, a, b in group)
        entries = [entry for entry in found_of if entry is not None]
        for metric in RECALLS:
            corrected = holm(corrected_for_looks([entry["metrics"][metric]["p"] for entry in entries], looks))
            for entry, p in zip(entries, corrected, strict=True):
                entry["metrics"][metric]["p_holm"] = p
        found += entries
    return found


def _entry(
    rows: Sequence[SlideRow], kind: Kind, a: str, b: str, seed: int, level: float
) -> dict[str, Any] | None:
    """One comparison; None when the two have no replicate or slide in common."""
    metrics: dict[str, Any] = {}
    one: Comparison | None = None
    for metric in RECALLS:
        first, second = slide_values(rows, "family", a, metric), slide_values(rows, kind, b, metric)
        paired = _paired(first, second, kind)
        if paired is None:
            return None
        one = compare(*paired, clusters_of(rows, first.slides), derived_seed(seed, "compare"), level)
        metrics[metric] = {
            "difference": one.difference.value,
            "low": one.difference.low,
            "high": one.difference.high,
            "p": one.p,
            "detectable": one.detectable,
        }
    assert one is not None
    return {
        "a": a,
        "b": b,
        "kind": "families" if kind == "family" else "baseline",
        "seeds": one.seeds,
        "slides": one.slides,
        "clusters": one.clusters,
        "metrics": metrics,
    }


def _paired(first: SlideValues, second: SlideValues, kind: Kind) -> tuple[np.ndarray, np.ndarray] | None:
    """Both on the replicates they share. A baseline without seeds has one row, which stands against each of the other's."""
    if not first.values.size or not second.values.size or first.slides != second.slides:
        return None
    if kind == "baseline" and len(second.replicates) == 1:
        return first.values, second.values
    common = [r for r in first.replicates if r in second.replicates]
    if not common:
        return None
    rows_a = [first.replicates.index(r) for r in common]
    rows_b = [second.replicates.index(r) for r in common]
    return first.values[rows_a], second.values[rows_b]
