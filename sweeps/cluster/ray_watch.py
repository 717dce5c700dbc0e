"""The end of the Ray under a sweep is a stop of the sweep, not of its driver.

Without its raylet a driver waits for ever once a process is needed; without its GCS (Ray's head) every call waits, and Ray
ends the driver in native code after a while. So Tune runs in a thread of its own (`run_beside`). The driver's main thread
watches Ray meanwhile, leaves that thread to itself when Ray is gone, and reports what is there.
"""

from __future__ import annotations

import atexit
import os
import socket
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, wait
from contextlib import suppress
from typing import NoReturn

LOOK_SECONDS = 0.2
# Of a cluster's head that does not answer: how often it is asked, and after how long it is taken for gone. A head that is
# started again in place comes back sooner; Ray itself gives up after a minute.
ASK_SECONDS, PATIENCE_SECONDS = 5.0, 45.0
_NEEDED = ("gcs_server", "raylet")


def run_beside(work: Callable[[], object], lost: Callable[[], str | None]) -> str | None:
    """Run it in another thread, until it ends or Ray does.

    Returns None when it has come to its end, or why Ray is gone: the thread is then left to itself. Raises what `work`
    raises, unless Ray is gone.
    """
    done: Future[None] = Future()

    def run() -> None:
        try:
            work()
        except BaseException as error:  # for the main thread
            done.set_exception(error)
        else:
            done.set_result(None)

    threading.Thread(target=run, name="tune", daemon=True).start()
    while not wait([done], timeout=LOOK_SECONDS).done:
        if reason := lost():
            return reason
    if done.exception() is not None and (reason := lost()):
        return reason
    done.result()
    return None


def lost_private_ray() -> str | None:
    """Why the private Ray of this process is gone; None while it runs, or when it was shut down."""
    from ray._private import worker  # Ray has no public way to ask

    node = worker._global_node
    if node is None:
        return None
    dead = {kind for kind, _ in node.dead_processes()}
    ended = [kind for kind in _NEEDED if kind in dead]
    return f"Ray has ended: its process {ended[0]} was killed, or died" if ended else None


class LostHead:
    """Why the head of a cluster is gone; None while it answers, or has not answered for a short time only."""

    def __init__(self, answers: Callable[[], bool], now: Callable[[], float] = time.monotonic) -> None:
        """`answers`: asks the head. `now`: seconds."""
        self._answers, self._now = answers, now
        self._heard = self._asked = now()
        self._turn = threading.Lock()

    def __call__(self) -> str | None:
        with self._turn:
            if self._now() - self._asked >= ASK_SECONDS:
                self._asked = self._now()
                if self._answers():
                    self._heard = self._now()
        if self._now() - self._heard < PATIENCE_SECONDS:
            return None
        return f"the cluster's head has not answered for {PATIENCE_SECONDS:.0f} seconds"


def lost_cluster() -> LostHead:
    """Watches the head of the cluster that this process is connected to."""
    import ray

    host, _, port = ray.get_runtime_context().gcs_address.rpartition(":")

    def answers() -> bool:
        try:
            socket.create_connection((host.strip("[]"), int(port)), timeout=ASK_SECONDS).close()
        except OSError:
            return False
        return True

    return LostHead(answers)


def forget_ray() -> None:
    """Ray is gone: nothing at the process's end may wait for it."""
    import ray

    atexit.unregister(ray.shutdown)


def leave(code: int) -> NoReturn:
    """End this process at once, without the threads of Ray's and Tune's that wait for what does not come back."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):  # nobody reads it any more
            stream.flush()
    os._exit(code)
