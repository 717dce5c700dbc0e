"""The processes that this one has started, and those that they have started."""

from __future__ import annotations

import signal
from contextlib import suppress

import psutil


def end_descendants() -> None:
    """End every process below this one. They are stopped first, so that none starts another meanwhile.

    Ray's agents would otherwise outlive a driver that ends without `ray.shutdown` by a minute, and a worker that is just
    starting by as long as it looks for its node.
    """
    stopped: set[psutil.Process] = set()
    while more := set(psutil.Process().children(recursive=True)) - stopped:
        for process in more:
            _signal(process, signal.SIGSTOP)
        stopped |= more
    for process in stopped:
        _signal(process, signal.SIGKILL)


def _signal(process: psutil.Process, number: signal.Signals) -> None:
    with suppress(psutil.Error):  # it has ended, or is not ours
        process.send_signal(number)
