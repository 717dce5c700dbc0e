"""The view: what a person reads, on a terminal of 80 columns and in a log file."""

from __future__ import annotations

import io
import logging
import os
import pty
import threading
from datetime import datetime
from pathlib import Path

import pytest
from rich.console import Console

from sweeps.records import TrialRecord
from sweeps.summary import build_summary
from sweeps.table import final_table
from sweeps.view import FamilyStatus, LiveView, Snapshot
from sweeps.words import duration, number, settings


def record(family="spatial", number=3, state="COMPLETE", r10=0.312, error=None, params=None):
    metrics = {"val/R@10": r10, "val/chance_R@10": 0.052} if r10 is not None else {}
    params = {"loss.neighbor_alpha_scale": 0.5, "model.temperature": 0.0712345} if params is None else params
    return TrialRecord(
        family, number, f"{family}-{number:04d}", state, params, metrics, 20, 11.2, error, number
    )


def status(budget=20, complete=0, pruned=0, failed=0, running=0, best=None):
    return FamilyStatus(budget, complete, pruned, failed, running, best)


def two_families(events=()):
    best = record()
    families = {"spatial": status(20, 5, 1, 1, 2, best), "clip": status(20, 3)}
    return Snapshot(families, list(events))


DATE = datetime(2026, 11, 25, 9, 4, 5)
STAMP = "2026-11-25 09:04:05 "


class Clock:
    def __init__(self):
        self.seconds = 100.0

    def __call__(self):
        return self.seconds


def plain_view(snapshot, **options):
    out = io.StringIO()
    console = Console(file=out, width=80, _environ={})
    view = LiveView(snapshot, results="results/a", console=console, date=lambda: DATE, **options)
    return view, out


def picture(snapshot, width=80, console=None, **options):
    out = io.StringIO()
    console = Console(file=out, width=width, force_terminal=True, color_system=None, _environ={})
    view = LiveView(lambda: snapshot, results="results/a", console=console, **options)
    console.print(view.picture(snapshot))
    return out.getvalue().splitlines()


# -- the live picture


def test_the_picture_fits_80_columns_and_has_everything():
    lines = picture(
        two_families(),
        dashboard="open http://127.0.0.1:8265, paste the token from `ray get-auth-token`",
        time_budget=1800,
    )
    text = "\n".join(lines)
    assert max(len(line) for line in lines) <= 80
    (spatial,) = [line for line in lines if line.startswith("spatial ")]
    assert spatial.split()[-7:] == ["7/20", "2", "1", "1", "0.312", "0.052", "6.0x"]
    assert "best spatial: spatial-0003, neighbor_alpha_scale=0.5, temperature=0.07123" in text
    assert "dashboard: open http://127.0.0.1:8265, paste the token from `ray get-auth-token`" in text
    assert "results: results/a" in text
    assert "Ctrl-C once: stop and report; twice: stop now" in text
    assert "(time budget 30 min 00 s)" in text


def test_the_bar_grows_with_the_trials_that_ended():
    def filled(done):
        (line,) = [x for x in picture(Snapshot({"clip": status(10, done)})) if x.startswith("clip")]
        return line.count("━")  # without colour the rest of the bar is blank

    assert (filled(0), filled(5), filled(10)) == (0, 5, 10)


def test_a_family_without_a_best_shows_dashes():
    (line,) = [line for line in picture(two_families()) if line.startswith("clip ")]
    assert line.split()[-3:] == ["-", "-", "-"]


def test_names_from_data_are_shown_as_they_are_and_cannot_move_the_cursor():
    evil = record(params={"data.dataset": "[red]a[/red]\x1b[2J\n:smile:"})
    text = "\n".join(picture(Snapshot({"[bold]f": status(best=evil)}), width=120))
    assert "[bold]f" in text
    assert "dataset=[red]a[/red][2J :smile:" in text
    assert "\x1b[2J" not in text


def test_remaining_time_follows_the_pace_of_this_run():
    now = Clock()
    state = {"snap": Snapshot({"clip": status(20, complete=10)})}  # 10 were there before: a resumed sweep
    view, out = plain_view(lambda: state["snap"], now=now)
    view.refresh()
    now.seconds += 60
    state["snap"] = Snapshot({"clip": status(20, complete=12)})
    view.refresh()
    assert "elapsed 1 min 00 s, about 4 min 00 s left" in out.getvalue()  # 8 to do, 30 s each


def test_remaining_time_never_exceeds_the_time_budget():
    now = Clock()
    view, out = plain_view(lambda: Snapshot({"clip": status(20)}), now=now, time_budget=90)
    now.seconds += 60
    view.refresh()
    assert "about 30 s left (time budget 1 min 30 s)" in out.getvalue()


# -- plain lines


def test_a_finished_trial_is_one_line_that_says_everything():
    events = [
        record(number=7, r10=0.25),
        record("clip", 2, "FAIL", None, "Traceback\nValueError: loss is NaN\n"),
    ]
    view, out = plain_view(lambda: two_families(events), now=Clock())
    view.refresh()
    first, second = out.getvalue().splitlines()
    assert first == (
        f"{STAMP}spatial-0007 COMPLETE; val/R@10 0.250 (chance 0.052, lift 4.8x); 20 epochs in 11 s; "
        "neighbor_alpha_scale=0.5, temperature=0.07123; best so far 0.312 by spatial-0003"
    )
    assert second.startswith(f"{STAMP}clip-0002 FAIL; ValueError: loss is NaN; 20 epochs")
    assert second.endswith("no best yet")


