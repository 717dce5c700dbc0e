"""What a person sees while something takes long before the first trial: a bar, or something that moves."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from types import TracebackType
from typing import TYPE_CHECKING

from stclip.terminal.console import make_console

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress

LINE_SECONDS = 30.0  # elsewhere than on a terminal: a line this often, the first one after as long


class ProgressBar:
    """A rich bar, made at the first `update(done, total)`; silent when quiet. Use as a context manager.

    In a log, where no bar can move, it is a dated line now and then.
    """

    def __init__(
        self,
        title: str,
        quiet: bool = False,
        console: Console | None = None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """`console`: where to write; None for standard output. `now`: a clock in seconds."""
        self.title, self.quiet = title, quiet
        self._console, self._now = console, now
        self._said = now()
        self._bar: Progress | None = None

    def __enter__(self) -> ProgressBar:
        return self

    def update(self, done: int, total: int) -> None:
        """Show that `done` of `total` steps are finished."""
        if self.quiet:
            return
        if self._console is None:
            self._console = make_console()
        if not self._console.is_terminal:
            self._line(self._console, done, total)
            return
        if self._bar is None:
            self._bar = _bar(self._console)
            self._bar.start()
            self._task = self._bar.add_task(_escaped(self.title), total=total)
        self._bar.update(self._task, completed=done, total=total)

    def _line(self, console: Console, done: int, total: int) -> None:
        if self._now() - self._said >= LINE_SECONDS:
            self._said = self._now()
            text = f"{datetime.now():%Y-%m-%d %H:%M:%S} {self.title}: {done} of {total}"
            console.print(text, soft_wrap=True, markup=False, highlight=False, emoji=False)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()


@contextmanager
def waiting(text: str, quiet: bool = False, console: Console | None = None) -> Iterator[None]:
    """Something that moves beside a text, on a terminal, for what has no steps to count."""
    shown = None if quiet else console or make_console()
    if shown is None or not shown.is_terminal:
        yield
        return
    with shown.status(_escaped(text), spinner="dots"):
        yield


def _bar(console: Console) -> Progress:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*columns, console=console)


def _escaped(text: str) -> str:
    from rich.markup import escape

    return escape(text)
