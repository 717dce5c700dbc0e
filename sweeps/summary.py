"""What a sweep found, as one mapping: winners, their confirmation, baselines, comparisons, and a verdict in words.

    {status, metric, mode, seconds, verdict, versions, warnings, stopped_because, interruptions,
     confirmation: {seeds, to_go, slides, clusters, donors_known, seconds} | null,
     test_reads: [{number, when, run, trials, budget, seeds, models}],
     families: {<family>: {trials: {budget, complete, pruned, failed, running}, reason,
                           best: {trial, name, params, epochs, seconds, seed,
                                  val: {R@1: ...}, test: {R@1: ...}} | null,
                           confirm: {trials, seeds, failed: [{name, reason}], val: {R@1: ...}, val_sd: {R@1: ...}} | null,
                           test_intervals: {R@1: {value, low, high}, ...},
                           best_of_n: {n: [...], value: [...], low: [...], high: [...]} | null}},
     baselines: {<name>: {val: {R@1: ...}, test: {...}, params, test_intervals}},
     comparisons: [{a, b, kind, seeds, slides, clusters,
                    metrics: {R@1: {difference, low, high, p, p_holm, detectable}, ...}}]}

Metrics in it are named without their split (`R@10`, `chance_R@10`), which is the key above them. `best.val` is the search
winner's; `best.test` is the mean over the confirmation's seeds.
"""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sweeps.best_of_n import best_curve
from sweeps.comparison import compare_all, intervals_of
from sweeps.records import TrialRecord, best_record, mean_metrics
from sweeps.slide_table import SlideRow, clusters_of
from sweeps.verdict import verdict

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
    metric: str  # the logged name the winners are chosen by, such as `val/R@10`
    mode: Literal["max", "min"]
    confirm_seeds: int  # of each family; 0: no confirmation was wanted
    confirmed: Sequence[TrialRecord]  # the confirmation's trials; without test results until all have ended
    rows: Sequence[SlideRow]  # test_slides.csv
    baselines: Mapping[str, BaselineFound]
    seed: int  # of the sweep; the bootstrap's too
    confirm_to_go: int = 0  # trainings of the confirmation that have not ended
    test_reads: Sequence[Mapping[str, Any]] = ()  # see `sweeps.readings`


def build_summary(found: Found, status: str, seconds: float, versions: Mapping[str, str]) -> dict[str, Any]:
    """The content of summary.json, without what only the driver knows (warnings, interruptions).

    Args:
        found: what the trials found.
        status: `complete`, `interrupted` or `stopped`.
        seconds: wall time of the sweep.
        versions: see `sweeps.versions`.
    """
    summary = {
        "status": status,
        "metric": found.metric,
        "mode": found.mode,
        "seconds": round(seconds, 1),
        "verdict": "",
        "confirmation": _confirmation(found),
        "families": {family: _family(found, family) for family in found.budgets},
        "baselines": {name: _baseline(found, name) for name in found.baselines},
        "comparisons": compare_all(
            found.rows, list(found.budgets), list(found.baselines), found.seed, max(1, len(found.test_reads))
        ),
        "test_reads": list(found.test_reads),
        "versions": dict(versions),
    }
    return {**summary, "verdict": verdict(summary)}


