"""What a running sweep is looked at by: where it stands, what has changed, and how often somebody looks."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace

from sweeps.reporting.standing import Effort, FamilyStatus, Snapshot
from sweeps.results.records import TrialRecord, best_record, mean_metrics
from sweeps.search.space import SearchSpace
from sweeps.text import many


def throttled(
    work: Callable[[], None], seconds: float, now: Callable[[], float] = time.monotonic
) -> Callable[[], None]:
    """A function that calls `work`, but not more often than every `seconds` by the clock `now`."""
    last = [0.0]

    def perhaps() -> None:
        if now() - last[0] >= seconds:
            work()
            last[0] = now()

    return perhaps


def on_change(records_now: Callable[[], list[TrialRecord]], tell: Callable[[], None]) -> Callable[[], None]:
    """A function that calls `tell` when a trial has begun or ended since it was last called."""
    before: list[object] = [None]

    def perhaps() -> None:
        now = [(record.name, record.state) for record in records_now()]
        if now != before[0]:
            before[0] = now
            tell()

    return perhaps


def snapshots(
    space: SearchSpace,
    budgets: Mapping[str, int],
    records_now: Callable[[], list[TrialRecord]],
    means: bool = False,
) -> Callable[[], Snapshot]:
    """A function that says where the sweep stands; each call reports the trials that ended since the one before.

    `budgets`: family -> its trials. `means`: its trials are repeats of a few configurations, so their mean is shown in
    place of the best.
    """
    ended: set[str] = {r.name for r in records_now() if r.state != "RUNNING"}

    def snapshot() -> Snapshot:
        records = records_now()
        news = [r for r in records if r.state != "RUNNING" and r.name not in ended]
        ended.update(r.name for r in news)
        families = {
            family: _status(space, family, budget, records, means) for family, budget in budgets.items()
        }
        running = [r for r in records if r.state == "RUNNING"]
        return Snapshot(families, news, running, space.epochs, _effort(space, families, records))

    return snapshot


def _effort(space: SearchSpace, families: Mapping[str, FamilyStatus], records: list[TrialRecord]) -> Effort:
    """A trial that has not begun is taken to be as long as those that have ended, of which some were stopped early."""
    ended = [r.epochs for r in records if r.state in ("COMPLETE", "PRUNED")]
    usual = sum(ended) / len(ended) if ended else space.epochs
    waiting = sum(max(0, one.budget - one.done - one.running) for one in families.values())
    left = sum(max(0, space.epochs - r.epochs) for r in records if r.state == "RUNNING")
    return Effort(sum(r.epochs for r in records), sum(r.seconds for r in records), waiting * usual + left)


def _status(
    space: SearchSpace, family: str, budget: int, records: list[TrialRecord], means: bool
) -> FamilyStatus:
    states = [r.state for r in records if r.family == family]
    best = best_record(records, family, space.metric, space.mode)
    if best is not None and means:
        best = _mean([r for r in records if r.family == family and r.state == "COMPLETE"])
    return FamilyStatus(
        budget=budget,
        complete=states.count("COMPLETE"),
        pruned=states.count("PRUNED"),
        failed=states.count("FAIL"),
        running=states.count("RUNNING"),
        best=best,
    )


def _mean(records: list[TrialRecord]) -> TrialRecord:
    """The mean of repeats, under the name `mean of 3 trainings`."""
    metrics = mean_metrics([r.metrics for r in records])
    return replace(records[0], name=f"mean of {many(len(records), 'training')}", metrics=metrics)
