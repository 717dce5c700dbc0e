"""What a person sees while a sweep runs: a live picture on a terminal, plain lines anywhere else.

The view asks for a `Snapshot` and draws it; it knows nothing of Optuna or Ray.
"""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from types import TracebackType

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from sweeps.records import TrialRecord
from sweeps.summary import lift
from sweeps.words import duration, epochs, last_line, number, printable, settings

log = logging.getLogger(__name__)

STATUS_SECONDS = 30.0  # plain lines: the status at most this often
REDRAW_SECONDS = 0.25
_HINT = "Ctrl-C once: stop and report; twice: stop now"
_STYLES = {"COMPLETE": "green", "PRUNED": "yellow", "FAIL": "red"}


@dataclass(frozen=True)
class FamilyStatus:
    """Where one family stands: numbers of trials, and its best finished one."""

    budget: int
    complete: int
    pruned: int
    failed: int
    running: int
    best: TrialRecord | None = None

    @property
    def done(self) -> int:
        """Trials that have ended, in whatever way."""
        return self.complete + self.pruned + self.failed


@dataclass(frozen=True)
class Snapshot:
    """A sweep at one moment. `events` are the trials that ended since the snapshot before."""

    families: dict[str, FamilyStatus]
    events: list[TrialRecord] = field(default_factory=list)


