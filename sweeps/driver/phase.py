"""One phase of a sweep, the search or the confirmation: its trials run on Ray, watched, written down."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.console import Console

from stclip.data.store import SpotStore
from sweeps.cluster.connect import ClusterInfo, TrialResources
from sweeps.cluster.descendants import end_descendants
from sweeps.driver.failures import repeated_reason
from sweeps.driver.ray_messages import ray_messages
from sweeps.driver.snapshots import on_change, snapshots, throttled
from sweeps.driver.stopping import StopSwitch
from sweeps.planning.plan import SweepPlan
from sweeps.reporting.live_view import LiveView
from sweeps.results.fault import results_fault
from sweeps.results.folder import ResultsFolder
from sweeps.results.record import DriverRun, SweepRecord
from sweeps.results.records import TrialRecord

if TYPE_CHECKING:
    from sweeps.search.family_search import FamilySearch

CSV_SECONDS = 2.0  # trials.csv is rewritten at most this often while the sweep runs
METRICS_SECONDS = 1.0  # the same of what Prometheus reads; Ray itself exports every ten seconds


@dataclass(frozen=True)
class Sweeping:
    """What every stage of one run of the driver works with."""

    plan: SweepPlan
    record: SweepRecord
    store: SpotStore
    console: Console
    quiet: bool
    began: float  # when the command began, by `time.monotonic`

    @property
    def folder(self) -> ResultsFolder:
        """Where the driver writes."""
        return self.record.folder


@dataclass(frozen=True)
class RunningRay:
    """The Ray that a run of the driver has, and what a trial gets of it."""

    cluster: ClusterInfo
    resources: TrialResources
    run: DriverRun
    lost: Callable[[], str | None]  # why this Ray is gone; None while it is there


@dataclass(frozen=True)
class Phase:
    """What differs between the search and the confirmation."""

    plan: SweepPlan  # its space has the phase's families and number of trials
    search: FamilySearch
    table: str  # the file of its trials
    heading: str  # what the view says it is; "" for the search
    budgets: Mapping[str, int]  # family -> its trials


@dataclass(frozen=True)
class Outcome:
    """How the phases of a sweep ended."""

    records: list[TrialRecord]  # of the search
    confirmed: list[TrialRecord]  # of the confirmation; none where there was none
    reason: str | None  # why it ended before its budget; None: it did not
    broken: bool  # a fault was the reason
    to_go: int | None = None  # trainings of the confirmation that have not ended; None: it did not begin

    @property
    def reads_test(self) -> bool:
        """Whether the test slides may be read: when every training of the confirmation has ended."""
        return self.to_go == 0

    @property
    def status(self) -> str:
        """complete, interrupted (by a person or the clock) or stopped (by a fault)."""
        return "complete" if self.reason is None else "stopped" if self.broken else "interrupted"


def run_phase(
    sweep: Sweeping, phase: Phase, ray_now: RunningRay, switch: StopSwitch, last: Callable[[], bool]
) -> None:
    """All trials of a phase; when it stops early the switch says why, also when Ray itself came to an end. Ray is shut down
    after the `last` one, and after a fault."""
    import ray

    from sweeps.cluster.ray_watch import forget_ray, run_beside
    from sweeps.driver.tune import run_tuner

    plan, search = phase.plan, phase.search
    view = LiveView(
        snapshots(plan.space, phase.budgets, search.snapshot, means=search.reads_test),
        results=plan.place,
        dashboard=ray_now.cluster.dashboard,
        metric=plan.space.metric,
        time_budget=None if search.reads_test else plan.time_budget,
        time_left=None if search.reads_test or plan.time_budget is None else switch.seconds_left,
        began=sweep.began,
        of="the search" if plan.confirm_seeds and not search.reads_test else "",
        quiet=sweep.quiet,
        heading=phase.heading,
    )
    switch.on_stop = view.note

    def say(line: str) -> None:
        if switch.reason is None:  # processes that a stop cuts off die loudly
            view.say(line)

    parameters = [key for family in plan.space.families.values() for key in family.parameters]

    def write_table() -> None:
        sweep.folder.write_trials_csv(search.snapshot(), parameters, phase.table)

    on_step = _on_step(sweep, phase, switch, write_table)
    search.is_cut_off = lambda: switch.reason is not None or ray_now.lost() is not None

    def tune() -> None:
        run_tuner(plan, search, switch, ray_now.resources, plan.storage, ray_now.run.number, on_step)

    try:
        with view, ray_messages(say, private=plan.address is None):
            gone, ended = None, False
            try:
                gone = run_beside(tune, ray_now.lost)
                ended = True
            finally:
                if gone is None and (not ended or last()):
                    ray.shutdown()
            if gone is not None:
                search.let_go()
                switch.lose_ray(gone)
                forget_ray()
                end_descendants()
    except Exception as error:
        fault = results_fault(sweep.folder, error)
        if fault is None:
            raise
        switch.break_off(fault)
    write_table()


def _on_step(
    sweep: Sweeping, phase: Phase, switch: StopSwitch, write_table: Callable[[], None]
) -> Callable[[], None]:
    """What is done after each step of Tune's loop, most of it now and then only."""
    from sweeps.reporting.prometheus import SweepMetrics

    plan, search, space = phase.plan, phase.search, phase.plan.space
    works = [
        throttled(write_table, CSV_SECONDS),
        throttled(on_change(search.snapshot, sweep.record.soon), METRICS_SECONDS),
    ]
    if not search.reads_test:
        spots = len(sweep.store.spots("train"))
        metrics = SweepMetrics(
            plan.name, tuple(space.families), spots, space.metric, space.mode, search.snapshot()
        )
        works.append(throttled(lambda: metrics.update(search.snapshot()), METRICS_SECONDS))

    def on_step() -> None:
        for work in works:
            work()
        reason = repeated_reason(search.ended())
        if reason is not None:
            switch.break_off(reason)

    return on_step
