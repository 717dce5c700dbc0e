"""Which families differ on the test slides, and which beat the baselines: the statistics of test_slides.csv.

Families are compared on the replicates that both have (the same seeds) and all test slides. Holm's correction is over the
pairs of families; what is compared with a baseline is a question of its own and is corrected by itself. Before that, all
p-values are multiplied by the factor of the look at the test slides (`sweeps.analysis.looks`); the intervals' level follows it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np

from sweeps.analysis.family_stats import FamilyTable, Source, compare_families, family_estimate
from sweeps.analysis.looks import corrected_for_looks, looks_level
from sweeps.analysis.outcome import outcome_of
from sweeps.analysis.stats import holm
from sweeps.results.slide_rows import Kind, SlideRow, SlideValues, clusters_of, slide_values
from sweeps.text import RECALLS


def intervals_of(rows: Sequence[SlideRow], kind: Kind, who: str, source: Source) -> dict[str, Any]:
    """`R@K` -> {value, low, high} of a family or baseline; empty without a row of it.

    Args:
        rows: test_slides.csv.
        source: where its configurations come from (see `sweeps.analysis.family_stats`).
    """
    found = {metric: estimate_of(rows, kind, who, metric, source, (0.0, 1.0)) for metric in RECALLS}
    return {metric: one for metric, one in found.items() if one is not None}


def estimate_of(
    rows: Sequence[SlideRow], kind: Kind, who: str, metric: str, source: Source, ends: tuple[float, float]
) -> dict[str, float | None] | None:
    """{value, low, high} of any metric; None without a row. `ends`: what the metric lies between, and the interval too."""
    own = slide_values(rows, kind, who, metric)
    if not own.values.size:
        return None
    table = _table(own, _shared_replicates(own), source)
    estimate = family_estimate(table, clusters_of(rows, own.slides))
    low = None if estimate.low is None else max(ends[0], estimate.low)
    high = None if estimate.high is None else min(ends[1], estimate.high)
    return {"value": estimate.value, "low": low, "high": high}


def compare_all(
    rows: Sequence[SlideRow],
    sources: Mapping[str, Source],
    baselines: Sequence[str],
    margin: float,
    looks: int = 1,
) -> list[dict[str, Any]]:
    """Every pair of families, then every family with every baseline, as summary.json holds them (`sweeps.analysis.summary`).

    Args:
        rows: test_slides.csv.
        sources: family -> where its configurations come from; its order is the order of the families.
        baselines: their names.
        margin: differences below it do not matter (see `sweeps.analysis.outcome`).
        looks: how often the test slides have been read, this time included.
    """
    families = list(sources)
    pairs: list[tuple[Kind, str, str]] = [("family", a, b) for a, b in combinations(families, 2)]
    against: list[tuple[Kind, str, str]] = [("baseline", a, b) for b in baselines for a in families]
    found = []
    for group in (pairs, *([pair for pair in against if pair[2] == b] for b in baselines)):
        found_of = (_entry(rows, sources, kind, a, b, looks_level(looks)) for kind, a, b in group)
        entries = [entry for entry in found_of if entry is not None]
        for metric in RECALLS:
            corrected = holm(corrected_for_looks([entry["metrics"][metric]["p"] for entry in entries], looks))
            for entry, p in zip(entries, corrected, strict=True):
                one = entry["metrics"][metric]
                one["p_holm"] = p
                one["outcome"] = outcome_of(one, entry["covers_search"], margin)
        found += entries
    return found


def _entry(
    rows: Sequence[SlideRow], sources: Mapping[str, Source], kind: Kind, a: str, b: str, level: float
) -> dict[str, Any] | None:
    """One comparison; None when the two have no replicate or slide in common."""
    metrics: dict[str, Any] = {}
    paired: tuple[FamilyTable, FamilyTable] | None = None
    for metric in RECALLS:
        first, second = slide_values(rows, "family", a, metric), slide_values(rows, kind, b, metric)
        paired = (
            _paired(first, second, sources[a], sources[b])
            if kind == "family"
            else _against(first, second, sources[a])
        )
        if paired is None:
            return None
        one = compare_families(*paired, clusters_of(rows, first.slides), level)
        metrics[metric] = {
            "difference": one.difference.value,
            "low": one.difference.low,
            "high": one.difference.high,
            "p": one.p,
            "detectable": one.detectable,
            "variance": {
                "search": one.search,
                "slide": one.effects.slide,
                "seed": one.effects.seed,
                "rest": one.effects.rest,
            },
        }
    assert paired is not None
    return {
        "a": a,
        "b": b,
        "kind": "families" if kind == "family" else "baseline",
        "covers_search": one.covers_search,
        "configurations": [len(table.values) for table in paired],
        "searches": min((len(t.values) for t in paired if t.source == "several searches"), default=1),
        "seeds": one.seeds,
        "slides": one.slides,
        "clusters": one.clusters,
        "metrics": metrics,
    }


def _paired(
    first: SlideValues, second: SlideValues, source: Source, other: Source
) -> tuple[FamilyTable, FamilyTable] | None:
    """Two families on the replicates they share; None where there is none."""
    if not first.values.size or not second.values.size or first.slides != second.slides:
        return None
    shared = _shared_replicates(first, second)
    return (_table(first, shared, source), _table(second, shared, other)) if shared else None


def _against(
    family: SlideValues, baseline: SlideValues, source: Source
) -> tuple[FamilyTable, FamilyTable] | None:
    """The same with a baseline; one without seeds (CCA) stands against each of the family's."""
    if len(baseline.replicates) != 1 or not family.values.size or family.slides != baseline.slides:
        return _paired(family, baseline, source, "given")
    own = _table(family, _shared_replicates(family), source)
    return own, _table(baseline, baseline.replicates, "given")


def _shared_replicates(*tables: SlideValues) -> tuple[int, ...]:
    """The replicates to compare on; none when there is none that each table has.

    Trainings that failed or were cut off leave holes. Of the ways to cut them out (fewer replicates, or fewer
    configurations), the one that keeps most trainings of the table that keeps least; of equals the one with more replicates.
    """
    there = [{r: _trained(table)[:, place] for place, r in enumerate(table.replicates)} for table in tables]
    known = set.intersection(*(set(own) for own in there))
    order = sorted(known, key=lambda r: (-min(int(own[r].sum()) for own in there), r))
    best: tuple[int, ...] = ()
    most = 0
    for count in range(1, len(order) + 1):
        kept = order[:count]
        size = count * min(int(np.all([own[r] for r in kept], axis=0).sum()) for own in there)
        if size >= most and size:
            best, most = tuple(sorted(kept)), size
    return best


def _trained(table: SlideValues) -> np.ndarray:
    """bool [M, S]: which trainings there are."""
    return np.asarray(~np.isnan(table.values).any(2))


def _table(own: SlideValues, replicates: Sequence[int], source: Source) -> FamilyTable:
    """The configurations that have all of these replicates; their weights scaled to sum 1."""
    places = [own.replicates.index(replicate) for replicate in replicates]
    whole = _trained(own)[:, places].all(1)
    weights = own.weights[whole]
    return FamilyTable(own.values[whole][:, places], weights / weights.sum(), source)
