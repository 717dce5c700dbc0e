"""One sweep from the first trial to the report: Ray started, trials run and watched, winners read, results written."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from rich.console import Console

from stclip.data.store import SpotStore
from stclip.errors import InputError, printable
from stclip.remote import is_address
from sweeps.cluster import ClusterInfo, TrialResources, connect, start_local_ray
from sweeps.describe import describe_sweep
from sweeps.failures import is_no_space, repeated_reason
from sweeps.folder_lock import sole_driver
from sweeps.mirror import AddressError, Mirror
from sweeps.nodes import prepare_nodes
from sweeps.own_folder import lent_folder
from sweeps.plan import SweepPlan
from sweeps.ray_messages import ray_messages
from sweeps.records import TrialRecord
from sweeps.results import ResultsFolder
from sweeps.resume import check_record, widen
from sweeps.run_log import RunLog
from sweeps.snapshots import on_change, snapshots, throttled
from sweeps.stopping import InterruptHandler, StopSwitch
from sweeps.study_file import check_study_file, study_storage
from sweeps.table import final_table
from sweeps.versions import collect_versions
from sweeps.view import LiveView

if TYPE_CHECKING:
    from sweeps.search import FamilySearch

CSV_SECONDS = 2.0  # trials.csv is rewritten at most this often while the sweep runs
METRICS_SECONDS = 1.0  # the same of what Prometheus reads; Ray itself exports every ten seconds
NO_ROOM = "no space left to write results"


def run_sweep(plan: SweepPlan, store: SpotStore, command: str, quiet: bool) -> int:
    """Run or go on with a resolved sweep whose data are ready.

    Returns the exit status: 0 when every family has a winner, 1 when one has none or a fault stopped the sweep.
    Raises InputError when the results folder is taken, damaged or cannot be written, when no trial fits on any node, or
    when a cluster cannot be joined.
    """
    folder, runs, console, mirror = plan.results, RunLog(plan.results.runs_dir), Console(), plan.mirror()
    switch = StopSwitch(
        plan.time_budget, lambda reason: None if quiet else console.print(reason, markup=False)
    )
    # Interrupts are handled before there is a folder that a Ctrl-C could leave half made.
    with InterruptHandler(switch) as interrupts, _own_folder(mirror, folder):
        if not plan.resumed:
            folder.create(describe_sweep(plan, store, command))
            if mirror is not None:
                mirror.claim()
        elif mirror is not None:
            mirror.fetch()
        with sole_driver(folder.path, runs, plan.place):
            if plan.resumed:
                check_study_file(folder.study_db)
                if not folder.study_db.exists():
                    check_record(folder, [])  # before an empty one is made
                widen(plan)
            return _run(
                Sweeping(plan, folder, store, runs, console, quiet, mirror), switch, interrupts, command
            )


@contextmanager
def _own_folder(mirror: Mirror | None, folder: ResultsFolder) -> Iterator[None]:
    """For results at an address: the driver's own folder, and messages that speak of the address instead."""
    if mirror is None:
        yield
    else:
        with lent_folder(folder.path), mirror.named():
            yield


@dataclass(frozen=True)
class Sweeping:
    """What every stage of one run of the driver works with."""

    plan: SweepPlan
    folder: ResultsFolder
    store: SpotStore
    runs: RunLog
    console: Console
    quiet: bool
    mirror: Mirror | None  # of results at an address


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
        with _spinner(None if job.quiet else job.console, "starting Ray"):
            try:
                cluster, resources, search = _start(job)
            except InputError:  # nothing was run, so there is nothing to log
                job.runs.withdraw()
                raise
        interrupts.rearm()
        _search(job, search, switch, cluster, resources, number)
        reason = switch.reason
        status = "complete" if reason is None else "stopped" if switch.broken else "interrupted"
        summary = _finish(job, search.snapshot(), status, reason)
    except Exception as error:
        if not is_no_space(error):
            raise
        reason = NO_ROOM
        return _out_of_space(job)
    finally:
        with suppress(OSError):
            job.runs.end(status, reason)
    if job.mirror is not None:
        job.mirror.push()  # what the table speaks of is there when it is shown
    job.console.print(final_table(summary, _places(job.plan.place, status)))
    return 0 if all(entry["best"] for entry in summary["families"].values()) and not switch.broken else 1


def _places(place: str, status: str) -> list[tuple[str, str]]:
    copied = ", once it is copied" if is_address(place) else ""
    places = [
        ("results", place),
        ("report", f"{place}/report.md"),
        ("trials", f"{place}/trials.csv"),
        ("models", f"{place}/best"),
        ("study", f"{place}/study.db (opens in optuna-dashboard{copied})"),
    ]
    if status != "complete":
        places.append(("go on", f"python sweeps/run.py --resume {shlex.quote(place)}"))
    return places


