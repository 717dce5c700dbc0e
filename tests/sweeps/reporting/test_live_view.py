"""The view: what a person reads, on a terminal of 80 columns and in a log file."""

from __future__ import annotations

import io
import logging
import os
import pty
import threading
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest
from rich.console import Console

from sweeps.reporting.live_view import LiveView
from sweeps.reporting.standing import Effort, FamilyStatus, Snapshot
from sweeps.results.records import TrialRecord


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


def test_a_confirmation_is_headed_and_speaks_of_means():
    mean = replace(record(number=0), name="mean of 2 seeds", metrics={"val/R@10": 0.3})
    snap = Snapshot({"spatial": FamilyStatus(5, 2, 0, 0, 1, mean)}, [record(number=1)])
    view, out = plain_view(lambda: snap, heading="confirming: again with 5 fresh seeds", dashboard="open x")
    with view:
        pass
    text = out.getvalue()
    assert "confirming: again with 5 fresh seeds" in text and "mean of 2 seeds: 0.300" in text
    assert "best so far" not in text and "dashboard" not in text  # said before the search
    lines = picture(snap, heading="confirming: again with 5 fresh seeds")
    assert lines[0].startswith("confirming: again") and any(
        line.startswith("spatial: mean of 2 seeds") for line in lines
    )


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


def test_elapsed_time_begins_with_the_command_and_goes_on_in_the_confirmation():
    now = Clock()
    view, out = plain_view(two_families, now=now, began=10.0, heading="confirming")
    now.seconds += 30
    view.refresh()
    assert "elapsed 2 min 00 s" in out.getvalue()


def test_remaining_time_is_named_after_what_it_is_of_and_never_exceeds_the_time_budget():
    now = Clock()
    snap = Snapshot({"clip": status(20)}, effort=Effort(epochs=1, seconds=500.0, left=9.0))
    view, out = plain_view(lambda: snap, now=now, time_budget=90, time_left=lambda: 30.0, of="the search")
    now.seconds += 60
    view.refresh()
    assert "about 30 s left of the search (time budget 1 min 30 s)" in out.getvalue()


# -- running trials, and terminals of other sizes


def running(*facts):
    return [replace(record(number=n, state="RUNNING", r10=r10), epochs=epoch) for n, epoch, r10 in facts]


def test_running_trials_are_named_with_epoch_and_newest_value():
    snap = replace(two_families(), running=running((7, 3, 0.41234), (8, 0, None)), epochs=12)
    lines = picture(snap)
    assert "running spatial-0007 epoch 3/12 0.412   spatial-0008 starts" in lines
    view, out = plain_view(lambda: snap, now=(now := Clock()))
    now.seconds += 30
    view.refresh()
    assert "; running spatial-0007 epoch 3/12 0.412, spatial-0008 starts; elapsed" in out.getvalue()


@pytest.mark.parametrize(("width", "height"), [(80, 24), (120, 20), (40, 30), (80, 14)])
def test_as_many_running_trials_as_fit_are_shown(width, height):
    many = running(*((number, 3, 0.4) for number in range(60)))
    out = io.StringIO()
    console = Console(
        file=out, width=width, height=height, force_terminal=True, color_system=None, _environ={}
    )
    view = LiveView(two_families, results="results/a", console=console)
    console.print(view.picture(replace(two_families(), running=many, epochs=12)))
    lines = out.getvalue().splitlines()
    assert len(lines) == height - 1  # the cursor stands in the last one
    shown = [line for line in lines if line.startswith("running ")]
    named = sum(line.count("epoch 3/12 0.400") for line in shown)
    assert f"and {60 - named} more" in shown[-1]
    assert named >= 1 or height == 14


@pytest.mark.parametrize("width", [30, 40, 60, 80, 100, 160])
def test_names_and_values_of_families_are_whole_at_any_width(width):
    names = ["spatial", "neighborhood_of_two_rings_soft", "neighborhood_of_two_rings_hard"]
    lines = picture(Snapshot({name: status(20, 5, best=record()) for name in names}), width=width)
    table = lines[: lines.index("")]
    assert max(map(len, table)) <= width
    flat = "".join(line.split(" ")[0] for line in table)  # a long name goes on in the next line
    assert flat == "family" + "".join(names)
    if width >= 40:
        assert sum("5/20" in line and "0.312" in line for line in table) == 3
    assert "…" not in "".join(table)


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
        assert looked.wait(300)
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
    with caplog.at_level(logging.WARNING, logger="sweeps.reporting.live_view"), view:
        view.refresh()
        view.refresh()
    assert len(caplog.records) == 1 and "the sweep goes on" in caplog.text


def test_an_exception_of_the_sweep_passes_through():
    view, _ = plain_view(two_families)
    with pytest.raises(KeyboardInterrupt), view:
        raise KeyboardInterrupt


def test_a_terminal_that_cannot_move_its_cursor_gets_plain_lines():
    out = io.StringIO()
    console = Console(file=out, width=80, force_terminal=True, _environ={"TERM": "dumb"})
    LiveView(lambda: two_families([record()]), results="results/a", console=console).refresh()
    assert "spatial-0003 COMPLETE" in out.getvalue() and "\x1b" not in out.getvalue()
