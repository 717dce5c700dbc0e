"""Results at an address: the driver works in a folder of its own on its disk, and the record of the sweep is kept there too.

    <address>/sweep.yaml, study.db, runs/, trials.csv, summary.json, report.*, best/    the record, copied by the driver
    <address>/ray/, <address>/trials/                                                    written there by the trials' nodes

The address is the truth: `--resume` begins with what is there, on any machine, and the driver's own folder goes away with
the driver. study.db is an SQLite file, which cannot be written to over such a connection; what is copied is a whole
state of it, seconds old at most. A trial whose end a killed driver had not copied yet is found by its last checkpoint.
"""

from __future__ import annotations

import re
import shlex
import shutil
import sqlite3
import tempfile
import threading
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from stclip.errors import InputError
from stclip.files.addresses import open_address
from stclip.files.guarded_folder import check_no_links
from sweeps.results.folder import ResultsFolder
from sweeps.results.run_log import BEAT_SECONDS

_ELSEWHERE = ("ray/", "trials/")  # below the address, but not the driver's
_NOT_COPIED = ("driver.lock", "study.db-journal", "study.db-wal", "study.db-shm")
# Speak of what the other files hold, so they follow them.
_LAST = (
    "trials.csv",
    "summary.json",
    "report.md",
    "report.html",
    "runs/",
)
PAUSE_SECONDS = 1.0  # between two copies, however often one is asked for


class AddressError(Exception):
    """The results' address could not be brought up to date, or another driver works there. One line, with the way out."""


