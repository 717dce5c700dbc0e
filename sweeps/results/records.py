"""What the studies know about every trial, as plain data."""

from __future__ import annotations

import math
import re
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import NoneType
from typing import TYPE_CHECKING, Any, Literal, cast

from stclip.errors import InputError, shorten

if TYPE_CHECKING:
    from optuna.storages import BaseStorage
    from optuna.trial import FrozenTrial

_AGAIN = "-confirm-"
# A name that a folder may have: no way out of the results.
PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")
State = Literal["COMPLETE", "PRUNED", "FAIL", "RUNNING"]


@dataclass(frozen=True)
class TrialRecord:
    """One trial: its newest `metrics` by logged name, the `epochs` it finished, the `seconds` they took, for one that has
    read the test slides each slide's metrics, `test_slides`, and what its process ran on and held, `machine` (see
    `sweeps.trial.machine`; empty until it has ended).

    RUNNING is also the state of a trial that an end of the sweep cut off: the next run takes it up again.
    """

    family: str
    number: int
    name: str
    state: State
    params: dict[str, Any]
    metrics: dict[str, float]
    epochs: int
    seconds: float
    error: str | None
    seed: int | None
    test_slides: dict[str, dict[str, float]] = field(default_factory=dict)
    search: int = 1  # which of several independent searches of the family it is of
    machine: dict[str, Any] = field(default_factory=dict)


def trial_name(family: str, number: int) -> str:
    """`spatial-0007`: the name of a trial in tables and folders."""
    return f"{family}-{number:04d}"


def confirmation_name(configuration: str, replicate: int) -> str:
    """`spatial-0007-confirm-2`: a training that confirms the configuration of the trial `spatial-0007`."""
    return f"{configuration}{_AGAIN}{replicate}"


def confirmed_trial(name: str) -> str:
    """The name of the search's trial that a training of this name confirms."""
    return name.rpartition(_AGAIN)[0]


def configuration_of(record: TrialRecord) -> str:
    """The same, of a training's record."""
    return confirmed_trial(record.name)


def read_records(storage: BaseStorage, families: Iterable[str]) -> list[TrialRecord]:
    """Every started trial of the families' studies, by family, then number; none where there is no study."""
    import optuna

    known = {study.study_name for study in optuna.get_all_study_summaries(storage, include_best_trial=False)}
    records = []
    for family in families:
        if family not in known:
            continue
        study = optuna.load_study(study_name=family, storage=storage)
        waiting = optuna.trial.TrialState.WAITING
        records += [record_of(family, t) for t in study.get_trials(deepcopy=False) if t.state != waiting]
    return records


def recorded_names(storage: BaseStorage) -> set[str]:
    """The names of all trials that the storage knows, of the search and of every confirmation.

    Raises InputError for a trial as no sweep writes it (see `record_of`).
    """
    import optuna

    names = set()
    for study in optuna.get_all_study_summaries(storage, include_best_trial=False):
        trials = optuna.load_study(study_name=study.study_name, storage=storage).get_trials(deepcopy=False)
        named = (trial for trial in trials if "name" in trial.user_attrs)
        names |= {record_of(study.study_name, trial).name for trial in named}
    return names


def record_of(family: str, trial: FrozenTrial) -> TrialRecord:
    """One trial of a family's study as a record.

    Raises InputError for what no sweep writes: the study may be somebody else's, and folders are named after its trials.
    """
    try:
        return _record_of(family, trial)
    except (TypeError, ValueError, AttributeError, ArithmeticError) as error:
        raise InputError(
            f"study.db: trial {trial.number} of {family} is not as a sweep writes it ({error}); put back a copy of the file, or "
            "start another sweep with --name"
        ) from None


def _record_of(family: str, trial: FrozenTrial) -> TrialRecord:
    attrs = trial.user_attrs
    name = attrs.get("name", trial_name(family, trial.number))
    if not PLAIN.fullmatch(name):
        raise ValueError(f"its name is '{name}'")
    return TrialRecord(
        family=family,
        number=trial.number,
        name=name,
        state=cast(State, trial.state.name),
        params={_of_kind("a parameter's name", key, str): value for key, value in trial.params.items()},
        metrics=_numbers("metrics", attrs.get("metrics", {})),
        epochs=trial.last_step or 0,
        seconds=_seconds(attrs.get("seconds", 0.0)),
        error=_of_kind("reason", attrs.get("reason"), (str, NoneType)),
        seed=_of_kind("seed", attrs.get("seed"), (int, NoneType)),
        test_slides={
            slide: _numbers(f"test_slides.{slide}", found)
            for slide, found in attrs.get("test_slides", {}).items()
        },
        machine=dict(attrs.get("machine", {})),
    )


def _numbers(what: str, tree: Mapping[str, Any]) -> dict[str, float]:
    return {name: _number(f"{what}.{name}", value) for name, value in tree.items()}


def _number(what: str, value: Any) -> float:
    """A number as it is, since a count of spots stays whole. Raises ValueError, and OverflowError for more than a float holds."""
    number: float = _of_kind(what, value, (int, float))
    float(number)
    return number


def _seconds(value: Any) -> float:
    if not math.isfinite(number := _number("seconds", value)):
        raise ValueError(f"seconds must be finite, got {number}")
    return number


def _of_kind(what: str, value: Any, kind: type | tuple[type, ...]) -> Any:
    if isinstance(value, bool) or not isinstance(value, kind):
        raise ValueError(f"{what} is '{shorten(str(value), 60)}'")
    return value


def without_test(record: TrialRecord) -> TrialRecord:
    """The record without what the trial got on the test slides."""
    metrics = {name: value for name, value in record.metrics.items() if not name.startswith("test/")}
    return replace(record, metrics=metrics, test_slides={})


def mean_metrics(found: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """The mean of each metric that all of them have; none of none."""
    names = [name for name in found[0] if all(name in one for one in found)] if found else []
    return {name: statistics.fmean(one[name] for one in found) for name in names}


def of_split(metrics: Mapping[str, float], split: str) -> dict[str, float]:
    """The metrics of one split without its prefix; names without any prefix are taken as that split's."""
    named = {name.removeprefix(f"{split}/"): value for name, value in metrics.items()}
    return {name: value for name, value in named.items() if "/" not in name}


def best_record(
    records: Iterable[TrialRecord], family: str, metric: str, mode: Literal["max", "min"]
) -> TrialRecord | None:
    """A family's COMPLETE trial with the best `metric`, of equals the lowest number; None without one."""
    sign = 1.0 if mode == "min" else -1.0
    done = [
        record
        for record in records
        if record.family == family
        and record.state == "COMPLETE"
        and math.isfinite(record.metrics.get(metric, math.nan))
    ]
    return min(done, key=lambda record: (sign * record.metrics[metric], record.number), default=None)


def lift(metrics: Mapping[str, float], name: str) -> float | None:
    """`metrics[name]` over its chance level; None when either is missing or chance is 0."""
    value, chance = metrics.get(name), metrics.get(f"chance_{name}")
    known = value is not None and chance is not None and math.isfinite(value) and chance > 0
    return value / chance if known else None  # type: ignore[operator]


@dataclass(frozen=True)
class Chosen:
    """A configuration that is confirmed: the best trial that had it, and its weight in the family's value."""

    record: TrialRecord
    weight: float
