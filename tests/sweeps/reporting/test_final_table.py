"""The table that ends a sweep, in a terminal of 80 columns."""

from __future__ import annotations

import io

from rich.console import Console

from sweeps.reporting.final_table import final_table, interval_text
from tests.sweeps import made_up
from tests.sweeps.made_up import levels, record, slide_rows

AGAIN = [[0.30, 0.40, 0.38], [0.32, 0.41, 0.36]]


def final(width=80):
    best = record(number=3, metrics=levels("val", 0.4))
    records = [
        best,
        record(number=4, state="PRUNED"),
        record("clip", state="FAIL", error="MemoryError: [red]out"),
    ]
    rows = slide_rows("spatial", AGAIN) + slide_rows("cca", [[0.31, 0.33, 0.32]], "baseline")
    baselines = {"cca": (levels("val", 0.3), levels("test", 0.32)), "chance": ({}, {})}
    again = made_up.confirmed("spatial", AGAIN, number=3)
    found = made_up.summary(records, {"spatial": 2, "clip": 1}, rows, baselines, again, seeds=2)
    return found, shown(found, width)


PLACES = [("report", "results/a/report.html"), ("trials", "results/a/trials.csv")]


def shown(summary, width=80, places=PLACES):
    out = io.StringIO()
    Console(file=out, width=width, color_system=None, _environ={}).print(final_table(summary, places))
    return out.getvalue().splitlines()


def row(lines, name):
    (found,) = [line for line in lines if line.startswith(name)]
    return found.removeprefix(name).split()


def test_the_final_table_has_a_row_a_family_then_the_baselines_then_chance():
    summary, lines = final()
    assert max(len(line.rstrip()) for line in lines) <= 80
    between = interval_text(summary["families"]["spatial"]["test_intervals"]["R@10"])
    assert row(lines, "spatial ") == [
        "1/1/0",
        "0.400",
        "0.090",
        "0.181",
        "0.362",
        between,
        "3.6x",
        "0.542",
        "5.0",
    ]
    assert row(lines, "clip ") == ["0/0/1"] + ["-"] * 8
    of_cca = interval_text(summary["baselines"]["cca"]["test_intervals"]["R@10"])
    assert row(lines, "CCA baseline ") == ["0.300", "0.080", "0.160", "0.320", of_cca, "3.2x", "0.480", "5.0"]
    assert row(lines, "chance ") == ["0.100", "0.010", "0.050", "0.100", "-", "-", "0.400", "-"]
    firsts = [line.split()[0] for line in lines if line.split()]
    order = [first for first in firsts if first in ("spatial", "clip", "CCA", "chance")]
    assert order == ["spatial", "clip", "CCA", "chance"]


def test_an_interval_takes_little_room():
    assert interval_text({"value": 0.6, "low": 0.5764, "high": 0.6}) == ".576-.600"
    assert interval_text({"value": 1.0, "low": 0.9, "high": 1.0}) == ".900-1.000"
    assert interval_text({"value": 0.6, "low": None, "high": None}) == interval_text(None) == "-"


def test_a_long_family_name_is_folded_and_no_number_is_cut():
    name = "spatial_with_a_very_long_name"
    best = record(name, params={}, metrics=levels("val", 0.4))
    found = made_up.summary(
        [best], {name: 120}, slide_rows(name, AGAIN), {}, made_up.confirmed(name, AGAIN), seeds=2
    )
    lines = shown(found)
    between = interval_text(found["families"][name]["test_intervals"]["R@10"])
    assert max(len(line.rstrip()) for line in lines) <= 80
    assert f"0.400 0.090 0.181 0.362 {between} 3.6x 0.542 5.0" in " ".join(" ".join(lines).split())


def test_the_final_table_gives_parameters_reasons_verdict_and_places():
    summary, lines = final()
    text = " ".join(" ".join(lines).split())
    assert "spatial: spatial-0003 with temperature=0.07" in text
    assert "clip: no winner: no trial gave a value (1 failed of 1); most common reason" in text
    assert "MemoryError: [red]out" in text
    assert summary["verdict"] in text and len(summary["verdict"]) > 50
    assert "report results/a/report.html" in text and "trials results/a/trials.csv" in text


def test_a_place_can_neither_break_its_line_nor_move_the_cursor():
    lines = shown(final()[0], places=[("results", "a\x1b[2J\nb")])
    assert lines[-1] == "results   a[2J b"


def test_the_spaces_metric_decides_which_recall_stands_for_all():
    summary, lines = final()
    by_one = shown({**summary, "metric": "val/ring_R@1"})
    assert [line.split() for line in lines if "95 %" in line] == [
        ["family", "c/p/f", "R@10", "R@1", "R@5", "R@10", "95", "%", "lift", "R@10", "rank"]
    ]
    assert [line.split() for line in by_one if "95 %" in line] == [
        ["family", "c/p/f", "R@1", "R@1", "R@5", "R@10", "95", "%", "lift", "R@1", "rank"]
    ]
    best = summary["families"]["spatial"]
    cells = row(by_one, "spatial ")
    assert (
        cells[1] == f"{best['best']['val']['R@1']:.3f}"
        and interval_text(best["test_intervals"]["R@1"]) in cells
    )
