"""Sections of a report beside the verdict: ring recall and median rank, groups of slides, what it took to compute.

From summary.json alone. One that was written before there were such numbers has no such sections.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sweeps.reporting.blocks import Block, Bullets, Section, Table
from sweeps.reporting.final_table import baseline_title
from sweeps.results.records import lift
from sweeps.text import RECALLS, many, number, recall_of

Tree = Mapping[str, Any]


def further_found(summary: Tree) -> list[Section]:
    """What else the test slides say."""
    groups = summary.get("groups") or {}
    return [
        Section("Ring recall and median rank", _ranks(summary.get("ranks") or {})),
        *(
            Section(f"Test recall by {key}", _groups(key, found, recall_of(summary["metric"])))
            for key, found in groups.items()
        ),
    ]


def _ranks(found: Tree) -> list[Block]:
    if not found:
        return []
    names = [*(f"ring_{name}" for name in RECALLS), "median_rank"]
    rows = [[family, *_cells(metrics, names)] for family, metrics in found["families"].items()]
    rows += [[baseline_title(who), *_cells(metrics, names)] for who, metrics in found["baselines"].items()]
    chance = found["chance"]
    rows.append(["chance", *(_value(name, chance.get(name)) for name in names)])
    note = (
        "On the test slides. Ring R@K: as R@K, but a neighbour of the spot is a hit too. Median rank: the place of a spot's "
        "partner among all spots of the slide, 1 is best; by chance it is the middle. Mean over both directions and over slides."
    )
    head = ["family", *(f"ring {name} (95 %)" for name in RECALLS), "median rank (95 %)"]
    return [Table(head, rows), note]


def _cells(metrics: Tree, names: list[str]) -> list[str]:
    cells = []
    for name in names:
        one = metrics.get(name) or {}
        text = _value(name, one.get("value"))
        if one.get("low") is not None:
            text += f" ({_value(name, one['low'])} to {_value(name, one['high'])})"
        cells.append(text)
    return cells


def _value(name: str, value: float | None) -> str:
    """A recall with three decimals, a rank with one."""
    return f"{value:.1f}" if name == "median_rank" and value is not None else number(value)


def _groups(key: str, found: list[Tree], recall: str) -> list[Block]:
    rows = []
    for one in found:
        size = [one["group"], str(one["slides"])]
        cca = [(baseline_title(who), metrics) for who, metrics in one["baselines"].items() if who == "cca"]
        for who, metrics in (*one["families"].items(), *cca):  # an untrained model is where chance is
            ratio = lift(metrics, recall)
            values = [number(metrics.get(name)) for name in (*RECALLS, f"chance_{recall}")]
            rows.append([*size, who, *values, "-" if ratio is None else f"{ratio:.1f}x"])
    note = (
        "Means over seeds and slides. They describe these slides: a group is too small for an interval, groups differ in the "
        "size of their galleries (see chance), and no difference between groups was tested."
    )
    return [Table([key, "slides", "family", *RECALLS, f"chance {recall}", f"lift {recall}"], rows), note]


def compute_section(summary: Tree) -> Section:
    """What it took: hours, machines, memory, parameters."""
    found = summary.get("compute") or {}
    lines = [_hours(title, found[title]) for title in ("search", "confirmation") if found.get(title)]
    lines += [_machine(node) for node in found.get("nodes") or []]
    sizes = {family: size for family, size in (found.get("parameters") or {}).items() if size is not None}
    if sizes:
        named = ", ".join(f"{family} {size:,}" for family, size in sizes.items())
        lines.append(f"Trained parameters of each family's winner: {named}")
    blocks: list[Block] = [Bullets(lines)] if lines else []
    if lines:
        blocks.append(
            "Hours: seconds from a trial's start to its last report, times the processors and GPUs that it held. Memory: the "
            "most that a trial's process held; on a GPU what PyTorch allocated there. The driver, the baselines and what Ray "
            "itself takes are not in it."
        )
    return Section("Compute", blocks)


def _hours(title: str, found: Tree) -> str:
    parts = [f"{found['cpu_hours']:.3g} CPU hours"]
    if found["gpu_hours"]:
        parts.append(f"{found['gpu_hours']:.3g} GPU hours")
    text = f"{title.capitalize()}: {many(found['trials'], 'trial')}, {' and '.join(parts)}"
    peaks = (("memory", found["peak_memory_mb"]), ("GPU memory", found["peak_device_memory_mb"]))
    text += "".join(f", peak {what} of a trial {peak:,.0f} MB" for what, peak in peaks if peak)
    if found["not_known"]:
        text += f" (without {many(found['not_known'], 'trial')} that ended before a report said what it held)"
    return text


def _machine(node: Tree) -> str:
    gpus = "".join(f", GPU {name}" for name in node["gpus"])
    return (
        f"Node {node['host']}: {many(node['trials'], 'trial')}; {node['cpu'] or 'CPU of an unknown model'}, "
        f"{many(node['cores'], 'core')}, {node['memory_gb']:.0f} GB{gpus}"
    )
