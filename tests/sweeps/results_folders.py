"""Results folders that no sweep wrote, whole enough for a report."""

from __future__ import annotations

from sweeps.results.folder import ResultsFolder
from tests.sweeps import made_up
from tests.sweeps.made_up import levels

SPACE = {
    "name": "spatial",
    "about": "both losses",
    "trials": 5,
    "epochs": 20,
    "early_stopping": {"first_rung": 4, "factor": 3},
    "families": {
        "soft": {
            "loss": {"name": "spatial"},
            "overrides": {"data": {"num_neighbors": 4}},
            "first": [{"model.temperature": 0.07}],
            "parameters": {
                "loss.neighbor_alpha_scale": {"type": "float", "low": 0.0, "high": 2.0, "log": False},
                "model.temperature": {"type": "float", "low": 0.01, "high": 1.0, "log": True},
                "data.batching": {
                    "type": "choice",
                    "low": None,
                    "high": None,
                    "values": ["random", "neighborhood"],
                },
            },
        },
        "clip": {"loss": {"name": "clip"}, "parameters": {}},
    },
}
SWEEP = {
    "name": "a",
    "command": "python sweeps/run.py --space spatial",
    "started": "2026-11-24 10:00:00",
    "seed": 0,
    "space": SPACE,
    "budget": {"trials": 5, "epochs": 20},
    "data": {"dataset": "synthetic_medium", "fingerprint": "0123abcd", "test": {"slides": 10, "spots": 800}},
}


def record(family="soft", number=0, state="COMPLETE", params=None, metrics=None, error=None):
    metrics = levels("val", 0.3) if metrics is None else metrics
    return made_up.record(family, number, state, params or {}, metrics, error)


def folder_of(
    path, records, sweep=SWEEP, rows=(), baselines=None, confirmed=(), seeds=0, budgets=None, reads=()
):
    folder = ResultsFolder(path)
    folder.create(sweep)
    folder.write_trials_csv(records)
    budgets = budgets or {"soft": 5, "clip": 5}
    folder.write_summary(made_up.summary(records, budgets, rows, baselines, confirmed, seeds, reads=reads))
    return folder


def many(**options):
    """Enough complete trials that nothing is warned about their number."""
    return [record(number=i, **options) for i in range(4)] + [record("clip", i) for i in range(4)]
