"""Why a sweep ends before its budget: Ctrl-C, the time budget, or a fault that no further trial would mend."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any

OUT_OF_TIME = "the time budget is used up"


class StopSwitch:
    """`reason` is None until the sweep is to stop; then all running trials are cut off (see `sweeps.tuning`)."""

    def __init__(self, time_budget: float | None, on_stop: Callable[[str], None]) -> None:
        """`time_budget`: seconds from now, or None. `on_stop` is called once, with the reason; it may be replaced."""
        self.reason: str | None = None
        self.broken = False  # a fault, not a person or the clock, asked for the stop
        self.on_stop = on_stop
        # Seconds of the time budget that are kept for what comes after this phase.
        self.reserve: Callable[[], float] = lambda: 0.0
        self._deadline = None if time_budget is None else time.monotonic() + time_budget

    @property
    def out_of_time(self) -> bool:
        """Whether it was the clock that stopped the sweep."""
        return self.reason == OUT_OF_TIME

    def stop_all(self) -> bool:
        """True once the sweep is to stop."""
        late = self._deadline is not None and time.monotonic() >= self._deadline - self.reserve()
        if self.reason is None and late:
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


class InterruptHandler:
    """While active: the first Ctrl-C (or SIGTERM) asks for a clean stop, the second ends the process at once.

    The second leaves the results folder as it is: every file in it was written whole, and the studies are
    transactional, so nothing is lost but the trials that were running.

    It is active from before Ray starts until the report is written: a KeyboardInterrupt raised in the middle of an
    import, while another thread imports too, is swallowed and leaves both threads waiting for ever.
    """

    def __init__(self, switch: StopSwitch) -> None:
        self._switch = switch
        self._before: dict[int, Any] = {}

    def __enter__(self) -> InterruptHandler:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._handle)
        return self

    def rearm(self) -> None:
        """Take the signals back from Ray: `ray.init` sets a handler for SIGTERM that aborts the driver."""
        for number in self._before:
            signal.signal(number, self._handle)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self._switch.reason is not None:
            os.write(2, b"\nstopped at once; what had finished is in the results folder\n")
            os._exit(130)
        self._switch.stop("interrupted; stopping the running trials (once more: stop now)")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
