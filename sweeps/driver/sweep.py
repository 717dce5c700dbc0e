"""One sweep from the first trial to the report: Ray started, trials run and watched, winners read, results written."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext, suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from rich.console import Console

from stclip.data.store import SpotStore
from stclip.data.store.data_key import DataChangedError
from stclip.errors import InputError, printable
from stclip.terminal.console import make_console
from sweeps.cluster.connect import ClusterInfo, TrialResources, connect
from sweeps.cluster.nodes import prepare_nodes
from sweeps.cluster.private_ray import start_local_ray
from sweeps.cluster.ray_watch import leave, lost_cluster, lost_private_ray
from sweeps.cluster.resources import share
from sweeps.driver.interrupts import InterruptHandler
from sweeps.driver.phase import Outcome, Phase, RunningRay, Sweeping, run_phase
from sweeps.driver.stopping import StopSwitch
from sweeps.planning.plan import SweepPlan
from sweeps.planning.resume import widened
from sweeps.planning.sweep_yaml import describe_sweep
from sweeps.planning.versions import collect_versions
from sweeps.reporting.final_table import final_table
from sweeps.results.fault import NO_ROOM, results_fault
from sweeps.results.mirror import AddressError
from sweeps.results.record import DriverRun, NotStartedError, SweepRecord
from sweeps.results.records import Chosen, recorded_names
from sweeps.results.study_file import first_reading, study_storage
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
    console = make_console()
    switch = StopSwitch(
        plan.time_budget, lambda reason: None if quiet else console.print(reason, markup=False)
    )
    # Interrupts are handled before there is a folder that a Ctrl-C could leave half made.
    with InterruptHandler(switch) as interrupts, _record(plan, store, command) as record:
        interrupts.way_on = resume_command(plan.place)
        sweep = Sweeping(plan, record, store, console, quiet, began)
        code = _run(sweep, switch, interrupts, command)
    if switch.ray_is_gone:
        leave(code)
    return code


def _record(plan: SweepPlan, store: SpotStore, command: str) -> AbstractContextManager[SweepRecord]:
    if plan.told is None:
        return SweepRecord.create(plan.place, describe_sweep(plan, store, command))
    return SweepRecord.resume(plan.place, plan.told, widened(plan))


class SweepFailedError(Exception):
    """A fault of the results or the data has ended the sweep without a report. One line, with the way out."""


def _run(sweep: Sweeping, switch: StopSwitch, interrupts: InterruptHandler, command: str) -> int:
    plan = sweep.plan
    try:
        # `on_stop` is another one in each phase.
        with sweep.record.run(
            command, plan.address, collect_versions(), lambda text: switch.on_stop(text), switch.break_off
        ) as run:
            outcome, summary = _run_once(sweep, switch, interrupts, run)
    except (AddressError, SweepFailedError) as error:
        print(f"error: {printable(str(error))}", file=sys.stderr)
        return 1
    sweep.console.print(final_table(summary, _places(plan.place, outcome.status)))
    return 0 if all(map(_is_well, summary["families"].values())) and not switch.broken else 1


def _run_once(
    sweep: Sweeping, switch: StopSwitch, interrupts: InterruptHandler, run: DriverRun
) -> tuple[Outcome, Mapping[str, Any]]:
    """All phases and the report; returns how they ended, and summary.json. Raises NotStartedError, SweepFailedError."""
    console = None if sweep.quiet else sweep.console
    try:
        with _spinner(console, _starting(sweep.plan)):
            try:
                cluster, resources, search = _start(sweep)
            except InputError as error:  # nothing was run, so there is nothing to log
                raise NotStartedError(str(error)) from None
        interrupts.rearm()
        lost = lost_private_ray if sweep.plan.address is None else lost_cluster()
        outcome = _run_phases(sweep, search, switch, RunningRay(cluster, resources, run, lost))
        # Late: it imports Ray, which must be told of its token before (`start_local_ray`).
        from sweeps.driver.wrap_up import conclude

        switch.on_stop = lambda reason: None if sweep.quiet else sweep.console.print(TOO_LATE)
        reading = "reading the test slides, " if outcome.reads_test else ""
        with _spinner(console, f"{reading}writing the report"):
            return outcome, conclude(sweep, run, outcome)
    except NotStartedError:
        raise
    except DataChangedError as error:
        with suppress(OSError):
            run.end("stopped", str(error))
        raise SweepFailedError(_data_changed(sweep.plan, error)) from None
    except Exception as error:
        fault = results_fault(sweep.folder, error)
        if fault is None:
            raise
        with suppress(OSError):
            run.end("stopped", fault)
        raise SweepFailedError(_not_written(sweep.plan, fault)) from None


def _is_well(entry: Mapping[str, Any]) -> bool:
    """A family of a summary has a winner, and at least one of the trainings that were to confirm it came to its end."""
    return entry["best"] is not None and (entry["confirm"] is None or entry["confirm"]["seeds"] > 0)


def _run_phases(sweep: Sweeping, search: FamilySearch, switch: StopSwitch, ray_now: RunningRay) -> Outcome:
    """The search, then the confirmation of its winners, if the search came to its end or its time was used up."""
    from sweeps.analysis.choice import find_chosen
    from sweeps.driver.reading_record import enter_reading
    from sweeps.driver.time_reserve import ConfirmReserve
    from sweeps.planning.confirm_plan import confirm_budgets, confirm_plan, trainings_to_go
    from sweeps.search.confirm_search import ConfirmSearch

    plan = sweep.plan
    reserve = ConfirmReserve(plan, ray_now.resources.max_concurrent, search.snapshot())
    switch.reserve = lambda: reserve.seconds(search.snapshot())

    def chosen() -> dict[str, list[Chosen]]:
        ended = switch.reason is None or switch.out_of_time
        return find_chosen(plan, search.snapshot()) if ended and plan.confirm_seeds else {}

    trials = plan.space.trials * plan.space.searches
    phase = Phase(plan, search, "trials.csv", "", dict.fromkeys(plan.space.families, trials))
    run_phase(sweep, phase, ray_now, switch, last=lambda: not chosen())
    found, reason = chosen(), switch.reason
    if not found:
        return Outcome(search.snapshot(), [], reason, switch.broken)
    switch.go_on()
    storage = study_storage(sweep.folder.study_db)
    confirm = ConfirmSearch(plan.space, found, plan.confirm_seeds, storage, plan.seed, plan.resolve)
    confirm.adopt()
    enter_reading(
        plan, sweep.folder, storage, found, search.snapshot(), ray_now.run.number, datetime.now(UTC)
    )
    sweep.record.publish()  # a reading that is not on record at the address must not begin
    most = max(len(configurations) for configurations in found.values())
    heading = f"confirming: {confirm_words(most, plan.space.searches, plan.confirm_seeds)}"
    again = Phase(confirm_plan(plan, found), confirm, "confirm.csv", heading, confirm_budgets(plan, found))
    run_phase(sweep, again, ray_now, switch, last=lambda: True)
    confirmed = confirm.snapshot()
    to_go = trainings_to_go(found, confirmed, plan.confirm_seeds)
    return Outcome(search.snapshot(), confirmed, reason or switch.reason, switch.broken, to_go)


def resume_command(place: str) -> str:
    """What goes on with the sweep at this place."""
    return f"python sweeps/run.py --resume {shlex.quote(place)}"


def _places(place: str, status: str) -> list[tuple[str, str]]:
    copied = ", once it is copied" if SweepRecord.is_elsewhere(place) else ""
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


def _not_written(plan: SweepPlan, fault: str) -> str:
    """The last words of a sweep whose disk is full, or whose folder is gone or closed."""
    full = "every trial that had finished is kept; make room, then"
    way_out = (
        full
        if fault == NO_ROOM
        else "what had been written before that is all there is; put that right, then"
    )
    return f"{fault}; {way_out}: {resume_command(plan.place)}"


def _data_changed(plan: SweepPlan, error: DataChangedError) -> str:
    """The last words of a sweep whose data are not those that it began with."""
    return f"{error}; every trial that had finished is kept; when the data are back: {resume_command(plan.place)}"


def _spinner(console: Console | None, text: str) -> AbstractContextManager[object]:
    """Something that moves while a person waits; nothing when quiet or not on a terminal."""
    if console is None or not console.is_terminal:
        return nullcontext()
    return console.status(text, spinner="dots")


def _starting(plan: SweepPlan) -> str:
    return "starting Ray" if plan.address is None else "joining the cluster, checking its nodes"


def _start(sweep: Sweeping) -> tuple[ClusterInfo, TrialResources, FamilySearch]:
    """Start Ray and open the studies at the same time, since each takes seconds."""
    # It silences a warning of its own as it is imported; beside the import of pandas, which restores Python's list of
    # silenced warnings again and again, that is now and then undone, and the warning would be printed.
    import requests  # noqa: F401

    plan = sweep.plan
    with ThreadPoolExecutor(1) as beside:
        opening = beside.submit(_open_search, plan, sweep.record)
        warm = plan.devices == 1  # else most processes only manage others
        cluster = start_local_ray(warm) if plan.address is None else connect(plan.address, warm)
        shared = share(plan, cluster.nodes)
        search = opening.result()
    if plan.address is not None:
        prepare_nodes(plan, sweep.store)
    return cluster, shared, search


def _open_search(plan: SweepPlan, record: SweepRecord) -> FamilySearch:
    import optuna

    from sweeps.driver.reading_record import restore_readings
    from sweeps.search.family_search import FamilySearch

    optuna.logging.set_verbosity(optuna.logging.WARNING)  # the view says it
    if not plan.resumed:
        return FamilySearch(plan.space, study_storage(record.folder.study_db), plan.seed, plan.resolve)
    with first_reading(record.folder.study_db):
        storage = study_storage(record.folder.study_db)
        search = FamilySearch(plan.space, storage, plan.seed, plan.resolve)
        record.check_traces(recorded_names(storage))
        restore_readings(plan, record.folder, storage, search.snapshot())
        search.adopt()
    return search
