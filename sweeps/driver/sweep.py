"""One sweep from the first trial to the report: Ray started, trials run and watched, winners read, results written."""

from __future__ import annotations

import shlex
import shutil
import sys
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from rich.console import Console

from stclip.data.store import SpotStore
from stclip.data.store.data_key import DataChangedError
from stclip.errors import InputError, printable
from stclip.files.addresses import is_address
from sweeps.cluster.connect import ClusterInfo, TrialResources, connect
from sweeps.cluster.nodes import prepare_nodes
from sweeps.cluster.private_ray import start_local_ray
from sweeps.cluster.ray_watch import leave, lost_cluster, lost_private_ray
from sweeps.cluster.resources import share
from sweeps.driver.interrupts import InterruptHandler
from sweeps.driver.phase import Outcome, Phase, RunningRay, Sweeping, run_phase
from sweeps.driver.stopping import StopSwitch
from sweeps.planning.plan import SweepPlan
from sweeps.planning.resume import check_record, widen
from sweeps.planning.sweep_yaml import describe_sweep
from sweeps.planning.versions import collect_versions
from sweeps.reporting.final_table import final_table
from sweeps.results.driver_lock import sole_driver
from sweeps.results.fault import NO_ROOM, check_writable, results_fault
from sweeps.results.folder import ResultsFolder
from sweeps.results.mirror import AddressError, Mirror
from sweeps.results.records import Chosen, recorded_names
from sweeps.results.run_log import RunLog
from sweeps.results.scratch_folder import lent_folder
from sweeps.results.study_file import check_study_file, first_reading, study_storage
from sweeps.text import confirm_words

if TYPE_CHECKING:
    from sweeps.search.family_search import FamilySearch

TOO_LATE = "the trials have ended, the report is being written (once more: stop now)"  # to an interrupt


def run_sweep(plan: SweepPlan, store: SpotStore, command: str, quiet: bool, began: float) -> int:
    """Run or go on with a resolved sweep whose data are ready. `began`: when its command did, by `time.monotonic`.

    Returns the exit status: 0 when every family has a winner, 1 when one has none or a fault stopped the sweep.
    Raises InputError when the results folder is taken, damaged or cannot be written, when no trial fits on any node, or
    when a cluster cannot be joined.
    """
    folder, runs, console, mirror = plan.results, RunLog(plan.results.runs_dir), Console(), plan.mirror()
    switch = StopSwitch(
        plan.time_budget, lambda reason: None if quiet else console.print(reason, markup=False)
    )
    # Interrupts are handled before there is a folder that a Ctrl-C could leave half made.
    with (
        InterruptHandler(switch) as interrupts,
        _own_folder(mirror, folder),
        _nothing_left(plan, folder, mirror),
    ):
        if not plan.resumed:
            folder.create(describe_sweep(plan, store, command))
            if mirror is not None:
                mirror.claim()
        elif mirror is not None:
            mirror.fetch()
        with sole_driver(folder.path, runs, plan.place):
            if plan.resumed:
                check_writable(folder, plan.place)
                check_study_file(folder.study_db)
                if not folder.study_db.exists():
                    check_record(folder, set())  # before an empty one is made
                widen(plan)
            interrupts.way_on = resume_command(plan.place)
            job = Sweeping(plan, folder, store, runs, console, quiet, mirror, began)
            code = _run(job, switch, interrupts, command)
    if switch.ray_is_gone:
        leave(code)
    return code


@contextmanager
def _own_folder(mirror: Mirror | None, folder: ResultsFolder) -> Iterator[None]:
    """For results at an address: the driver's own folder, and messages that speak of the address instead."""
    if mirror is None:
        yield
    else:
        with lent_folder(folder.path), mirror.named():
            yield


class NotStartedError(InputError):
    """No trial could be run, so there is nothing to keep of a new sweep."""


@contextmanager
def _nothing_left(plan: SweepPlan, folder: ResultsFolder, mirror: Mirror | None) -> Iterator[None]:
    """Remove what was made of a new sweep that could not start; a resumed one is as it was."""
    made = [parent for parent in (folder.path, *folder.path.parents) if not parent.exists()]
    try:
        yield
    except NotStartedError:
        if not plan.resumed:
            if mirror is not None:
                mirror.withdraw()
            shutil.rmtree(folder.path, ignore_errors=True)
            with suppress(OSError):  # another sweep's folder lies there by now
                for parent in made[1:]:
                    parent.rmdir()
        raise


