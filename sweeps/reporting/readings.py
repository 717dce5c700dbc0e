"""The report's section on the readings of the test slides, from summary.json's `test_reads` (see `sweeps.results.readings`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sweeps.analysis.looks import looks_factor
from sweeps.analysis.readings_told import trials_text
from sweeps.reporting.blocks import Block, Table

Tree = Mapping[str, Any]


def readings_section(summary: Tree) -> list[Block]:
    """A row a reading, and what they mean for p; nothing where there was none."""
    reads = summary.get("test_reads") or []
    if not reads:
        return []
    head = ("reading", "when", "run", "trials a family", "seeds", "models", "p is multiplied by")
    rows = [
        [
            str(one["number"]),
            str(one["when"]),
            "-" if one["run"] is None else str(one["run"]),
            f"{trials_text(one)} of {one['budget']}",
            str(one["seeds"]),
            "; ".join(f"{family}: {_names(names)}" for family, names in one["models"].items()),
            f"{looks_factor(one['number']):g}",
        ]
        for one in reads
    ]
    note = (
        "A reading is a confirmation with other winners or more seeds than the one before. A person may stop at any reading, "
        "so each has a share of the error of its own: 5 % for the first, and 1 % for all later ones together."
    )
    return [Table(head, rows), note]


def _names(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{names[0]} to {names[-1].rpartition('-')[2]}"
