"""The one door to a sweep's record, in a folder or at an address.

    with SweepRecord.create(place, sweep) as record:         # or SweepRecord.resume(place, told, widened)
        with record.run(command, cluster, versions, say, taken) as run:
            ...                                              # record.folder is where the driver writes
            run.end("complete", None)

What happens, in this order:

    a new sweep                                 a sweep that goes on
    1  the place is free                        1  (address) the record is fetched into a folder of the driver's own
    2  folder and sweep.yaml are made, at once  2  no link in the folder, no other driver: the folder's lock, signs of life
    3  (address) claimed: of two, one succeeds  3  the folder can be written; sweep.yaml is what the plan was made of;
    4  the folder's lock                           study.db is whole, or other files know no trial either
                                                4  a larger budget is written into sweep.yaml
    5  the run is entered in runs/, (address) there too: whoever is second is told
    6  every few seconds a sign of life; (address) what has changed is copied
    7  the run is closed in runs/; (address) the last copy
    8  (address) the driver's own folder goes away; a new sweep that could not start leaves nothing
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stclip.errors import InputError
from stclip.files.addresses import is_address
from sweeps.results.driver_lock import sole_driver
from sweeps.results.fault import check_writable
from sweeps.results.folder import ResultsFolder
from sweeps.results.mirror import Mirror
from sweeps.results.run_log import RunLog
from sweeps.results.scratch_folder import lent_folder, own_folder
from sweeps.results.sealed_yaml import read_sealed, seal_of
from sweeps.results.study_file import check_study_file


class NotStartedError(InputError):
    """No trial could be run, so there is nothing to keep of a new sweep."""


@dataclass(frozen=True)
class Told:
    """What a sealed sweep.yaml says: its mapping, and its seal, by which a change is known."""

    tree: Mapping[str, Any]
    seal: str

    @classmethod
    def read(cls, folder: ResultsFolder) -> Told:
        """Raises InputError: no sweep there, or a file that is not as the sweep wrote it."""
        return cls(read_sealed(folder.sweep_yaml), seal_of(folder.sweep_yaml))


class DriverRun:
    """One run of a driver: its number, from 1, and how it ends. Until the driver says how, a fault has ended it."""

    def __init__(self, number: int, log: RunLog) -> None:
        """`log`: where the run is entered."""
        self.number, self._log = number, log
        self._status = "stopped"
        self._reason: str | None = "a fault; see what the driver printed"

    def end(self, status: str, reason: str | None) -> None:
        """Write down how the run ends: complete, interrupted or stopped. The last word counts."""
        self._status, self._reason = status, reason
        self.write()

    def write(self) -> None:
        """Write it down again, with the time that has passed. Raises OSError."""
        self._log.end(self._status, self._reason)


class SweepRecord:
    """A sweep's record while this process is its only driver. Made by `create` and `resume`."""

    def __init__(self, place: str, folder: ResultsFolder, mirror: Mirror | None) -> None:
        """`folder`: where the driver writes. `mirror`: what keeps an address up to date; None for a folder."""
        self.place, self.folder = place, folder
        self._mirror = mirror
        self._runs = RunLog(folder.runs_dir)

    # -- before a sweep begins

    @staticmethod
    def check_free(place: str) -> None:
        """Raise InputError unless a new sweep can be put there: nothing is there, and it can be written to."""
        if is_address(place):
            Mirror(place, Path()).check_free()
        else:
            ResultsFolder(Path(place)).check_free()

    @staticmethod
    def is_elsewhere(place: str) -> bool:
        """Whether it is an address, whose files have to be copied to be opened."""
        return is_address(place)

    @staticmethod
    @contextmanager
    def looked_at(place: str) -> Iterator[ResultsFolder]:
        """The folder to read a sweep's sealed sweep.yaml and its readings from; of an address, copies of these two.

        Raises InputError when there is no sweep. Errors about files speak of the place.
        """
        if not is_address(place):
            yield ResultsFolder(Path(place))
            return
        with _copy_of(place) as (mirror, folder):
            mirror.fetch_some(("sweep.yaml", "test_reads.json"))
            with mirror.named():
                yield folder

    @staticmethod
    @contextmanager
    def for_report(place: str) -> Iterator[ResultsFolder]:
        """The folder of a sweep whose report is written again; at an address, a copy whose report is sent back at the end."""
        if not is_address(place):
            yield ResultsFolder(Path(place))
            return
        with _copy_of(place) as (mirror, folder):
            mirror.fetch()
            with mirror.named():
                yield folder
            for path in (folder.report_md, folder.report_html):
                mirror.replace(path.name)

    # -- a driver's

    @classmethod
    @contextmanager
    def create(cls, place: str, sweep: Mapping[str, Any]) -> Iterator[SweepRecord]:
        """A new sweep's record. `sweep`: what sweep.yaml is to hold, with its `name`.

        Raises InputError when the place is taken or cannot be written. What the block raises as NotStartedError undoes all.
        """
        with _opened(place, str(sweep["name"])) as record:
            made = [one for one in (record.folder.path, *record.folder.path.parents) if not one.exists()]
            try:
                record.folder.create(sweep)
                if record._mirror is not None:
                    record._mirror.claim()
                with sole_driver(record.folder.path, record._runs, place):
                    yield record
            except NotStartedError:
                record._withdraw(made)
                raise

    @classmethod
    @contextmanager
    def resume(cls, place: str, told: Told, widened: Mapping[str, Any] | None) -> Iterator[SweepRecord]:
        """The record of a sweep that goes on.

        Args:
            place: the sweep's.
            told: its sweep.yaml as the plan was made of it.
            widened: the same with a larger budget; None where nothing grows.

        Raises:
            InputError: somebody else works on the sweep, its folder holds a link, cannot be written or is damaged.
        """
        with _opened(place, str(told.tree["name"])) as record:
            if record._mirror is not None:
                record._mirror.fetch()
            with sole_driver(record.folder.path, record._runs, place):
                check_writable(record.folder, place)
                record._check_told(told)
                check_study_file(record.folder.study_db)
                if not record.folder.study_db.exists():
                    record.check_traces(set())  # before an empty one is made
                if widened is not None:
                    record.folder.write_sweep_yaml(widened)
                yield record

    def _check_told(self, told: Told) -> None:
        """Another driver may have changed the budget since this one looked."""
        if seal_of(self.folder.sweep_yaml) != told.seal:
            raise InputError(
                f"{self.folder.sweep_yaml}: another process has changed it just now; run the command again"
            )

    def check_traces(self, recorded: set[str]) -> None:
        """Raise InputError when the studies lack a trial that other files know; `recorded`: those that they have.

        A study.db that was lost or cut short would otherwise start the sweep anew in the old folder.
        """
        missing = sorted(self.folder.known_trials() - recorded)
        if missing:
            raise InputError(
                f"{self.folder.study_db}: lacks {len(missing)} trials that the folder has traces of (such as {missing[0]}), so "
                "it was cut short or replaced; put back a copy of it, or start another sweep with --name"
            )

    @contextmanager
    def run(
        self,
        command: str,
        cluster: str | None,
        versions: Mapping[str, str],
        say: Callable[[str], None],
        taken: Callable[[str], None],
    ) -> Iterator[DriverRun]:
        """This run of the driver, from its entry in runs/ to the last copy.

        Args:
            command: as it was typed.
            cluster: the address of Ray's cluster; None for a Ray of the driver's own.
            versions: of what it runs on.
            say: is told of an address that cannot be reached for now.
            taken: is told when another driver has taken over.

        Raises:
            InputError: another driver has begun in the meantime.
            AddressError: the address could not be brought up to date at the end.
        """
        entered = DriverRun(self._runs.start(command, cluster, versions), self._runs)
        if self._mirror is not None:
            self._mirror.begin(entered.number)
        following = nullcontext() if self._mirror is None else self._mirror.following(say, taken)
        with following, self._runs.beating():
            try:
                yield entered
            except NotStartedError:
                self._runs.withdraw()
                raise
            finally:
                with suppress(OSError):
                    entered.write()

    @property
    def runs(self) -> RunLog:
        """All runs of its drivers."""
        return self._runs

    def soon(self) -> None:
        """Something has changed: bring an address up to date now rather than at the next beat. Returns at once."""
        if self._mirror is not None:
            self._mirror.soon()

    def publish(self) -> None:
        """Bring an address up to date before anything else happens. Raises AddressError."""
        if self._mirror is not None:
            self._mirror.push()

    def _withdraw(self, made: list[Path]) -> None:
        if self._mirror is not None:
            self._mirror.withdraw()
        shutil.rmtree(self.folder.path, ignore_errors=True)
        with suppress(OSError):  # another sweep's folder lies there by now
            for parent in made[1:]:
                parent.rmdir()


@contextmanager
def _opened(place: str, name: str) -> Iterator[SweepRecord]:
    """A record in its folder, or in one of the driver's own, whose errors then speak of the address."""
    if not is_address(place):
        yield SweepRecord(place, ResultsFolder(Path(place)), None)
        return
    folder = own_folder(name)
    mirror = Mirror(place, folder)
    with lent_folder(folder), mirror.named():
        yield SweepRecord(place, ResultsFolder(folder), mirror)


@contextmanager
def _copy_of(place: str) -> Iterator[tuple[Mirror, ResultsFolder]]:
    with tempfile.TemporaryDirectory(prefix="stclip-") as folder:
        yield Mirror(place, Path(folder)), ResultsFolder(Path(folder))
