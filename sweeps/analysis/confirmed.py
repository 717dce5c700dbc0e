"""What the confirmation of one family found: its winner's numbers, and those of the family."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sweeps.results.records import Chosen, TrialRecord, configuration_of, mean_metrics, of_split
from sweeps.text import last_line


@dataclass(frozen=True)
class ConfirmedFamily:
    """`winner_test`, `test`: means over the seeds, of the winner and weighted over all configurations; empty without one
    training that came to its end. `entry`: `confirm` of summary.json; None where there was no confirmation."""

    winner_test: dict[str, float]
    test: dict[str, float]
    entry: dict[str, Any] | None


def confirmed_family(again: Sequence[TrialRecord], chosen: Sequence[Chosen]) -> ConfirmedFamily:
    """`again`: the family's trials of the confirmation. `chosen`: its configurations, the winner first."""
    if not again:
        return ConfirmedFamily({}, {}, None)
    configurations = [_configuration(again, one) for one in chosen]
    first = [r for r in again if r.state == "COMPLETE" and configuration_of(r) == chosen[0].record.name]
    vals = [of_split(r.metrics, "val") for r in first]
    means = mean_metrics(vals)
    entry = {
        "trials": [r.name for r in again],
        "seeds": len(first),
        "failed": [{"name": r.name, "reason": last_line(r.error or "")} for r in again if r.state == "FAIL"],
        "val": means,
        "val_sd": {name: statistics.stdev(val[name] for val in vals) for name in means if len(vals) > 1},
        "configurations": configurations,
    }
    return ConfirmedFamily(configurations[0]["test"], _weighted(configurations), entry)


def _configuration(again: Sequence[TrialRecord], one: Chosen) -> dict[str, Any]:
    done = [r for r in again if r.state == "COMPLETE" and configuration_of(r) == one.record.name]
    return {
        "name": one.record.name,
        "params": dict(one.record.params),
        "weight": one.weight,
        "seeds": len(done),
        "val": mean_metrics([of_split(r.metrics, "val") for r in done]),
        "test": mean_metrics([of_split(r.metrics, "test") for r in done]),
    }


def _weighted(configurations: Sequence[dict[str, Any]]) -> dict[str, float]:
    there = [one for one in configurations if one["test"]]
    whole = sum(one["weight"] for one in there)
    names = mean_metrics([one["test"] for one in there])
    return {name: sum(one["weight"] * one["test"][name] for one in there) / whole for name in names}