def _confirmation(found: Found) -> dict[str, Any] | None:
    if not found.confirmed:
        return None
    slides = list(dict.fromkeys(row.slide for row in found.rows if row.kind == "family"))
    clusters = clusters_of(found.rows, slides)
    return {
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
    winner = best_record(own, family, found.metric, found.mode)
    if winner is None:
        return {"trials": trials, "best": None, "reason": why_no_winner(own, budget), "confirm": None,
                "test_intervals": {}, "best_of_n": None}  # fmt: skip
    again = [r for r in found.confirmed if r.family == family]
    best = {
        "trial": winner.number,
        "name": winner.name,
        "params": dict(winner.params),
        "epochs": winner.epochs,
        "seconds": round(winner.seconds, 3),
        "seed": winner.seed,
        "val": _of_split(winner.metrics, "val"),
        "test": mean_metrics([_of_split(r.metrics, "test") for r in again if r.state == "COMPLETE"]),
    }
    return {
        "trials": trials,
        "best": best,
        "reason": None,
        "confirm": _confirm(again) if again else None,
        "test_intervals": intervals_of(found.rows, "family", family, found.seed),
        "best_of_n": _best_of_n(own, found),
    }


def _confirm(again: Sequence[TrialRecord]) -> dict[str, Any]:
    done = [r for r in again if r.state == "COMPLETE"]
    vals = [_of_split(r.metrics, "val") for r in done]
    means = mean_metrics(vals)
    return {
        "trials": [r.name for r in again],
        "seeds": len(done),
        "failed": [{"name": r.name, "reason": last_line(r.error or "")} for r in again if r.state == "FAIL"],
        "val": means,
        "val_sd": {name: statistics.stdev(val[name] for val in vals) for name in means if len(vals) > 1},
    }


def _best_of_n(own: Sequence[TrialRecord], found: Found) -> dict[str, Any] | None:
    """The expected best value against the number of trials. A pruned trial counts with the value it was pruned at, a
    failed one as the worst: it took its place in the budget and gave nothing."""
    ended = [r for r in own if r.state != "RUNNING"]
    values = [r.metrics[found.metric] for r in ended if r.state != "FAIL" and found.metric in r.metrics]
    if not values:
        return None
    worst = min(values) if found.mode == "max" else max(values)
    values += [worst] * (len(ended) - len(values))
    curve = best_curve(values, found.mode, found.seed)
    return {"n": list(range(1, len(values) + 1)), "value": curve.value, "low": curve.low, "high": curve.high}


def _baseline(found: Found, name: str) -> dict[str, Any]:
    baseline = found.baselines[name]
    return {
        "val": _of_split(baseline.val, "val"),
        "test": _of_split(baseline.test, "test"),
        "params": dict(baseline.params),
        "test_intervals": intervals_of(found.rows, "baseline", name, found.seed),
    }


def _of_split(metrics: Metrics, split: str) -> dict[str, float]:
    """The metrics of one split without its prefix; names without any prefix are taken as that split's."""
    named = {name.removeprefix(f"{split}/"): value for name, value in metrics.items()}
    return {name: value for name, value in named.items() if "/" not in name}


def why_no_winner(own: Sequence[TrialRecord], budget: int) -> str:
    """One line: how a family's trials ended, and the most common reason of those that failed."""
    if not own:
        return f"none of its {budget} trials was started"
    counts = Counter(STATES[r.state] for r in own)
    ends = ", ".join(f"{counts[state]} {state}" for state in STATES.values() if counts[state])
    text = f"no trial gave a value ({ends} of {budget})"
    common = common_reasons(own)
    if common:
        reason, times = common[0]
        text += f"; most common reason ({times} of {counts['failed']} failures): {reason}"
    return text


def common_reasons(records: Sequence[TrialRecord]) -> list[tuple[str, int]]:
    """(reason, how many trials failed of it), most common first; a reason is an error's last line."""
    return Counter(last_line(r.error or "") for r in records if r.state == "FAIL").most_common()


def last_line(error: str) -> str:
    """The line of an error or traceback that says what happened."""
    lines = [line.strip() for line in error.splitlines() if line.strip()]
    return lines[-1] if lines else "no reason recorded"


def lift(metrics: Metrics, name: str) -> float | None:
    """`metrics[name]` over its chance level; None when either is missing or chance is 0."""
    value, chance = metrics.get(name), metrics.get(f"chance_{name}")
    known = value is not None and chance is not None and math.isfinite(value) and chance > 0
    return value / chance if known else None  # type: ignore[operator]