def test_the_status_line_comes_at_most_every_30_seconds():
    now = Clock()
    view, out = plain_view(two_families, now=now)
    for _ in range(61):
        view.refresh()
        now.seconds += 1
    lines = out.getvalue().splitlines()
    assert [line.partition("elapsed ")[2].partition(",")[0] for line in lines] == ["30 s", "1 min 00 s"]
    assert all(line.startswith(STAMP) for line in lines)
    assert "spatial 7/20 done (2 running, 1 pruned, 1 failed); clip 3/20 done" in lines[0]


def test_markup_in_an_error_is_printed_as_it_is():
    view, out = plain_view(lambda: two_families([record(state="FAIL", error="bad [/] key [red]x :boom:")]))
    view.refresh()
    assert "bad [/] key [red]x :boom:" in out.getvalue()


# -- the context manager


def test_the_view_looks_by_itself_and_once_more_at_the_end():
    looked = threading.Event()
    pending = [record(number=1)]

    def snapshot():
        looked.set()
        events, pending[:] = list(pending), []
        return two_families(events)

    view, out = plain_view(snapshot, dashboard="http://127.0.0.1:8265")
    with view:
        assert looked.wait(10)
        pending.append(record(number=2))
    text = out.getvalue()
    assert text.count("spatial-0001 COMPLETE") == 1 and text.count("spatial-0002 COMPLETE") == 1
    assert "dashboard: http://127.0.0.1:8265" in text and "results: results/a" in text
    assert not [t for t in threading.enumerate() if t.name == "sweep-view"]


def test_keys_are_named_only_where_there_is_a_keyboard(monkeypatch):
    ends = pty.openpty()
    with os.fdopen(ends[0]), os.fdopen(ends[1]) as keyboard, Path(os.devnull).open() as nobody:
        shown = {}
        for stdin in (keyboard, nobody):
            monkeypatch.setattr("sys.stdin", stdin)
            view, out = plain_view(two_families)
            with view:
                pass
            shown[stdin] = "Ctrl-C once: stop and report" in out.getvalue()
    assert shown == {keyboard: True, nobody: False}


def test_a_terminal_gets_a_picture_that_is_cleared_at_the_end():
    out = io.StringIO()
    console = Console(file=out, width=80, force_terminal=True, color_system=None, _environ={})
    with LiveView(two_families, results="results/a", console=console) as view:
        view.note("stopping: waiting for 2 trials")
    text = out.getvalue()
    assert "stopping: waiting for 2 trials" in text and "7/20" in text
    assert text.endswith("\x1b[1A\x1b[2K")  # up, and the line cleared


def test_quiet_neither_looks_nor_writes():
    def never():
        raise AssertionError("looked")

    view, out = plain_view(never, quiet=True)
    with view:
        view.note("stopping")
    assert out.getvalue() == ""


def test_a_snapshot_that_fails_is_logged_once_and_the_sweep_goes_on(caplog):
    def broken():
        raise OSError("study.db is locked")

    view, _ = plain_view(broken)
    with caplog.at_level(logging.WARNING, logger="sweeps.view"), view:
        view.refresh()
        view.refresh()
    assert len(caplog.records) == 1 and "the sweep goes on" in caplog.text


def test_an_exception_of_the_sweep_passes_through():
    view, _ = plain_view(two_families)
    with pytest.raises(KeyboardInterrupt), view:
        raise KeyboardInterrupt


# -- the final table


def levels(split, r10):
    values = {"R@1": r10 / 4, "R@5": r10 / 2, "R@10": r10}
    chance = {"chance_R@1": 0.01, "chance_R@5": 0.05, "chance_R@10": 0.1}
    return {f"{split}/{name}": value for name, value in (values | chance).items()}


def final(width=80):
    best = record(params={"model.temperature": 0.07})
    best.metrics.update(levels("val", 0.4))
    records = [
        best,
        record(number=4, state="PRUNED"),
        record("clip", 0, "FAIL", None, "MemoryError: [red]out"),
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


# -- words


def test_words():
    assert [duration(s) for s in (0.4, 59.6, 185, 7620)] == ["0 s", "1 min 00 s", "3 min 05 s", "2 h 07 min"]
    assert [number(v) for v in (0.12345, None, float("nan"))] == ["0.123", "-", "-"]
    assert settings({"model.image.dropout": 0.1, "model.genes.dropout": 0.2, "data.batching": "random"}) == (
        "model.image.dropout=0.1, model.genes.dropout=0.2, batching=random"
    )


def test_a_terminal_that_cannot_move_its_cursor_gets_plain_lines():
    out = io.StringIO()
    console = Console(file=out, width=80, force_terminal=True, _environ={"TERM": "dumb"})
    LiveView(lambda: two_families([record()]), results="results/a", console=console).refresh()
    assert "spatial-0003 COMPLETE" in out.getvalue() and "\x1b" not in out.getvalue()
