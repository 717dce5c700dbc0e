"""When and how a sweep was worked on: one small file for each run of its driver, in the results folder's `runs/`.

    {run, started, last_seen, status, reason, seconds, pid, host, command, address, versions}

`status` is running, complete, interrupted (by a person or the time budget) or stopped (by a fault). A driver that was
killed leaves `running`; `last_seen` then says when it was alive. Times are ISO 8601 with their zone.
"""

from __future__ import annotations

import json
import os
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

from stclip.files.guarded_folder import overwrite_below, write_below
from stclip.files.regular_files import read_text

_NAME = re.compile(r"[0-9]{1,9}")  # of a run's file
_LONGEST = 1e9  # seconds of a run, thirty years
BEAT_SECONDS = 5.0  # how often a running driver says that it is alive


@dataclass(frozen=True)
class Interruption:
    """Between two runs: when and how the first ended, and when the next began."""

    ended: str
    how: str
    resumed: str


class RunLog:
    """The runs of one sweep; `start` adds this one."""

    def __init__(
        self, folder: Path, wait: Callable[[threading.Event, float], bool] = threading.Event.wait
    ) -> None:
        """`folder`: the results folder's `runs/`; made by `start`. `wait`: for an event, or these seconds."""
        self._folder = folder
        self._wait = wait
        self._entry: dict[str, Any] = {}
        self._path: Path | None = None
        self._clock = time.monotonic()
        self._writing = threading.Lock()

    def start(self, command: str, address: str | None, versions: Mapping[str, str]) -> int:
        """Add a run; returns its number, from 1."""
        number = 1 + max((entry["run"] for entry in self.entries()), default=0)
        self._path = self._folder / f"{number:04d}.json"
        now = _now()
        self._entry = {
            "run": number,
            "started": now,
            "last_seen": now,
            "status": "running",
            "reason": None,
            "seconds": 0.0,
            "pid": os.getpid(),
            "host": socket.gethostname(),
            "command": command,
            "address": address,
            "versions": dict(versions),
        }
        self._clock = time.monotonic()
        self._write()
        return number

    @contextmanager
    def beating(self) -> Iterator[None]:
        """Say every `BEAT_SECONDS` that the driver is alive while the block runs, whatever it is waiting for."""
        over = threading.Event()

        def beat() -> None:
            while not self._wait(over, BEAT_SECONDS):
                with suppress(OSError):  # a full disk; what the driver itself writes says so
                    self._write()

        thread = threading.Thread(target=beat, name="run-log", daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    def end(self, status: str, reason: str | None) -> None:
        """Close this run; nothing happens to one that was withdrawn."""
        if self._path is None:
            return
        self._entry |= {"status": status, "reason": reason}
        try:
            self._write()
        except OSError:
            overwrite_below(*self._place(), self._text())  # a full disk has no room for a second file

    def withdraw(self) -> None:
        """Take this run out of the log again: it was refused before it did anything."""
        with self._writing:
            if self._path is not None:
                self._path.unlink(missing_ok=True)
            self._path, self._entry = None, {}

    def entries(self) -> list[dict[str, Any]]:
        """All runs, oldest first. A damaged file counts as a run of which nothing is known but its number."""
        paths = sorted(p for p in self._folder.glob("*.json") if _NAME.fullmatch(p.stem))
        return [_read(path) for path in paths]

    def seconds(self) -> float:
        """Wall time of all runs."""
        return sum(float(entry["seconds"] or 0) for entry in self.entries())

    def interruptions(self) -> list[Interruption]:
        """How each run but the last ended. Runs that had nothing left to do are no interruptions."""
        return [
            Interruption(before["last_seen"], _how(before), after["started"])
            for before, after in pairwise(self.entries())
            if before["status"] != "complete"
        ]

    def _write(self) -> None:
        with self._writing:
            if self._path is None:  # withdrawn
                return
            self._entry |= {"last_seen": _now(), "seconds": round(time.monotonic() - self._clock, 1)}
            write_below(*self._place(), self._text())

    def _place(self) -> tuple[Path, str]:
        """The results folder, and this run's file below it."""
        assert self._path is not None
        return self._folder.parent, f"{self._folder.name}/{self._path.name}"

    def _text(self) -> str:
        return json.dumps(self._entry, indent=2) + "\n"


def _how(entry: Mapping[str, Any]) -> str:
    if entry["status"] == "running":
        return "the driver was killed, or its machine stopped"
    return str(entry["reason"] or entry["status"])


def _read(path: Path) -> dict[str, Any]:
    """A run as `RunLog` writes it. What is of another kind counts as not there: the file may be somebody else's."""
    unknown: dict[str, Any] = {"started": "unknown", "last_seen": "unknown", "status": "unknown", "reason": None, "seconds": 0.0,
               "pid": None, "host": None, "command": None, "address": None, "versions": {}}  # fmt: skip
    try:
        entry = json.loads(read_text(path))
    except (OSError, ValueError, RecursionError):
        entry = None
    told = entry if isinstance(entry, dict) else {"reason": f"not known: {path.name} is damaged"}
    known = {key: value for key, value in told.items() if _is_of_its_kind(key, value)}
    return {**unknown, **known, "run": int(path.stem), "seconds": float(known.get("seconds", 0.0))}


def _is_of_its_kind(key: str, value: Any) -> bool:
    if key == "seconds":
        return type(value) in (int, float) and 0 <= value < _LONGEST
    if key == "pid":
        return type(value) is int and 0 < value < 2**31
    if key == "versions":
        return isinstance(value, dict)
    return isinstance(value, str)


def _now() -> str:
    return datetime.now().astimezone().isoformat(timespec="seconds")
