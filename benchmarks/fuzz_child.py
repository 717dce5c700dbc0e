"""Examples tried in a process of their own, for `benchmarks/fuzz.py`: one that ends the process is a finding like others."""

from __future__ import annotations

import multiprocessing
import os
import resource
import tempfile
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

PATIENCE = 600  # seconds; only turns an example that never ends into a finding
MOST_MEMORY = 400  # MB that the examples may add in all

TryIn = Callable[[Any, Path], bool]  # an example, and an empty folder for it; True: accepted, False: refused


class InChild:
    """Call it with an example: True or False, as `work` returns it in another process.

    Raises AssertionError for a finding: what `work` raised, a process that ended, an example that never ends, much memory. The
    next example then has a new process. `warm_up` is tried first: what it loads is not counted as memory of examples.
    """

    def __init__(self, work: TryIn, warm_up: Any) -> None:
        self._work, self._warm_up = work, warm_up
        self._process: Any = None

    def __call__(self, example: Any) -> bool:
        if self._process is None:
            self._start()
        self._connection.send(example)
        if not self._connection.poll(PATIENCE):
            self.close()
            raise AssertionError("the example does not end")
        try:
            accepted, wrong = self._connection.recv()
        except EOFError:
            self._process.join()
            status = self._process.exitcode
            self.close()
            raise AssertionError(f"the example ended its process: exit status {status}") from None
        if wrong is not None:
            raise AssertionError(wrong)
        return bool(accepted)

    def close(self) -> None:
        """End the process, if there is one, and remove its files."""
        if self._process is not None:
            self._connection.close()
            self._process.kill()
            self._process.join()
            self._folder.cleanup()
            self._process = None

    def _start(self) -> None:
        context = multiprocessing.get_context("fork")  # what is imported here need not be there again
        self._folder = tempfile.TemporaryDirectory(prefix="st")
        self._connection, other = context.Pipe()
        given = (self._work, self._warm_up, Path(self._folder.name), other)
        self._process = context.Process(target=_serve, args=given, daemon=True)
        self._process.start()
        other.close()


def _serve(work: TryIn, warm_up: Any, folder: Path, connection: Connection) -> None:
    os.chdir(folder)
    with tempfile.TemporaryDirectory(dir=folder) as own:
        work(warm_up, Path(own))
    before = _peak()
    while True:
        try:
            example = connection.recv()
        except EOFError:
            return
        try:
            with tempfile.TemporaryDirectory(dir=folder) as own:
                accepted, wrong = work(example, Path(own)), None
            assert _peak() - before < MOST_MEMORY, f"memory grew by {_peak() - before:.0f} MB"
        except BaseException:
            accepted, wrong, before = False, traceback.format_exc(), max(before, _peak())
        connection.send((accepted, wrong))


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