class Mirror:
    """The record of one sweep at its address; all that the driver does there."""

    def __init__(self, address: str, folder: Path) -> None:
        """`address`: of the sweep itself (`s3://bucket/results/NAME`). `folder`: the driver's own; see
        `sweeps.results.scratch_folder`."""
        self.address = address.rstrip("/")
        self._folder = folder
        self._remote = open_address(self.address, "choose a folder with --results")
        self._sent: dict[str, tuple[int, int]] = {}
        self._run = 0
        self._turn = threading.Lock()
        self._wake = threading.Event()

    def check_free(self) -> None:
        """Raise InputError unless the address can take a new sweep: nothing is there, and it can be written to."""
        way_out = "choose another name with --name, or another place with --results"
        with self._asking():
            if self._remote.exists("sweep.yaml"):
                state = "a sweep"
                if not self._is_complete():
                    state = "an unfinished sweep"
                    way_out = f"go on with it by: python sweeps/run.py --resume {shlex.quote(self.address)}, or {way_out}"
                raise InputError(f"results at {self.address}: already holds {state}; {way_out}")
            if not self._remote.is_empty():
                raise InputError(f"results at {self.address}: is not empty and holds no sweep; {way_out}")
            probe = f".probe-{uuid.uuid4().hex[:8]}"
            self._remote.create(probe, b"")
            self._remote.remove(probe)

    def _is_complete(self) -> bool:
        with tempfile.TemporaryDirectory(prefix="stclip-") as folder:
            with suppress(FileNotFoundError):
                self._remote.download("summary.json", Path(folder) / "summary.json")
            return ResultsFolder(Path(folder)).is_complete()

    def claim(self) -> None:
        """Put the new sweep's sweep.yaml there; of two drivers that try, one succeeds. Raises InputError."""
        with self._asking():
            try:
                self._remote.create("sweep.yaml", (self._folder / "sweep.yaml").read_bytes())
            except FileExistsError:
                self.check_free()
                raise

    def withdraw(self) -> None:
        """Take away what `claim` and later pushes put there, of a sweep that could not start."""
        # Nobody else can have the place, which was empty before `claim`. What stays in spite of all is an unfinished sweep.
        with self._turn, suppress(Exception):
            self._remote.remove("")

    def fetch_some(self, names: Sequence[str]) -> None:
        """Copy those of these files that are there into the folder, which exists. Raises InputError: see `fetch`."""
        with self._asking():
            self._refuse_no_sweep(self._remote.exists("sweep.yaml"))
            for name in names:
                if self._remote.exists(name):
                    self._remote.download(name, self._folder / name)

    def _refuse_no_sweep(self, is_there: bool) -> None:
        if not is_there:
            raise InputError(f"{self.address}: not a sweep's results: it has no sweep.yaml")

    def fetch(self) -> None:
        """Replace the driver's own copy of the record by what is there. Raises InputError: nothing there, no way to read it.

        A copy of study.db that was cut off is not there: the file appears whole or not at all.
        """
        with self._asking():
            if local := self._remote.local_folder():
                check_no_links(local)  # the trials' nodes write there
            there = {name for name in self._remote.tree() if not name.startswith(_ELSEWHERE)}
            self._refuse_no_sweep("sweep.yaml" in there)
            shutil.rmtree(self._folder, ignore_errors=True)
            for name in sorted(there - set(_NOT_COPIED)):
                path = self._folder / name
                path.parent.mkdir(parents=True, exist_ok=True)
                self._remote.download(name, path)
                self._sent[name] = _state(path)

    def begin(self, run: int) -> None:
        """Enter this run of the driver, `runs/<run>.json`, by which others know that it is at work.

        Raises InputError when another driver has begun in the meantime.
        """
        name = f"runs/{run:04d}.json"
        with self._asking():
            try:
                self._remote.create(name, (self._folder / name).read_bytes())
            except FileExistsError:
                raise InputError(
                    f"results at {self.address}: another process has just begun to work on this sweep; wait for it or "
                    "end it, then use --resume"
                ) from None
        self._run, self._sent[name] = run, _state(self._folder / name)

    def push(self) -> None:
        """Copy what has changed. Raises AddressError."""
        with self._turn:
            try:
                self._push()
            except AddressError:
                raise
            except Exception as error:  # of whatever kind the file system has
                raise AddressError(
                    f"results at {self.address}: cannot be written ({type(error).__name__}: {' '.join(str(error).split())[:300]})"
                ) from error

    def _push(self) -> None:
        runs = [int(name[:4]) for name in self._remote.files("runs") if re.fullmatch(r"[0-9]{4}", name[:4])]
        if max(runs, default=0) > self._run:
            raise AddressError(
                f"results at {self.address}: another driver has gone on with this sweep (run {max(runs)}); this one stops"
            )
        own = f"runs/{self._run:04d}.json"
        if own in self._sent and not (self._folder / own).exists():  # withdrawn
            self._remote.remove(own)
        with tempfile.TemporaryDirectory(prefix="stclip-") as folder:
            followers = {}
            for name in self._changed():
                if name.startswith(_LAST):  # taken first and sent last, so that study.db is never behind them
                    copy = Path(folder) / name.replace("/", "-")
                    followers[name] = (copy, _state(self._folder / name))
                    shutil.copyfile(self._folder / name, copy)
            for name in self._changed():
                if name in followers or name.startswith(_LAST):
                    continue
                state, path = _state(self._folder / name), self._folder / name
                if name == "study.db":
                    path = Path(folder) / name
                    copy_study(self._folder / name, path)
                self._send(path, name, state)
            for name, (copy, state) in followers.items():
                self._send(copy, name, state)

    def _send(self, path: Path, name: str, state: tuple[int, int]) -> None:
        self._remote.upload(path, name)
        self._sent[name] = state

    def _changed(self) -> list[str]:
        found = []
        for path in sorted(self._folder.rglob("*")):
            name = path.relative_to(self._folder).as_posix()
            hidden = any(part.startswith(".") for part in name.split("/"))
            if hidden or name in _NOT_COPIED or name.startswith(_ELSEWHERE):
                continue
            with suppress(FileNotFoundError):  # replaced just now: the next time, then
                if path.is_file() and self._sent.get(name) != _state(path):
                    found.append(name)
        return found

    def replace(self, name: str) -> None:
        """Send one file of the record, whoever works on the sweep. Raises InputError."""
        with self._asking():
            self._send(self._folder / name, name, _state(self._folder / name))

    def soon(self) -> None:
        """Ask for a copy now rather than at the next beat; returns at once."""
        self._wake.set()

    @contextmanager
    def following(
        self,
        warn: Callable[[str], None],
        taken: Callable[[str], None],
        wait: Callable[[threading.Event, float], bool] = threading.Event.wait,
    ) -> Iterator[None]:
        """Copy every few seconds while the block runs, and once more at its end, which raises AddressError.

        `warn` is told of a fault, once until a copy succeeds again; `taken` when another driver has taken over. When the
        block itself raises, its own error is the one that counts: `warn` is told of the address's. `wait`: for an event, or
        these seconds.
        """
        over = threading.Event()

        def follow() -> None:
            told = False
            while not over.is_set():
                wait(self._wake, BEAT_SECONDS)
                self._wake.clear()
                try:
                    if not over.is_set():
                        self.push()
                    told = False
                except AddressError as error:
                    if error.__cause__ is None:
                        taken(str(error))
                        return
                    if not told:
                        warn(f"{error}; trying again")
                    told = True
                wait(over, PAUSE_SECONDS)

        thread = threading.Thread(target=follow, name="results-mirror", daemon=True)
        thread.start()

        def stop() -> None:
            over.set()
            self._wake.set()
            thread.join()

        try:
            yield
        except BaseException:
            stop()
            try:
                self._last_push()
            except AddressError as error:
                warn(str(error))
            raise
        stop()
        self._last_push()

    def _last_push(self) -> None:
        try:
            self.push()
        except AddressError as error:
            if error.__cause__ is None:
                raise
            kept = self._folder.with_name(f"{self._folder.name}-not-copied")
            shutil.rmtree(kept, ignore_errors=True)
            shutil.copytree(self._folder, kept)
            raise AddressError(
                f"{error}; what it lacks is in {kept} on this machine: copy it there, or leave it: --resume {self.address} "
                "goes on from what is there"
            ) from error.__cause__

    @contextmanager
    def _asking(self) -> Iterator[None]:
        """Whatever the file system raises becomes an InputError with the address and the way out."""
        try:
            yield
        except InputError:
            raise
        except Exception as error:
            raise InputError(
                f"results at {self.address}: cannot be used ({type(error).__name__}: {' '.join(str(error).split())[:300]}); "
                "check the address and the credentials that this machine has for it, or choose a folder with --results"
            ) from None

    @contextmanager
    def named(self) -> Iterator[None]:
        """Errors about files in the driver's own folder speak of the address instead."""
        try:
            yield
        except InputError as error:
            raise type(error)(str(error).replace(str(self._folder), self.address)) from None


def _state(path: Path) -> tuple[int, int]:
    facts = path.stat()
    return facts.st_mtime_ns, facts.st_size


def copy_study(study: Path, target: Path) -> None:
    """A whole state of an SQLite file that others write to."""
    with closing(sqlite3.connect(study, timeout=60)) as source, closing(sqlite3.connect(target)) as copy:
        source.backup(copy)
