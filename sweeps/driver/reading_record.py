"""Entering a reading of the test slides, twice: in test_reads.json for people, and in study.db, from which it comes back.

study.db is the sweep's record of truth. A test_reads.json that was deleted, or has fewer readings than it had, is written
again from there at the next `--resume`. What stands in neither, because the sweep is older than this record, is made up
from the confirmations that study.db holds: one reading, the least that there was.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from sweeps.planning.plan import SweepPlan
from sweeps.results.folder import ResultsFolder
from sweeps.results.readings import Reading, as_trees, from_trees, read_readings, with_reading, write_readings
from sweeps.results.records import Chosen, TrialRecord, confirmation_name, confirmed_trial
from sweeps.search.confirm_search import STUDY_SUFFIX

if TYPE_CHECKING:
    from optuna import Study
    from optuna.storages import BaseStorage
    from optuna.trial import FrozenTrial

_KEY = "test_reads"  # a user attribute of the first family's study


def enter_reading(
    plan: SweepPlan,
    folder: ResultsFolder,
    storage: BaseStorage,
    chosen: Mapping[str, Sequence[Chosen]],
    records: Sequence[TrialRecord],
    run: int,
    now: datetime,
) -> None:
    """Enter the confirmation that is to begin, unless it goes on with the last one. Called before anything is trained.

    Args:
        plan: the sweep's.
        folder: where test_reads.json is.
        storage: of study.db.
        chosen: family -> its configurations that are confirmed.
        records: the search's trials.
        run: number of this run of the driver.
        now: the time, in UTC.
    """
    planned = Reading(
        number=1,
        when=now,
        run=run,
        trials=_ended(plan, records),
        budget=plan.space.trials * plan.space.searches,
        seeds=plan.confirm_seeds,
        models={
            family: [
                confirmation_name(one.record.name, replicate)
                for one in configurations
                for replicate in range(plan.confirm_seeds)
            ]
            for family, configurations in chosen.items()
        },
    )
    through = {name for name, trial in _confirmations(storage) if _is_through(trial, plan.space.epochs)}
    _write(plan, folder, storage, with_reading(read_readings(folder.test_reads_json), planned, through))


def restore_readings(
    plan: SweepPlan, folder: ResultsFolder, storage: BaseStorage, records: Sequence[TrialRecord]
) -> None:
    """Bring test_reads.json and study.db to the same list, the longer of the two; of equally long ones study.db's.

    Raises InputError when test_reads.json is damaged.
    """
    filed = read_readings(folder.test_reads_json)
    held = from_trees(
        _first_study(plan, storage).user_attrs.get(_KEY, []),
        f"{folder.study_db}, {_KEY}",
        "put back a copy of study.db, or start another sweep with --name",
    )
    known = (filed if len(filed) > len(held) else held) or _older_reading(plan, storage, records)
    if not filed == held == known:
        _write(plan, folder, storage, known)


def _write(plan: SweepPlan, folder: ResultsFolder, storage: BaseStorage, readings: Sequence[Reading]) -> None:
    _first_study(plan, storage).set_user_attr(_KEY, as_trees(readings))
    write_readings(folder.test_reads_json, readings)


def _first_study(plan: SweepPlan, storage: BaseStorage) -> Study:
    import optuna

    return optuna.load_study(study_name=next(iter(plan.space.families)), storage=storage)


def _ended(plan: SweepPlan, records: Sequence[TrialRecord]) -> dict[str, int]:
    counts = Counter(record.family for record in records if record.state != "RUNNING")
    return {family: counts[family] for family in plan.space.families}


def _confirmations(storage: BaseStorage) -> list[tuple[str, FrozenTrial]]:
    """Every training of every confirmation, with its name."""
    import optuna

    names = [s.study_name for s in optuna.get_all_study_summaries(storage, include_best_trial=False)]
    return [
        (str(trial.user_attrs["name"]), trial)
        for name in names
        if name.endswith(STUDY_SUFFIX)
        for trial in optuna.load_study(study_name=name, storage=storage).get_trials(deepcopy=False)
        if "name" in trial.user_attrs
    ]


def _is_through(trial: FrozenTrial, epochs: int) -> bool:
    """Whether a training may have read the test slides, which it does after its last epoch."""
    return (trial.last_step or 0) >= epochs or "test_slides" in trial.user_attrs


def _older_reading(plan: SweepPlan, storage: BaseStorage, records: Sequence[TrialRecord]) -> list[Reading]:
    """Of a sweep whose confirmations were made before readings were recorded: one, or none without a result."""
    begun = _confirmations(storage)
    if not any(_is_through(trial, plan.space.epochs) for _, trial in begun):
        return []
    families = {record.name: record.family for record in records}
    models: dict[str, list[str]] = {}
    for name, _ in begun:
        models.setdefault(families[confirmed_trial(name)], []).append(name)
    first = min(trial.datetime_start for _, trial in begun if trial.datetime_start is not None)
    return [
        Reading(
            number=1,
            when=first.astimezone(UTC),
            run=None,
            trials=_ended(plan, records),
            budget=plan.space.trials * plan.space.searches,
            seeds=max(map(len, models.values())),
            models=models,
        )
    ]
