"""Trial records and metrics that no training made."""

from __future__ import annotations

from sweeps.records import TrialRecord
from sweeps.summary import build_summary


def record(family="spatial", number=0, state="COMPLETE", params=None, metrics=None, error=None):
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
    )


def scores(r10, chance=0.05, split="val"):
    return {f"{split}/R@10": r10, f"{split}/chance_R@10": chance}


def levels(split, r10, chance_1=0.01):
    """R@1, R@5 and R@10 in fixed ratios, and their chance levels."""
    values = {"R@1": r10 / 4, "R@5": r10 / 2, "R@10": r10}
    chance = {"chance_R@1": chance_1, "chance_R@5": 5 * chance_1, "chance_R@10": 10 * chance_1}
    return {f"{split}/{name}": value for name, value in (values | chance).items()}


def summary(records, budgets, tests=None, baselines=None, metric="val/R@10", mode="max"):
    return build_summary(
        records, budgets, metric, mode, tests or {}, baselines or {}, "complete", 61.26, {"torch": "2.13.0"}
    )
