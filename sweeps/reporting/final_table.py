"""The table a sweep ends with: a row a family, then what has to be beaten, then where everything is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from sweeps.results.records import lift
from sweeps.text import RECALLS, duration, number, printable, recall_of, settings


def final_table(summary: Mapping[str, Any], places: Sequence[tuple[str, str]]) -> RenderableType:
    """A summary (see `sweeps.analysis.summary`) for the terminal, readable in 80 columns.

    Args:
        summary: the content of summary.json.
        places: (what, where) lines for the end, such as ("report", "results/a/report.html").
    """
    parts: list[RenderableType] = [_head(summary), Text(""), _numbers(summary), Text("")]
    parts += [_best_line(family, entry) for family, entry in summary["families"].items()]
    parts += [Text(""), Text(printable(summary["verdict"])), Text("")]
    parts += [Text(f"{what:<10}{printable(where)}", overflow="fold") for what, where in places]
    return Group(*parts)


def _head(summary: Mapping[str, Any]) -> Text:
    line = f"Sweep {summary['status']} after {duration(summary['seconds'])}"
    return Text(f"{line}; winners chosen by {summary['metric']} ({summary['mode']})", style="bold")


def _numbers(summary: Mapping[str, Any]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0), pad_edge=False)
    table.add_column("family", overflow="fold")
    table.add_column("trials\nc/p/f", justify="right", no_wrap=True, min_width=6)
    # A number is never shortened: "0.1…" would read as 0.1.
    recall = recall_of(summary["metric"])
    table.add_column(f"val\n{recall}", justify="right", no_wrap=True, min_width=5)
    for name in (*RECALLS, "95 %", "lift"):
        table.add_column(f"test\n{name}", justify="right", no_wrap=True, min_width=5)
    table.add_column(f"ring\n{recall}", justify="right", no_wrap=True, min_width=5)
    table.add_column("med.\nrank", justify="right", no_wrap=True)
    for family, entry in summary["families"].items():
        table.add_row(
            Text(printable(family)), _counts(entry["trials"]), *_cells(family_metrics(entry), entry, recall)
        )
    table.add_section()
    for name, entry in summary["baselines"].items():
        if name != "chance":
            table.add_row(Text(printable(baseline_title(name))), "", *_cells(entry, entry, recall))
    table.add_row("chance", "", *_cells(chance_of(summary), {}, recall), style="dim")
    return table


def _counts(trials: Mapping[str, int]) -> str:
    return f"{trials['complete']}/{trials['pruned']}/{trials['failed']}"


def baseline_title(name: str) -> str:
    """What a baseline is called in a table."""
    return {"cca": "CCA baseline", "untrained": "untrained"}.get(name, name)


def family_metrics(entry: Mapping[str, Any]) -> dict[str, Any]:
    """Of a family: `val` as its winner got it in the search, `test` over its confirmed configurations."""
    return {"val": (entry["best"] or {}).get("val"), "test": entry["test"]}


def _cells(metrics: Mapping[str, Any], entry: Mapping[str, Any], recall: str) -> list[str]:
    """Of a family (`family_metrics`), or a baseline; `entry` has its intervals. `recall`: where one stands for all."""
    val, test = metrics.get("val") or {}, metrics.get("test") or {}
    ratio = lift(test, recall)
    return [
        number(val.get(recall)),
        *(number(test.get(name)) for name in RECALLS),
        interval_text((entry.get("test_intervals") or {}).get(recall)),
        "-" if ratio is None else f"{ratio:.1f}x",
        number(test.get(f"ring_{recall}")),
        "-" if (rank := test.get("median_rank")) is None else f"{rank:.1f}",
    ]


def interval_text(found: Mapping[str, Any] | None) -> str:
    """`.576-.668`: an interval in as little room as it takes; `-` for none."""
    if found is None or found["low"] is None:
        return "-"
    return "-".join(f"{value:.3f}".removeprefix("0") for value in (found["low"], found["high"]))


def chance_of(summary: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """Split -> `R@K` and `ring_R@K` of a random ranking, as a row of its own: every family ranks the same galleries."""
    entries = [e["best"] for e in summary["families"].values() if e["best"]] + [
        *summary["baselines"].values()
    ]
    found: dict[str, dict[str, float]] = {"val": {}, "test": {}}
    for split, level in found.items():
        for metrics in (entry.get(split) or {} for entry in entries):
            for name in (*RECALLS, *(f"ring_{recall}" for recall in RECALLS)):
                if metrics.get(f"chance_{name}") is not None:
                    level.setdefault(name, metrics[f"chance_{name}"])
    return found


def _best_line(family: str, entry: Mapping[str, Any]) -> Text:
    best = entry["best"]
    line = Text(f"{printable(family)}: ", style="bold")
    if best is None:
        return line.append(f"no winner: {printable(entry['reason'])}", style="red")
    found = f"{printable(best['name'])} with {settings(best['params']) or 'no parameters'}"
    return line.append(found, style="not bold")
