"""What a sweep took to compute, from what its trials' processes said of themselves (see `sweeps.trial.machine`).

    {search: {trials, cpu_hours, gpu_hours, peak_memory_mb, peak_device_memory_mb, not_known},
     confirmation: the same | null,
     nodes: [{host, cpu, cores, memory_gb, gpus: [...], trials}],
     parameters: {<family>: trained parameters of its winner | null}}

`not_known`: trials that said nothing, since they ended before their first report or are of a version before; they are in no
other number but `trials`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sweeps.results.records import TrialRecord


def compute_of(
    records: Sequence[TrialRecord], confirmed: Sequence[TrialRecord], winners: Mapping[str, TrialRecord]
) -> dict[str, Any]:
    """`records`, `confirmed`: trials of the search and of the confirmation. `winners`: family -> its best trial."""
    return {
        "search": _phase(records),
        "confirmation": _phase(confirmed) if confirmed else None,
        "nodes": _nodes([*records, *confirmed]),
        "parameters": {family: winner.machine.get("parameters") for family, winner in winners.items()},
    }


def _phase(records: Sequence[TrialRecord]) -> dict[str, Any]:
    known = [record for record in records if record.machine]
    return {
        "trials": len(records),
        "cpu_hours": _hours(known, "held_cpus"),
        "gpu_hours": _hours(known, "held_gpus"),
        "peak_memory_mb": _most(known, "peak_memory_mb"),
        "peak_device_memory_mb": _most(known, "peak_device_memory_mb"),
        "not_known": len(records) - len(known),
    }


def _hours(records: Sequence[TrialRecord], held: str) -> float:
    return sum(record.seconds * (record.machine.get(held) or 0.0) for record in records) / 3600


def _most(records: Sequence[TrialRecord], key: str) -> float | None:
    return max((value for record in records if (value := record.machine.get(key)) is not None), default=None)


def _nodes(records: Sequence[TrialRecord]) -> list[dict[str, Any]]:
    """Each host with what its trials saw of it; a trial sees only the GPUs that it was given."""
    found: dict[str, dict[str, Any]] = {}
    for machine in (record.machine for record in records if record.machine):
        facts = {key: machine.get(key) for key in ("host", "cpu", "cores", "memory_gb")}
        node = found.setdefault(str(machine.get("host")), {**facts, "gpus": [], "trials": 0})
        node["trials"] += 1
        node["gpus"] = sorted({*node["gpus"], *machine.get("gpus", [])})
    return [found[host] for host in sorted(found)]
