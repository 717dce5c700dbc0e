"""Why a sweep ends before its budget: Ctrl-C (see `sweeps.driver.interrupts`), the time budget, or a fault that no further
trial would mend."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

OUT_OF_TIME = "the time budget is used up"


class StopSwitch:
    """`reason` is None until the sweep is to stop; then all running trials are cut off (see `sweeps.driver.tune`)."""

    def __init__(
        self,
        time_budget: float | None,
        on_stop: Callable[[str], None],
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """`time_budget`: seconds from now, or None. `on_stop` is called once, with the reason; it may be replaced."""
        self.reason: str | None = None
        self.broken = False  # a fault, not a person or the clock, asked for the stop
        self.ray_is_gone = False  # nothing may ask Ray for anything any more
        self.on_stop = on_stop
        # Seconds of the time budget that are kept for what comes after this phase.
        self.reserve: Callable[[], float] = lambda: 0.0
        self._now = now
        self._deadline = None if time_budget is None else now() + time_budget

    def seconds_left(self) -> float:
        """Until the clock stops this phase; without a time budget for ever."""
        return math.inf if self._deadline is None else self._deadline - self.reserve() - self._now()

    @property
    def out_of_time(self) -> bool:
        """Whether it was the clock that stopped the sweep."""
        return self.reason == OUT_OF_TIME

    def stop_all(self) -> bool:
        """True once the sweep is to stop."""
        if self.reason is None and self.seconds_left() <= 0:
            self.stop(OUT_OF_TIME)
        return self.reason is not None

    def go_on(self) -> None:
        """After the clock has ended one phase: begin the next, which has what was kept for it."""
        self.reason = None
        self.reserve = lambda: 0.0

    def stop(self, reason: str) -> None:
        """Ask for a clean stop; the first reason counts."""
        if self.reason is None:
            self.reason = reason
            self.on_stop(reason)

    def break_off(self, reason: str) -> None:
        """Stop because of a fault; the exit status then says so."""
        if self.reason is None:
            self.broken = True
        self.stop(reason)

    def lose_ray(self, reason: str) -> None:
        """Stop because Ray itself has ended; a stop that was asked for before keeps its reason."""
        self.ray_is_gone = True
        self.break_off(reason)