def _out_of_space(job: Sweeping) -> int:
    """The last words of a sweep on a full disk; exit status 1."""
    print(
        "error: no space left to write results; every trial that had finished is kept; make room, then: "
        f"python sweeps/run.py --resume {shlex.quote(job.plan.place)}",
        file=sys.stderr,
    )
    return 1


def _spinner(console: Console | None, text: str) -> AbstractContextManager[object]:
    """Something that moves while a person waits; nothing when quiet or not on a terminal."""
    if console is None or not console.is_terminal:
        return nullcontext()
    return console.status(text, spinner="dots")


def _start(job: Sweeping) -> tuple[ClusterInfo, TrialResources, FamilySearch]:
    """Start Ray and open the studies at the same time, since each takes seconds."""
    plan = job.plan
    with ThreadPoolExecutor(1) as beside:
        opening = beside.submit(_open_search, plan, job.folder)
        warm = plan.devices == 1  # else most processes only manage others
        cluster = start_local_ray(warm) if plan.address is None else connect(plan.address, warm)
        shared = plan.share(cluster.nodes)
        search = opening.result()
    if plan.address is not None:
        prepare_nodes(plan, job.store)
    return cluster, shared, search


def _open_search(plan: SweepPlan, folder: ResultsFolder) -> FamilySearch:
    import optuna

    from sweeps.search import FamilySearch

    optuna.logging.set_verbosity(optuna.logging.WARNING)  # the view says it
    search = FamilySearch(plan.space, study_storage(folder.study_db), plan.seed)
    if plan.resumed:
        check_record(folder, search.snapshot())
        search.adopt()
    return search


def _search(
    job: Sweeping,
    search: FamilySearch,
    switch: StopSwitch,
    cluster: ClusterInfo,
    resources: TrialResources,
    run: int,
) -> None:
    """All trials; when the search stops early the switch says why."""
    import ray

    from sweeps.metrics import SweepMetrics
    from sweeps.tuning import run_tuner

    plan, folder, space = job.plan, job.folder, job.plan.space
    view = LiveView(
        snapshots(plan, search.snapshot),
        results=plan.place,
        dashboard=cluster.dashboard,
        metric=plan.space.metric,
        time_budget=plan.time_budget,
        quiet=job.quiet,
    )
    switch.on_stop = view.note
    parameters = [key for family in plan.space.families.values() for key in family.parameters]

    def say(line: str) -> None:
        if switch.reason is None:  # processes that a stop cuts off die loudly
            view.say(line)

    def write_csv() -> None:
        folder.write_trials_csv(search.snapshot(), parameters)

    write_csv_now_and_then = throttled(write_csv, CSV_SECONDS)
    spots = len(job.store.spots("train"))
    metrics = SweepMetrics(
        plan.name, tuple(space.families), spots, space.metric, space.mode, search.snapshot()
    )
    export_now_and_then = throttled(lambda: metrics.update(search.snapshot()), METRICS_SECONDS)

    tell = job.mirror.soon if job.mirror else lambda: None
    tell_mirror = throttled(on_change(search.snapshot, tell), METRICS_SECONDS)

    def on_step() -> None:
        write_csv_now_and_then()
        export_now_and_then()
        tell_mirror()
        reason = repeated_reason(search.ended())
        if reason is not None:
            switch.break_off(reason)

    try:
        with view, ray_messages(say):
            try:
                run_tuner(plan, search, switch, resources, plan.storage, run, on_step)
            finally:
                ray.shutdown()
    except Exception as error:
        if not is_no_space(error):
            raise
        switch.break_off(NO_ROOM)
    write_csv()


def _finish(job: Sweeping, records: list[TrialRecord], status: str, reason: str | None) -> Mapping[str, Any]:
    """Read the test slides with the winners, run the baselines, write summary and report."""
    from sweeps.finish import run_baselines, test_winners
    from sweeps.report import write_report
    from sweeps.summary import build_summary

    plan, folder = job.plan, job.folder
    with _spinner(None if job.quiet else job.console, "reading the test slides with the winners"):
        tests = test_winners(plan, folder, records)
        baselines = run_baselines(plan, job.store)
    job.runs.end(status, reason)
    summary = build_summary(
        records,
        dict.fromkeys(plan.space.families, plan.space.trials),
        plan.space.metric,
        plan.space.mode,
        tests,
        baselines,
        status,
        job.runs.seconds(),
        collect_versions(),
    )
    summary |= {"stopped_because": reason, "interruptions": [asdict(one) for one in job.runs.interruptions()]}
    folder.write_summary(summary)
    write_report(folder)
    return summary
