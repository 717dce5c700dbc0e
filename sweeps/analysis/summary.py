"""What a sweep found, as one mapping: winners, their confirmation, baselines, comparisons, and a verdict in words.

    {status, metric, mode, margin, seconds, verdict, versions, warnings, stopped_because, interruptions,
     confirmation: {configurations, seeds, to_go, slides, clusters, donors_known, seconds} | null,
     test_reads: [{number, when, run, trials, budget, seeds, models}],
     families: {<family>: {trials: {budget, complete, pruned, failed, running}, reason,
                           best: {trial, name, params, epochs, seconds, seed,
                                  val: {R@1: ...}, test: {R@1: ...}} | null,
                           confirm: {trials, seeds, failed: [{name, reason}], val: {R@1: ...}, val_sd: {R@1: ...},
                                     configurations: [{name, params, weight, seeds, val, test}]} | null,
                           test: {R@1: ...},
                           test_intervals: {R@1: {value, low, high}, ...},
                           best_of_n: {n: [...], value: [...], low: [...], high: [...]} | null}},
     baselines: {<name>: {val: {R@1: ...}, test: {...}, params, test_intervals}},
     comparisons: [{a, b, kind, covers_search, configurations: [of a, of b], searches, seeds, slides, clusters,
                    metrics: {R@1: {difference, low, high, p, p_holm, detectable, outcome,
                                    variance: {search, slide, seed, rest}}, ...}}]}

Metrics in it are named without their split (`R@10`, `chance_R@10`), which is the key above them. `best` is the search's
winner, a configuration: `best.val` is the search's own number, `best.test` the mean over the winner's confirmation. `test` and
`test_intervals` are the family's: the weighted mean over its confirmed configurations (see `sweeps.analysis.family_stats`).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sweeps.analysis.best_of_n import best_curve
from sweeps.analysis.comparison import compare_all, intervals_of
from sweeps.analysis.confirmed import confirmed_family
from sweeps.analysis.family_stats import Source
from sweeps.analysis.verdict import verdict
from sweeps.results.records import Chosen, TrialRecord, of_split
from sweeps.results.slide_rows import SlideRow, clusters_of
from sweeps.text import last_line, many

Metrics = Mapping[str, float]
STATES = {"COMPLETE": "complete", "PRUNED": "pruned", "FAIL": "failed", "RUNNING": "running"}


@dataclass(frozen=True)
class BaselineFound:
    """A baseline's metrics, with or without the split in their names; `params`: what was chosen on val."""

    val: Metrics
    test: Metrics
    params: Metrics


@dataclass(frozen=True)
class Found:
    """All that a summary is made of."""

    records: Sequence[TrialRecord]  # every trial of the search
    budgets: Mapping[str, int]  # family -> trials planned; its order is the order of the families everywhere
    sources: Mapping[str, Source]  # family -> where its configurations come from
    # Family -> its best configurations, the winner first; none: not in it.
    chosen: Mapping[str, Sequence[Chosen]]
    metric: str  # the logged name the winners are chosen by, such as `val/R@10`
    mode: Literal["max", "min"]
    confirm_seeds: int  # of each family; 0: no confirmation was wanted
    confirmed: Sequence[TrialRecord]  # the confirmation's trials; without test results until all have ended
    rows: Sequence[SlideRow]  # test_slides.csv
    baselines: Mapping[str, BaselineFound]
    seed: int  # of the sweep
    margin: float  # differences of recall below it do not matter
    confirm_to_go: int = 0  # trainings of the confirmation that have not ended
    test_reads: Sequence[Mapping[str, Any]] = ()  # see `sweeps.results.readings`


def build_summary(found: Found, status: str, seconds: float, versions: Mapping[str, str]) -> dict[str, Any]:
    """The content of summary.json, without what only the driver knows (warnings, interruptions).

    Args:
        found: what the trials found.
        status: `complete`, `interrupted` or `stopped`.
        seconds: wall time of the sweep.
        versions: see `sweeps.planning.versions`.
    """
    summary = {
        "status": status,
        "metric": found.metric,
        "mode": found.mode,
        "margin": found.margin,
        "seconds": round(seconds, 1),
        "verdict": "",
        "confirmation": _confirmation(found),
        "families": {family: _family(found, family) for family in found.budgets},
        "baselines": {name: _baseline(found, name) for name in found.baselines},
        "comparisons": compare_all(
            found.rows, found.sources, list(found.baselines), found.margin, max(1, len(found.test_reads))
        ),
        "test_reads": list(found.test_reads),
        "versions": dict(versions),
    }
    return {**summary, "verdict": verdict(summary)}


