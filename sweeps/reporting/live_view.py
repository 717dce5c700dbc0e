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
from datetime import datetime
from types import TracebackType

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from stclip.terminal.console import make_console
from sweeps.reporting.pace import Pace
from sweeps.reporting.picture import ended_line, families_table, levels, running_lines, running_text
from sweeps.reporting.standing import FamilyStatus, Snapshot
from sweeps.results.records import TrialRecord
from sweeps.text import duration, epochs, last_line, number, printable, settings

log = logging.getLogger(__name__)

STATUS_SECONDS = 30.0  # plain lines: the status at most this often
REDRAW_SECONDS = 0.25
_HINT = "Ctrl-C once: stop and report; twice: stop now"
_NAMED = 8  # running trials in a plain line


class LiveView:
    """A context manager that shows a sweep until it is left.

    Args:
        snapshot: called about four times a second from the view's own thread, never twice at once; cheap.
            What it raises is logged and does not disturb the sweep.
        results: the results' place, to be shown.
        dashboard: the dashboard's address with how to get in; None when there is none.
        metric: the logged name shown as a trial's value; its chance level is `<split>/chance_<name>`.
        time_budget: seconds after which the sweep stops by itself, or None.
        time_left: what is left of it for what is shown; needed with a time budget.
        began: when the command began, by the clock `now`; None for now.
        of: what the time left is of, where something else follows: `the search`.
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
        time_left: Callable[[], float] | None = None,
        began: float | None = None,
        of: str = "",
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
        self._time_left = time_left
        self._of = f" of {of}" if of else ""
        self._quiet = quiet
        self._heading = heading
        self._console = console or make_console()
        self._now = now
        self._date = date
        self._start = now() if began is None else began
        self._pace = Pace()
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
            self._line("; ".join([*parts, *self._running_words(snap), self._times(snap)]))

    def _running_words(self, snap: Snapshot) -> list[str]:
        texts = [running_text(record, snap.epochs, self._metric) for record in snap.running]
        more = [f"and {len(texts) - _NAMED} more"] if len(texts) > _NAMED else []
        return [f"running {', '.join([*texts[:_NAMED], *more])}"] if texts else []

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
        value, chance, ratio = levels(record, self._metric)
        return f"{self._metric} {value} (chance {chance}, lift {ratio})"

    # -- the live picture

    def picture(self, snap: Snapshot) -> RenderableType:
        """A snapshot as a picture for the terminal, readable in 80 columns; on a narrower one without what can be spared."""
        width = self._console.width
        heading = [Text(self._heading, style="bold")] if self._heading else []
        above: list[RenderableType] = [*heading, families_table(snap, self._metric, width), Text("")]
        below: list[RenderableType] = [
            self._best_line(name, s) for name, s in snap.families.items() if s.best
        ]
        below += [ended_line(record, self._metric, duration(record.seconds)) for record in self._last]
        below += [Text(""), Text(self._times(snap))]
        below += [Text(f"{what}: {where}", overflow="fold") for what, where in self._places()]
        if self._notice:
            below.append(Text(self._notice, style="bold yellow"))
        taken = len(self._console.render_lines(Group(*above, *below), pad=False))
        # The cursor stands in the line below the picture.
        running = running_lines(snap, self._metric, width, self._console.height - taken - 1)
        return Group(*above, *running, *below)

    def _best_line(self, name: str, status: FamilyStatus) -> Text:
        assert status.best is not None
        line = Text(f"{printable(name if self._heading else f'best {name}')}: ", style="bold")
        return line.append(f"{printable(status.best.name)}, {settings(status.best.params)}", style="not bold")

    # -- words for both

    def _places(self, keys: bool = True) -> list[tuple[str, str]]:
        dashboard = [("dashboard", self._dashboard)] if self._dashboard else []
        return [*dashboard, ("results", printable(self._results)), *([("keys", _HINT)] if keys else [])]

    def _times(self, snap: Snapshot) -> str:
        left = self._remaining(snap)
        text = f"elapsed {duration(self._now() - self._start)}, " + (
            "remaining time not known yet" if left is None else f"about {duration(left)} left{self._of}"
        )
        if self._time_budget is not None:
            text += f" (time budget {duration(self._time_budget)})"
        return text

    def _remaining(self, snap: Snapshot) -> float | None:
        """Seconds left at the trials' pace, at most the time budget's."""
        pace = self._pace.left(snap, self._now())
        if self._time_left is None:
            return pace
        within = max(0.0, self._time_left())
        return within if pace is None else min(pace, within)


def has_keyboard() -> bool:
    """Whether a person can press Ctrl-C here; not in a job, whose log nobody types into."""
    return sys.stdin is not None and sys.stdin.isatty()


def _status_words(name: str, status: FamilyStatus) -> str:
    words = f"{printable(name)} {status.done}/{status.budget} done ({status.running} running"
    return f"{words}, {status.pruned} pruned, {status.failed} failed)"