def _run(job: Sweeping, switch: StopSwitch, interrupts: InterruptHandler, command: str) -> int:
    number = job.runs.start(command, job.plan.address, collect_versions())
    if job.mirror is None:
        with job.runs.beating():
            return _run_once(job, switch, interrupts, number)
    job.mirror.begin(number)
    try:
        with job.mirror.following(lambda text: switch.on_stop(text), switch.break_off), job.runs.beating():
            return _run_once(job, switch, interrupts, number)
    except AddressError as error:
        print(f"error: {printable(str(error))}", file=sys.stderr)
        return 1


def _run_once(job: Sweeping, switch: StopSwitch, interrupts: InterruptHandler, number: int) -> int:
    status: str = "stopped"
    reason: str | None = "a fault; see what the driver printed"
    try:
        with _spinner(None if job.quiet else job.console, _starting(job.plan)):
            try:
                cluster, resources, search = _start(job)
            except InputError as error:  # nothing was run, so there is nothing to log
                job.runs.withdraw()
                raise NotStartedError(str(error)) from None
        interrupts.rearm()
        lost = lost_private_ray if job.plan.address is None else lost_cluster()
        outcome = _run_phases(job, search, switch, RunningRay(cluster, resources, number, lost))
        status, reason = outcome.status, outcome.reason
        from sweeps.driver.wrap_up import (
            conclude,  # imports Ray, which must be told of its token before (`start_local_ray`)
        )

        switch.on_stop = lambda reason: None if job.quiet else job.console.print(TOO_LATE)
        reading = "reading the test slides, " if outcome.reads_test else ""
        with _spinner(None if job.quiet else job.console, f"{reading}writing the report"):
            summary = conclude(job, outcome)
    except DataChangedError as error:
        status, reason = "stopped", str(error)
        return _data_changed(job, error)
    except Exception as error:
        fault = results_fault(job.folder, error)
        if fault is None:
            raise
        reason = fault
        return _not_written(job, fault)
    finally:
        with suppress(OSError):
            job.runs.end(status, reason)
    if job.mirror is not None:
        job.mirror.push()  # what the table speaks of is there when it is shown
    job.console.print(final_table(summary, _places(job.plan.place, status)))
    return 0 if all(map(_is_well, summary["families"].values())) and not switch.broken else 1


def _is_well(entry: Mapping[str, Any]) -> bool:
    """A family of a summary has a winner, and at least one of the trainings that were to confirm it came to its end."""
    return entry["best"] is not None and (entry["confirm"] is None or entry["confirm"]["seeds"] > 0)


def _run_phases(job: Sweeping, search: FamilySearch, switch: StopSwitch, ray_now: RunningRay) -> Outcome:
    """The search, then the confirmation of its winners, if the search came to its end or its time was used up."""
    from sweeps.analysis.choice import find_chosen
    from sweeps.driver.reading_record import enter_reading
    from sweeps.driver.time_reserve import ConfirmReserve
    from sweeps.planning.confirm_plan import confirm_budgets, confirm_plan, trainings_to_go
    from sweeps.search.confirm_search import ConfirmSearch

    plan = job.plan
    reserve = ConfirmReserve(plan, ray_now.resources.max_concurrent, search.snapshot())
    switch.reserve = lambda: reserve.seconds(search.snapshot())

    def chosen() -> dict[str, list[Chosen]]:
        ended = switch.reason is None or switch.out_of_time
        return find_chosen(plan, search.snapshot()) if ended and plan.confirm_seeds else {}

    trials = plan.space.trials * plan.space.searches
    phase = Phase(plan, search, "trials.csv", "", dict.fromkeys(plan.space.families, trials))
    run_phase(job, phase, ray_now, switch, last=lambda: not chosen())
    found, reason = chosen(), switch.reason
    if not found:
        return Outcome(search.snapshot(), [], reason, switch.broken)
    switch.go_on()
    storage = study_storage(job.folder.study_db)
    confirm = ConfirmSearch(plan.space, found, plan.confirm_seeds, storage, plan.seed, plan.resolve)
    confirm.adopt()
    enter_reading(plan, job.folder, storage, found, search.snapshot(), ray_now.run, datetime.now(UTC))
    if job.mirror is not None:
        job.mirror.push()  # a reading that is not on record at the address must not begin
    most = max(len(configurations) for configurations in found.values())
    heading = f"confirming: {confirm_words(most, plan.space.searches, plan.confirm_seeds)}"
    again = Phase(confirm_plan(plan, found), confirm, "confirm.csv", heading, confirm_budgets(plan, found))
    run_phase(job, again, ray_now, switch, last=lambda: True)
    confirmed = confirm.snapshot()
    to_go = trainings_to_go(found, confirmed, plan.confirm_seeds)
    return Outcome(search.snapshot(), confirmed, reason or switch.reason, switch.broken, to_go)


