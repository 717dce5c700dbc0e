"""What is seen of long work before the first trial."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from stclip.terminal.progress import ProgressBar, waiting


def console(terminal):
    return Console(file=io.StringIO(), width=80, force_terminal=terminal, color_system=None, _environ={})


def test_a_terminal_gets_a_bar_that_counts():
    shown = console(True)
    with ProgressBar("building [it]", console=shown) as bar:
        bar.update(3, 12)
    assert "building [it]" in shown.file.getvalue() and "3/12" in shown.file.getvalue()


def test_a_log_gets_a_line_now_and_then():
    shown, seconds = console(False), [0.0]
    with ProgressBar("building the spot store", console=shown, now=lambda: seconds[0]) as bar:
        for done in range(70):
            seconds[0] += 1
            bar.update(done, 70)
    lines = shown.file.getvalue().splitlines()
    assert [line.split(" ", 2)[2] for line in lines] == [
        f"building the spot store: {n} of 70" for n in (29, 59)
    ]


@pytest.mark.parametrize(
    ("terminal", "quiet", "seen"), [(True, False, True), (True, True, False), (False, False, False)]
)
def test_what_cannot_be_counted_moves_on_a_terminal_only(terminal, quiet, seen):
    shown = console(terminal)
    with waiting("checking [the] data", quiet, shown):
        pass
    assert ("checking [the] data" in shown.file.getvalue()) == seen
