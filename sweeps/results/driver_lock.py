"""One driver at a time works on a results folder."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import psutil
from filelock import FileLock, Timeout

from stclip.errors import InputError
from stclip.files.guarded_folder import check_no_links
from sweeps.results.run_log import BEAT_SECONDS, RunLog

LOCK = "driver.lock"
_ALIVE = timedelta(seconds=6 * BEAT_SECONDS)  # a driver that has not been seen for so long is taken for dead
_AHEAD = timedelta(
    days=1
)  # by which another machine's clock may be wrong; a sign of life beyond that is made up


@contextmanager
def sole_driver(folder: Path, runs: RunLog, place: str) -> Iterator[None]:
    """Hold the folder for this process. The system lets go of it when the process ends, however it ends.

    A lock does not reach over every network file system, so a driver on another machine is also known by its sign of
    life in `runs`. So is every other driver where results are at an address: `folder` is then this driver's own, and not
    the `place` of the results.

    The folder may be somebody else's: before anything is written, the lock included, it is looked at for links.

    Raises InputError: somebody else works on the sweep, the folder holds a link, or it cannot be written.
    """
    lock = FileLock(folder / LOCK, timeout=0)
    try:
        check_no_links(folder)
        lock.acquire()
    except Timeout:
        raise _taken(place, runs) from None
    except NotImplementedError:  # the file system has no locks: the sign of life has to do
        pass
    except OSError as error:
        raise InputError(
            f"results {place}: cannot be written ({LOCK}: {error.strerror or error}); give yourself the right to write there, "
            "or copy the folder to a place of yours and --resume it there"
        ) from None
    try:
        _check_other_machines(place, runs, place != str(folder))
        yield
    finally:
        lock.release()


def _check_other_machines(place: str, runs: RunLog, at_address: bool) -> None:
    last = _last(runs)
    if last.get("status") != "running" or last["host"] is None:
        return
    if last["host"] != socket.gethostname() or (at_address and _lives(last["pid"])):
        try:
            silent = datetime.now().astimezone() - datetime.fromisoformat(last["last_seen"])
        # No time, one without its zone, one at the end of all years.
        except (ValueError, TypeError, OverflowError):
            return
        if -_AHEAD < silent < _ALIVE:
            raise _taken(place, runs)


def _lives(pid: Any) -> bool:
    """Is there another process of this number on this machine? A zombie (it has exited, its parent has not reaped it) is none."""
    if not isinstance(pid, int) or pid in (0, os.getpid()):
        return False
    try:
        return bool(psutil.Process(pid).status() not in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD))
    except psutil.AccessDenied:  # somebody else's
        return True
    except (psutil.NoSuchProcess, ValueError):  # gone, or no pid at all
        return False


def _last(runs: RunLog) -> dict[str, Any]:
    entries = runs.entries()
    return entries[-1] if entries else {}


def _taken(place: str, runs: RunLog) -> InputError:
    last = _last(runs)
    who = f" (process {last['pid']} on {last['host']}, last seen {last['last_seen']})" if last else ""
    return InputError(
        f"results {place}: another process works on this sweep{who}; wait for it or end it, then use --resume"
    )