def resume_command(place: str) -> str:
    """What goes on with the sweep at this place."""
    return f"python sweeps/run.py --resume {shlex.quote(place)}"


def _places(place: str, status: str) -> list[tuple[str, str]]:
    copied = ", once it is copied" if is_address(place) else ""
    places = [
        ("results", place),
        ("report", f"{place}/report.html"),
        ("trials", f"{place}/trials.csv"),
        ("models", f"{place}/best"),
        ("study", f"{place}/study.db (opens in optuna-dashboard{copied})"),
    ]
    if status != "complete":
        places.append(("go on", resume_command(place)))
    return places


def _not_written(job: Sweeping, fault: str) -> int:
    """The last words of a sweep whose disk is full, or whose folder is gone or closed; exit status 1."""
    full = "every trial that had finished is kept; make room, then"
    way_out = (
        full
        if fault == NO_ROOM
        else "what had been written before that is all there is; put that right, then"
    )
    print(f"error: {printable(fault)}; {way_out}: {resume_command(job.plan.place)}", file=sys.stderr)
    return 1


def _data_changed(job: Sweeping, error: DataChangedError) -> int:
    """The last words of a sweep whose data are not those that it began with; exit status 1."""
    print(
        f"error: {error}; every trial that had finished is kept; when the data are back: "
        f"{resume_command(job.plan.place)}",
        file=sys.stderr,
    )
    return 1


def _spinner(console: Console | None, text: str) -> AbstractContextManager[object]:
    """Something that moves while a person waits; nothing when quiet or not on a terminal."""
    if console is None or not console.is_terminal:
        return nullcontext()
    return console.status(text, spinner="dots")


def _starting(plan: SweepPlan) -> str:
    return "starting Ray" if plan.address is None else "joining the cluster, checking its nodes"


def _start(job: Sweeping) -> tuple[ClusterInfo, TrialResources, FamilySearch]:
    """Start Ray and open the studies at the same time, since each takes seconds."""
    # It silences a warning of its own as it is imported; beside the import of pandas, which restores Python's list of
    # silenced warnings again and again, that is now and then undone, and the warning would be printed.
    import requests  # noqa: F401

    plan = job.plan
    with ThreadPoolExecutor(1) as beside:
        opening = beside.submit(_open_search, plan, job.folder)
        warm = plan.devices == 1  # else most processes only manage others
        cluster = start_local_ray(warm) if plan.address is None else connect(plan.address, warm)
        shared = share(plan, cluster.nodes)
        search = opening.result()
    if plan.address is not None:
        prepare_nodes(plan, job.store)
    return cluster, shared, search


def _open_search(plan: SweepPlan, folder: ResultsFolder) -> FamilySearch:
    import optuna

    from sweeps.driver.reading_record import restore_readings
    from sweeps.search.family_search import FamilySearch

    optuna.logging.set_verbosity(optuna.logging.WARNING)  # the view says it
    if not plan.resumed:
        return FamilySearch(plan.space, study_storage(folder.study_db), plan.seed, plan.resolve)
    with first_reading(folder.study_db):
        storage = study_storage(folder.study_db)
        search = FamilySearch(plan.space, storage, plan.seed, plan.resolve)
        check_record(folder, recorded_names(storage))
        restore_readings(plan, folder, storage, search.snapshot())
        search.adopt()
    return search
