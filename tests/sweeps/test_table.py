"""The table that ends a sweep, in a terminal of 80 columns."""

from __future__ import annotations

import io

from rich.console import Console

from sweeps.summary import build_summary
from sweeps.table import final_table
from tests.sweeps.made_up import levels, record


def final(width=80):
    best = record(number=3)
    best.metrics.update(levels("val", 0.4))
    records = [
        best,
        record(number=4, state="PRUNED"),
        record("clip", state="FAIL", error="MemoryError: [red]out"),
    ]
    baselines = {
        "cca": {"val": levels("val", 0.3), "test": levels("test", 0.32)},
        "chance": {"val": {}, "test": {}},
    }
    tests = {"spatial": levels("test", 0.36)}
    budgets = {"spatial": 2, "clip": 1}
    summary = build_summary(records, budgets, "val/R@10", "max", tests, baselines, "complete", 65.0, {})
    out = io.StringIO()
    places = [("report", "results/a/report.md"), ("trials", "results/a/trials.csv")]
    Console(file=out, width=width, color_system=None, _environ={}).print(final_table(summary, places))
    return out.getvalue().splitlines()


def row(lines, name):
    (found,) = [line for line in lines if line.startswith(name)]
    return found.removeprefix(name).split()


def test_the_final_table_has_a_row_a_family_then_cca_then_chance():
    lines = final()
    assert max(len(line.rstrip()) for line in lines) <= 80
    assert row(lines, "spatial ") == [
        "1/1/0",
        "0.100",
        "0.200",
        "0.400",
        "4.0x",
        "0.090",
        "0.180",
        "0.360",
        "3.6x",
    ]
    assert row(lines, "clip ") == ["0/0/1"] + ["-"] * 8
    assert row(lines, "CCA baseline ") == [
        "0.075",
        "0.150",
        "0.300",
        "3.0x",
        "0.080",
        "0.160",
        "0.320",
        "3.2x",
    ]
    assert row(lines, "chance ") == ["0.010", "0.050", "0.100", "-"] * 2
    firsts = [line.split()[0] for line in lines if line.split()]
    order = [first for first in firsts if first in ("spatial", "clip", "CCA", "chance")]
    assert order == ["spatial", "clip", "CCA", "chance"]


def test_a_long_family_name_is_folded_and_no_number_is_cut():
    name = "spatial_with_a_very_long_name"
    best = record(name, params={})
    best.metrics.update(levels("val", 0.4))
    tests = {name: levels("test", 0.36)}
    summary = build_summary([best], {name: 120}, "val/R@10", "max", tests, {}, "complete", 5.0, {})
    out = io.StringIO()
    Console(file=out, width=80, color_system=None, _environ={}).print(final_table(summary, []))
    assert max(len(line.rstrip()) for line in out.getvalue().splitlines()) <= 80
    assert "0.100 0.200 0.400 4.0x 0.090 0.180 0.360 3.6x" in " ".join(out.getvalue().split())


def test_the_final_table_gives_parameters_reasons_verdict_and_places():
    text = " ".join(" ".join(final()).split())
    assert "spatial: spatial-0003 with temperature=0.07" in text
    assert "clip: no winner: no trial gave a value (1 failed of 1); most common reason" in text
    assert "MemoryError: [red]out" in text
    assert "No claim of a difference" in text
    assert "report results/a/report.md" in text and "trials results/a/trials.csv" in text
