"""Ctrl-C and SIGTERM: the first asks for a clean stop, the second ends the process and all that it has started.

SIGHUP (the terminal is gone) and SIGUSR1 (a batch system's warning) ask for a clean stop too, however often they come.
"""

from __future__ import annotations

import os
import signal
import socket
import threading
from contextlib import suppress
from types import FrameType, TracebackType
from typing import Any

from sweeps.cluster.descendants import end_descendants
from sweeps.driver.stopping import StopSwitch

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_WARNINGS = (signal.SIGHUP, signal.SIGUSR1)  # a shell and the system may both send the first one


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
        self._ending = threading.Lock()
        self.way_on = ""  # the command that goes on with the sweep, once there is one to go on with

    def __enter__(self) -> InterruptHandler:
        if threading.current_thread() is threading.main_thread():
            self._terminals = [descriptor for descriptor in (1, 2) if os.isatty(descriptor)]
            self._listen()
            for number in (*_SIGNALS, *_WARNINGS):
                if number in _SIGNALS or signal.getsignal(number) != signal.SIG_IGN:  # as nohup wants it
                    self._before[number] = signal.signal(number, self._handle)
        return self

    def rearm(self) -> None:
        """Take the signals back from Ray: `ray.init` sets a handler for SIGTERM that aborts the driver."""
        for number in self._before:
            signal.signal(number, self._handle)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if number in _WARNINGS:
            self._leave_lost_terminals()
        elif self._switch.reason is not None:
            self._end_at_once()
        self._switch.stop("interrupted; stopping the running trials (once more: stop now)")

    def _leave_lost_terminals(self) -> None:
        """Writing to a terminal that is gone would raise, in the middle of the report."""
        for descriptor in self._terminals:
            if not os.isatty(descriptor):
                nowhere = os.open(os.devnull, os.O_WRONLY)
                os.dup2(nowhere, descriptor)
                os.close(nowhere)

    def _listen(self) -> None:
        """Count signals in a thread too: Python calls no handler while the main thread is in native code.

        `ray.init` can be there for minutes, when a process that it waits for does not come up.
        """
        self._ear, self._mouth = socket.socketpair()
        self._mouth.setblocking(False)
        self._fd_before = signal.set_wakeup_fd(self._mouth.fileno(), warn_on_full_buffer=False)
        threading.Thread(target=self._count, name="interrupts", daemon=True).start()

    def _count(self) -> None:
        seen = 0
        with self._ear:
            while numbers := self._ear.recv(64):
                seen += sum(number in _SIGNALS for number in numbers)
                if seen > 1:
                    self._end_at_once()

    def _end_at_once(self) -> None:
        if not self._ending.acquire(blocking=False):
            return  # the other thread is at it
        kept = (
            f"what had finished is in the results folder\ngo on     {self.way_on}"
            if self.way_on
            else "nothing was run"
        )
        with suppress(OSError):  # nobody reads it any more
            os.write(2, f"\nstopped at once; {kept}\n".encode())
        end_descendants()
        os._exit(130)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        if self._before:
            signal.set_wakeup_fd(self._fd_before)
            self._mouth.close()  # which ends the thread
