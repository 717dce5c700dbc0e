"""The same work for many slides, several at a time, each in a process of its own."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from typing import Any

from stclip.errors import InputError


def run_slides(
    work: Callable[..., Any], tasks: Mapping[str, tuple[Any, ...]], jobs: int, tell: Callable[[int], None]
) -> dict[str, Any]:
    """`work(*arguments, tell)` for each slide, in `jobs` processes; its value, or one line for an InputError or OSError.

    `tell` hears the sum of what the works have told. With one job all runs in this process.
    """
    told = _Sum(tell)
    if jobs == 1 or len(tasks) == 1:
        return {slide: _guarded(work, slide, *given, told.add) for slide, given in tasks.items()}
    context = multiprocessing.get_context("spawn")
    with context.Manager() as manager, ProcessPoolExecutor(min(jobs, len(tasks)), context) as pool:
        channel = manager.Queue()
        futures = {
            slide: pool.submit(_guarded, work, slide, *given, channel.put) for slide, given in tasks.items()
        }
        try:
            waiting: set[Future[Any]] = set(futures.values())
            while waiting:
                _, waiting = wait(waiting, timeout=0.2)
                for _ in range(channel.qsize()):
                    told.add(channel.get())
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise
        return {slide: _result(slide, future) for slide, future in futures.items()}


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
        return f"slide '{slide}': a process was killed, most often for want of memory; run the same command with fewer --jobs"


def _guarded(work: Callable[..., Any], slide: str, *given: Any) -> Any:
    try:
        return work(*given)
    except InputError as error:
        return str(error)
    except OSError as error:
        why = error.strerror or error
        return f"slide '{slide}': cannot be written ({why}); make room there, then run the same command"