class LiveView:
    """A context manager that shows a sweep until it is left.

    Args:
        snapshot: called about four times a second from the view's own thread, never twice at once; cheap.
            What it raises is logged and does not disturb the sweep.
        results: the results' place, to be shown.
        dashboard: the dashboard's address with how to get in; None when there is none.
        metric: the logged name shown as a trial's value; its chance level is `<split>/chance_<name>`.
        time_budget: seconds after which the sweep stops by itself, or None.
        quiet: show nothing.
        heading: what is going on, where it is not the search; "" for the search.
        console: where to write; None for standard output.
        now: a clock in seconds.
        date: what stands before each plain line, as in the other logs of a job.
    """

    def __init__(
        self,
        snapshot: Callable[[], Snapshot],
        *,
        results: str,
        dashboard: str | None = None,
        metric: str = "val/R@10",
        time_budget: float | None = None,
        quiet: bool = False,
        heading: str = "",
        console: Console | None = None,
        now: Callable[[], float] = time.monotonic,
        date: Callable[[], datetime] = datetime.now,
    ) -> None:
        self._snapshot = snapshot
        self._results = results
        self._dashboard = dashboard
        self._metric = metric
        self._time_budget = time_budget
        self._quiet = quiet
        self._heading = heading
        self._console = console or Console()
        self._now = now
        self._date = date
        self._start = now()
        self._done_at_start: int | None = None
        self._last_status = now()
        self._last: deque[TrialRecord] = deque(maxlen=3)
        self._notice = ""
        self._blind = False  # the last look failed, and was logged
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sweep-view", daemon=True)
        self._live: Live | None = None
        if self._console.is_terminal and not self._console.is_dumb_terminal and not quiet:
            self._live = Live(console=self._console, auto_refresh=False, transient=True)

    def __enter__(self) -> LiveView:
        if self._quiet:
            return self
        if self._live is not None:
            self._live.start()
        else:
            if self._heading:
                self._line(self._heading)
            for what, where in self._places(keys=has_keyboard()) if not self._heading else []:
                self._line(f"{what}: {where}")
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._quiet:
            return
        self._stop.set()
        self._thread.join(timeout=10)
        self.refresh()  # what ended between the last look and the end
        if self._live is not None:
            self._live.stop()

    def note(self, text: str) -> None:
        """Show one line until the end, such as `stopping: waiting for 2 trials`; from any thread."""
        self._notice = printable(text)
        if not self._quiet and self._live is None:
            self._line(self._notice)

    def say(self, text: str) -> None:
        """One line that stays, above a live picture; from any thread."""
        if not self._quiet:
            self._line(printable(text))

    def refresh(self) -> None:
        """Take a snapshot and show it. The view's thread does this; a test may."""
        try:
            snap = self._snapshot()
        except Exception:
            if not self._blind:
                log.warning("the view could not look at the sweep; the sweep goes on", exc_info=True)
            self._blind = True
            return
        self._blind = False
        if self._done_at_start is None:
            self._done_at_start = _done(snap) - len(snap.events)
        self._last.extend(snap.events)
        if self._live is not None:
            self._live.update(self.picture(snap), refresh=True)
        else:
            self._plain(snap)

    def _run(self) -> None:
        while not self._stop.wait(REDRAW_SECONDS):
            self.refresh()

    # -- plain lines

    def _plain(self, snap: Snapshot) -> None:
        for record in snap.events:
            self._line(self._event_line(record, snap))
        if self._now() - self._last_status >= STATUS_SECONDS:
            self._last_status = self._now()
            parts = [_status_words(name, status) for name, status in snap.families.items()]
            self._line("; ".join([*parts, self._times(snap)]))

    def _line(self, text: str) -> None:
        text = f"{self._date():%Y-%m-%d %H:%M:%S} {text}"
        self._console.print(text, soft_wrap=self._live is None, markup=False, highlight=False, emoji=False)

    def _event_line(self, record: TrialRecord, snap: Snapshot) -> str:
        status = snap.families.get(record.family)
        best = status.best if status else None
        parts = [f"{printable(record.name)} {record.state}"]
        if record.state == "FAIL":
            parts.append(printable(last_line(record.error or "")))
        else:
            parts.append(self._value(record))
        parts.append(f"{epochs(record.epochs)} in {duration(record.seconds)}")
        parts.append(settings(record.params) or "no parameters")
        if best is None:
            parts.append("no best yet")
        elif self._heading:
            parts.append(f"{printable(best.name)}: {number(best.metrics.get(self._metric))}")
        else:
            parts.append(f"best so far {number(best.metrics.get(self._metric))} by {printable(best.name)}")
        return "; ".join(parts)

    def _value(self, record: TrialRecord) -> str:
        value, chance, ratio = self._levels(record)
        return f"{self._metric} {value} (chance {chance}, lift {ratio})"

    def _levels(self, record: TrialRecord) -> tuple[str, str, str]:
        """The metric of record, its chance level and their ratio, as text."""
        split, _, name = self._metric.partition("/")
        own = {key.removeprefix(f"{split}/"): value for key, value in record.metrics.items()}
        ratio = lift(own, name)
        return (
            number(own.get(name)),
            number(own.get(f"chance_{name}")),
            "-" if ratio is None else f"{ratio:.1f}x",
        )

    # -- the live picture

    def picture(self, snap: Snapshot) -> RenderableType:
        """A snapshot as a picture for the terminal, readable in 80 columns."""
        heading = [Text(self._heading, style="bold")] if self._heading else []
        parts: list[RenderableType] = [*heading, self._families(snap), Text("")]
        for name, status in snap.families.items():
            if status.best is not None:
                which = name if self._heading else f"best {name}"
                line = Text(f"{printable(which)}: ", style="bold")
                line.append(
                    f"{printable(status.best.name)}, {settings(status.best.params)}", style="not bold"
                )
                parts.append(line)
        parts += [_last_text(record, self._levels(record)[0]) for record in self._last]
        parts += [Text(""), Text(self._times(snap))]
        parts += [Text(f"{what}: {where}", overflow="fold") for what, where in self._places()]
        if self._notice:
            parts.append(Text(self._notice, style="bold yellow"))
        return Group(*parts)

    def _families(self, snap: Snapshot) -> Table:
        narrow = self._console.width < 100
        table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False, header_style="bold")
        table.add_column("family", overflow="ellipsis", no_wrap=True, max_width=16)
        for title in ("", "done", "run", "pruned", "failed", self._metric, "chance", "lift"):
            table.add_column(title, justify="right", no_wrap=True)
        for name, status in snap.families.items():
            bar = ProgressBar(total=max(status.budget, 1), completed=status.done, width=10 if narrow else 30)
            levels = self._levels(status.best) if status.best else ("-", "-", "-")
            failed = Text(str(status.failed), style="red" if status.failed else "")
            counts = (f"{status.done}/{status.budget}", str(status.running), str(status.pruned), failed)
            table.add_row(Text(printable(name)), bar, *counts, *levels)
        return table

    # -- words for both

    def _places(self, keys: bool = True) -> list[tuple[str, str]]:
        dashboard = [("dashboard", self._dashboard)] if self._dashboard else []
        return [*dashboard, ("results", self._results), *([("keys", _HINT)] if keys else [])]

    def _times(self, snap: Snapshot) -> str:
        elapsed = self._now() - self._start
        left = self._remaining(snap, elapsed)
        text = f"elapsed {duration(elapsed)}, " + (
            "remaining time not known yet" if left is None else f"about {duration(left)} left"
        )
        if self._time_budget is not None:
            text += f" (time budget {duration(self._time_budget)})"
        return text

    def _remaining(self, snap: Snapshot, elapsed: float) -> float | None:
        """Seconds left at the pace of the trials that ended in this run, at most the time budget's."""
        finished = _done(snap) - (self._done_at_start or 0)
        todo = sum(max(0, status.budget - status.done) for status in snap.families.values())
        known = finished > 0 and elapsed >= 1
        pace = 0.0 if todo == 0 else (todo * elapsed / finished if known else None)
        if self._time_budget is None:
            return pace
        within = max(0.0, self._time_budget - elapsed)
        return within if pace is None else min(pace, within)


def has_keyboard() -> bool:
    """Whether a person can press Ctrl-C here; not in a job, whose log nobody types into."""
    return sys.stdin is not None and sys.stdin.isatty()


def _done(snap: Snapshot) -> int:
    return sum(status.done for status in snap.families.values())


def _status_words(name: str, status: FamilyStatus) -> str:
    words = f"{printable(name)} {status.done}/{status.budget} done ({status.running} running"
    return f"{words}, {status.pruned} pruned, {status.failed} failed)"


def _last_text(record: TrialRecord, value: str) -> Text:
    line = Text("ended ", no_wrap=True, overflow="ellipsis")
    line.append(f"{printable(record.name)} ").append(record.state, style=_STYLES.get(record.state, ""))
    if record.state == "FAIL":
        return line.append(f" {printable(last_line(record.error or ''))}")
    return line.append(f" {value}, {epochs(record.epochs)} in {duration(record.seconds)}")
