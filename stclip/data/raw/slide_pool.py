"""The same work for many slides, several at a time, each in a process of its own."""

from __future__ import annotations

import multiprocessing
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

from stclip.errors import InputError

TELL_SECONDS = 0.2  # a process tells of its progress no more often


@dataclass(frozen=True)
class Failed:
    """Work on a slide that came to nothing."""

    why: str  # one line, which names the slide


def run_slides(
    work: Callable[..., Any], tasks: Mapping[str, tuple[Any, ...]], jobs: int, tell: Callable[[int], None]
) -> dict[str, Any]:
    """`work(*arguments, tell)` for each slide, in `jobs` processes; its value, or Failed after an InputError or OSError.

    `tell` hears the sum of what the works have told. With one job all runs in this process.
    """
    told = _Sum(tell)
    if jobs == 1 or len(tasks) == 1:
        return {slide: _guarded(work, slide, *given, told.add) for slide, given in tasks.items()}
    context = multiprocessing.get_context("spawn")
    with ExitStack() as stack:
        with _deaf_to_interrupts():  # Ctrl-C reaches all processes of a terminal; these are told instead
            manager = stack.enter_context(context.Manager())
            pool = stack.enter_context(ProcessPoolExecutor(min(jobs, len(tasks)), context))
            channel, stop = manager.Queue(), manager.Event()
            teller = _Teller(channel, stop)
            futures = {
                slide: pool.submit(_in_process, work, slide, given, teller) for slide, given in tasks.items()
            }
        try:
            waiting: set[Future[Any]] = set(futures.values())
            while waiting:
                _, waiting = wait(waiting, timeout=0.2)
                for _ in range(channel.qsize()):
                    told.add(channel.get())
        except BaseException:
            stop.set()
            pool.shutdown(wait=True, cancel_futures=True)
            raise
        return {slide: _result(slide, future) for slide, future in futures.items()}


class _StoppedError(Exception):
    """Raised in a process of the pool when the work is broken off."""


class _Teller:
    """How a process tells of its progress, a few times a second; it learns there that it is to stop."""

    def __init__(self, channel: Any, stop: Any) -> None:
        self._channel, self._stop = channel, stop
        self._held = 0
        self._next = 0.0  # when to speak again

    def __call__(self, more: int) -> None:
        self._held += more
        if time.monotonic() >= self._next:
            self.flush()
            if self._stop.is_set():
                raise _StoppedError
            self._next = time.monotonic() + TELL_SECONDS

    def flush(self) -> None:
        """Tell what has been held back."""
        if self._held:
            self._channel.put(self._held)
        self._held = 0


@contextmanager
def _deaf_to_interrupts() -> Iterator[None]:
    """Processes that are started within ignore SIGINT for good; this one only meanwhile."""
    if (
        threading.current_thread() is not threading.main_thread()
    ):  # where no handler can be set, and no Ctrl-C arrives
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


class _Sum:
    def __init__(self, tell: Callable[[int], None]) -> None:
        self._tell, self._sum = tell, 0

    def add(self, more: int) -> None:
        self._sum += more
        self._tell(self._sum)


def _result(slide: str, future: Future[Any]) -> Any:
    try:
        return future.result()
    except BrokenProcessPool:
        return Failed(
            f"slide '{slide}': a process was killed, most often for want of memory; run the same command with fewer --jobs"
        )


def _in_process(work: Callable[..., Any], slide: str, given: tuple[Any, ...], teller: _Teller) -> Any:
    try:
        return _guarded(work, slide, *given, teller)
    finally:
        teller.flush()


def _guarded(work: Callable[..., Any], slide: str, *given: Any) -> Any:
    try:
        return work(*given)
    except _StoppedError:
        return Failed(f"slide '{slide}': was broken off")
    except InputError as error:
        return Failed(str(error))
    except OSError as error:
        why = error.strerror or error
        return Failed(
            f"slide '{slide}': cannot be written ({why}); make room there, then run the same command"
        )
