"""Trial records, metrics and test slides that no training made."""

from __future__ import annotations

import numpy as np

from sweeps.analysis.choice import choose
from sweeps.analysis.summary import BaselineFound, Found, build_summary
from sweeps.results.records import TrialRecord
from sweeps.results.slide_rows import SlideRow

MACHINE = {"host": "node-a", "cpu": "A CPU", "cores": 8, "memory_gb": 33.6, "gpus": [], "held_cpus": 2.0, "held_gpus": 0.0,
           "peak_memory_mb": 700.5, "peak_device_memory_mb": None, "parameters": 12345}  # fmt: skip


def record(family="spatial", number=0, state="COMPLETE", params=None, metrics=None, error=None, machine=None):
    return TrialRecord(
        family=family,
        number=number,
        name=f"{family}-{number:04d}",
        state=state,
        params={"model.temperature": 0.07} if params is None else params,
        metrics={} if metrics is None else metrics,
        epochs=20,
        seconds=11.25,
        error=error,
        seed=number + 100,
        machine=machine or {},
    )


def scores(r10, chance=0.05, split="val"):
    return {f"{split}/R@10": r10, f"{split}/chance_R@10": chance}


def levels(split, r10, chance_1=0.01):
    """R@1, R@5 and R@10 in fixed ratios, and their chance levels."""
    return {
        f"{split}/{name}": value for name, value in {**_levels(r10, chance_1), "median_rank": 5.0}.items()
    }


def _levels(r10, chance_1):
    """A neighbour is found half again as often as the spot, by chance four times as often."""
    found = {}
    for name, share, size in (("R@1", 0.25, 1), ("R@5", 0.5, 5), ("R@10", 1.0, 10)):
        chance = size * chance_1
        found |= {name: share * r10, f"chance_{name}": chance}
        found |= {f"ring_{name}": min(1.0, 1.5 * share * r10), f"chance_ring_{name}": min(1.0, 4 * chance)}
    return found


def slide_rows(who, r10, kind="family", donors=(), chance_1=0.01, number=0, weight=1.0):
    """test_slides.csv of one baseline, or one configuration of a family (trial `number`), from R@10 as [S seeds][L slides];
    slides are E0, E1, ..."""
    configuration = f"{who}-{number:04d}" if kind == "family" else ""
    return [
        SlideRow(
            kind=kind,
            who=who,
            name=f"{configuration}-confirm-{replicate}" if kind == "family" else "",
            replicate=replicate,
            seed=None if who == "cca" else 500 + replicate,
            slide=f"E{place}",
            donor=donors[place] if donors else "",
            spots=100,
            metrics={**_levels(value, chance_1), "median_rank": 5.0},
            configuration=configuration,
            weight=weight,
        )
        for replicate, values in enumerate(r10)
        for place, value in enumerate(values)
    ]


def confirmed(family, r10, val=0.3, val_step=0.01, failed=(), number=0):
    """The confirmation's trials that `slide_rows` would be of; `failed` are replicates that did not make it."""
    found = []
    for replicate, values in enumerate(r10):
        name = f"{family}-{number:04d}-confirm-{replicate}"
        state, error = ("FAIL", "MemoryError: out") if replicate in failed else ("COMPLETE", None)
        metrics = {
            **levels("val", val + val_step * (replicate - (len(r10) - 1) / 2)),
            **levels("test", float(np.mean(values))),
        }
        found.append(
            TrialRecord(
                family, replicate, name, state, {}, metrics, 20, 11.25, error, 500 + replicate, {"E0": {}}
            )
        )
    return found


def summary(
    records,
    budgets,
    rows=(),
    baselines=None,
    confirmed=(),
    seeds=0,
    metric="val/R@10",
    status="complete",
    source="given",
    configurations=1,
    reads=(),
    to_go=0,
):
    """summary.json's content; `baselines`: name -> (val, test) metrics. `source`: of every family's configurations."""
    chosen = {family: choose(records, family, metric, "max", configurations) for family in budgets}
    found = Found(
        records=records,
        budgets=budgets,
        sources=dict.fromkeys(budgets, source),
        chosen={family: best for family, best in chosen.items() if best},
        metric=metric,
        mode="max",
        confirm_seeds=seeds,
        confirmed=confirmed,
        rows=list(rows),
        baselines={name: BaselineFound(val, test, {}) for name, (val, test) in (baselines or {}).items()},
        seed=0,
        margin=0.01,
        confirm_to_go=to_go,
        test_reads=reads,
    )
    return build_summary(found, status, 65.26, {"torch": "2.13.0"})