def _confirmation(found: Found) -> dict[str, Any] | None:
    if not found.confirmed and not found.confirm_to_go:
        return None
    slides = list(dict.fromkeys(row.slide for row in found.rows if row.kind == "family"))
    clusters = clusters_of(found.rows, slides)
    return {
        "configurations": max(len(chosen) for chosen in found.chosen.values()),
        "seeds": found.confirm_seeds,
        "to_go": found.confirm_to_go,
        "slides": len(slides),
        "clusters": len(set(clusters.tolist())),
        "donors_known": any(row.donor for row in found.rows),
        "seconds": round(sum(record.seconds for record in found.confirmed), 1),
    }


def _family(found: Found, family: str) -> dict[str, Any]:
    own = [r for r in found.records if r.family == family]
    budget = found.budgets[family]
    counts = Counter(STATES[r.state] for r in own)
    trials = {"budget": budget, **{state: counts[state] for state in STATES.values()}}
    chosen = found.chosen.get(family, ())
    if not chosen:
        return {"trials": trials, "best": None, "reason": why_no_winner(own, budget), "confirm": None,
                "test": {}, "test_intervals": {}, "best_of_n": None}  # fmt: skip
    winner = chosen[0].record
    again = confirmed_family([r for r in found.confirmed if r.family == family], chosen)
    best = {
        "trial": winner.number,
        "name": winner.name,
        "params": dict(winner.params),
        "epochs": winner.epochs,
        "seconds": round(winner.seconds, 3),
        "seed": winner.seed,
        "val": of_split(winner.metrics, "val"),
        "test": again.winner_test,
    }
    return {
        "trials": trials,
        "best": best,
        "reason": None,
        "confirm": again.entry,
        "test": again.test,
        "test_intervals": intervals_of(found.rows, "family", family, found.sources[family]),
        "best_of_n": _best_of_n(own, found),
    }


def _best_of_n(own: Sequence[TrialRecord], found: Found) -> dict[str, Any] | None:
    """The expected best value against the number of trials. A pruned trial counts with the value it was pruned at, one that
    failed, or whose value is no finite number, as the worst: it took its place in the budget and gave nothing."""
    ended = [r for r in own if r.state != "RUNNING"]
    given = [r.metrics.get(found.metric, math.nan) for r in ended if r.state != "FAIL"]
    values = [value for value in given if math.isfinite(value)]
    if not values:
        return None
    worst = min(values) if found.mode == "max" else max(values)
    values += [worst] * (len(ended) - len(values))
    curve = best_curve(values, found.mode, found.seed)
    return {"n": list(range(1, len(values) + 1)), "value": curve.value, "low": curve.low, "high": curve.high}


def _baseline(found: Found, name: str) -> dict[str, Any]:
    baseline = found.baselines[name]
    return {
        "val": of_split(baseline.val, "val"),
        "test": of_split(baseline.test, "test"),
        "params": dict(baseline.params),
        "test_intervals": intervals_of(found.rows, "baseline", name, "given"),
    }


def why_no_winner(own: Sequence[TrialRecord], budget: int) -> str:
    """One line: how a family's trials ended, and the most common reason of those that failed."""
    if not own:
        return f"none of its {many(budget, 'trial')} was started"
    counts = Counter(STATES[r.state] for r in own)
    ends = ", ".join(f"{counts[state]} {state}" for state in STATES.values() if counts[state])
    text = f"no trial gave a value ({ends} of {budget})"
    common = common_reasons(own)
    if common:
        reason, times = common[0]
        text += f"; most common reason ({times} of {many(counts['failed'], 'failure')}): {reason}"
    return text


def common_reasons(records: Sequence[TrialRecord]) -> list[tuple[str, int]]:
    """(reason, how many trials failed of it), most common first; a reason is an error's last line."""
    return Counter(last_line(r.error or "") for r in records if r.state == "FAIL").most_common()
