"""Sections of a report on the test slides: which configurations stand for each family, and how the families compare."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sweeps.analysis.outcome import Effort, search_share
from sweeps.analysis.readings_told import level_text, looks_note, looks_of
from sweeps.analysis.verdict import p_text, signed
from sweeps.reporting.blocks import Block, Table
from sweeps.reporting.final_table import baseline_title
from sweeps.text import many, number, recall_of, settings

Tree = Mapping[str, Any]


def confirmed_configurations(summary: Tree) -> list[Block]:
    """A row a configuration that was trained again; nothing without a confirmation."""
    recall = recall_of(summary["metric"])
    head = ["family", "configuration", "weight", "seeds", f"val {recall}", f"test {recall}", "settings"]
    rows = []
    for family, entry in summary["families"].items():
        for one in (entry.get("confirm") or {}).get("configurations") or []:
            val, test = one["val"].get(recall), one["test"].get(recall)
            rows.append(
                [
                    family,
                    one["name"],
                    f"{one['weight']:.2f}",
                    str(one["seeds"]),
                    number(val),
                    number(test),
                    settings(one["params"]) or "-",
                ]
            )
    if not rows:
        return []
    note = (
        "The best configurations of each family by val, or the winners of its searches, trained again with fresh seeds; val and "
        "test are means over these seeds. Weight: how often the configuration would be the best when the family's trials were "
        "drawn again; equal for the winners of several searches. A family's value is the weighted mean of its configurations."
    )
    return [Table(head, rows), note]


def comparisons(summary: Tree) -> list[Block]:
    """Every comparison by every recall."""
    look = looks_of(summary)
    head = ["a", "b", "metric", f"a - b ({level_text(look)})", "p", "p (Holm)", "outcome", "could have shown"]
    head += ["search's share", "seeds x slides"]
    body = []
    for one in summary.get("comparisons") or []:
        for name, found in one["metrics"].items():
            difference = signed(found["difference"])
            if found["low"] is not None:
                difference += f" ({found['low']:.3f} to {found['high']:.3f})"
            ps = ["-" if found[key] is None else p_text(found[key]) for key in ("p", "p_holm")]
            shown = [found["outcome"], number(found["detectable"])]
            b = baseline_title(one["b"]) if one["kind"] == "baseline" else one["b"]
            body.append([one["a"], b, name, difference, *ps, *shown, _share(one, found), _size(one)])
    if not body:
        return []
    note = (
        "Differences are paired by seed and slide. Interval and p are Student's t, from the variance of seeds, slides and the "
        "search: which configurations a search ends at is chance too. Its share of the variance is given. Holm's correction is "
        f"over the pairs of families, and by itself for each baseline{looks_note(look)}. Outcome: a is better or worse where the "
        f"interval excludes 0 and p is below 0.05; equivalent where the interval lies within ± {summary['margin']:g}. Could have "
        "shown: the smallest true difference found with 80 % power."
    )
    return [Table(head, body), note]


def _share(one: Tree, found: Tree) -> str:
    if not one["covers_search"]:
        return "not known"
    return f"{search_share(found['variance'], Effort(one['searches'], one['seeds'], one['clusters'])):.0%}"


def _size(one: Tree) -> str:
    donors = f" ({many(one['clusters'], 'donor')})" if one["clusters"] < one["slides"] else ""
    return f"{one['seeds']} x {one['slides']}{donors}"
