"""Records: what is read back from the studies, and which trial is the best."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import optuna
import pytest
from optuna.storages import InMemoryStorage
from optuna.trial import TrialState

from stclip.errors import InputError
from sweeps.results.records import (
    TrialRecord,
    best_record,
    confirmation_name,
    confirmed_trial,
    lift,
    mean_metrics,
    read_records,
    record_of,
    recorded_names,
    trial_name,
    without_test,
)
from tests.sweeps import made_up

optuna.logging.set_verbosity(optuna.logging.WARNING)


def record(number: int, value: float | None, state: Any = "COMPLETE", family: str = "clip") -> TrialRecord:
    metrics = {} if value is None else {"val/R@10": value}
    return TrialRecord(family, number, trial_name(family, number), state, {}, metrics, 3, 1.0, None, 7)


def test_a_trials_name_sorts_by_number() -> None:
    assert [trial_name("spatial", 7), trial_name("clip", 12345)] == ["spatial-0007", "clip-12345"]


def test_records_are_what_the_studies_hold_without_the_waiting_trials() -> None:
    storage = InMemoryStorage()
    study = optuna.create_study(study_name="clip", storage=storage, direction="maximize")
    done, pruned, failed, running = (study.ask() for _ in range(4))
    done.suggest_float("model.temperature", 0.1, 0.2)
    done.set_user_attr("metrics", {"val/R@10": 0.5})
    done.set_user_attr("seconds", 2.5)
    done.set_user_attr("seed", 11)
    done.report(0.4, 1)
    done.report(0.5, 2)
    study.tell(done, 0.5)
    pruned.report(0.1, 1)
    study.tell(pruned, state=TrialState.PRUNED)
    failed.set_user_attr("reason", "ValueError: broken")
    study.tell(failed, state=TrialState.FAIL)
    study.enqueue_trial({})
    optuna.create_study(study_name="spatial", storage=storage).ask()

    records = read_records(storage, ["spatial", "absent", "clip"])
    assert [r.name for r in records] == ["spatial-0000", "clip-0000", "clip-0001", "clip-0002", "clip-0003"]
    assert [r.state for r in records] == ["RUNNING", "COMPLETE", "PRUNED", "FAIL", "RUNNING"]
    params = {"model.temperature": done.params["model.temperature"]}
    metrics = {"val/R@10": 0.5}
    assert records[1] == TrialRecord("clip", 0, "clip-0000", "COMPLETE", params, metrics, 2, 2.5, None, 11)
    assert (records[2].epochs, records[3].error, records[4].epochs) == (1, "ValueError: broken", 0)
    assert running.number == records[4].number


@pytest.mark.parametrize(("mode", "number"), [("max", 2), ("min", 1)])
def test_the_best_is_complete_of_its_family_and_the_first_of_equals(mode: Any, number: int) -> None:
    records = [
        record(11, math.nan),
        record(12, math.inf),
        record(13, -math.inf),
        record(5, 0.9),
        record(2, 0.9),
        record(1, 0.1),
        record(4, 0.1),
        record(0, 0.99, "PRUNED"),
        record(3, 0.01, "RUNNING"),
        record(6, 0.0, "FAIL"),
        record(7, None),
        record(8, math.nan),
        record(9, 1.0, family="spatial"),
        record(10, -1.0, family="spatial"),
    ]
    best = best_record(records, "clip", "val/R@10", mode)
    assert best is not None and (best.family, best.number) == ("clip", number)


def test_names_are_those_of_every_study() -> None:
    storage = InMemoryStorage()
    for study_name, name in (("clip", "clip-0000"), ("clip-confirm", "clip-0000-confirm-0")):
        study = optuna.create_study(study_name=study_name, storage=storage)
        study.ask().set_user_attr("name", name)
        study.ask()  # has no name yet
    assert recorded_names(storage) == {"clip-0000", "clip-0000-confirm-0"}


def test_a_record_has_the_trials_own_name_its_slides_and_its_last_epoch() -> None:
    study = optuna.create_study()
    trial = study.ask()
    trial.set_user_attr("name", "clip-0000-confirm-0")
    trial.set_user_attr("test_slides", {"E1": {"R@1": 0.5}})
    trial.report(0.5, 7)  # the epochs before were another run's
    found = record_of("clip", study.get_trials()[0])
    assert (found.name, found.epochs) == ("clip-0000-confirm-0", 7)
    assert found.test_slides == {"E1": {"R@1": 0.5}}


def test_a_mean_is_of_what_all_have() -> None:
    assert mean_metrics([{"a": 1.0, "b": 5.0}, {"a": 2.0, "c": 7.0}]) == {"a": 1.5}
    assert mean_metrics([]) == {}


def test_there_is_no_best_without_a_complete_trial() -> None:
    assert best_record([record(0, 0.5, "PRUNED"), record(1, None)], "clip", "val/R@10", "max") is None
    assert best_record([], "clip", "val/R@10", "max") is None


def test_a_record_without_what_it_got_on_test_keeps_all_else():
    (one,) = made_up.confirmed("clip", [[0.3, 0.4]])
    assert one.metrics["test/R@10"] and one.test_slides
    hidden = without_test(one)
    assert {name.partition("/")[0] for name in hidden.metrics} == {"val"} and hidden.test_slides == {}
    assert replace(hidden, metrics=one.metrics, test_slides=one.test_slides) == one


def test_a_name_of_a_training_says_whom_it_confirms():
    assert confirmation_name("clip-0003", 12) == "clip-0003-confirm-12"
    assert confirmed_trial("a-confirm-1-0003-confirm-12") == "a-confirm-1-0003"


def test_names_of_a_confirmations_trainings_are_looked_at_too() -> None:
    storage = InMemoryStorage()
    optuna.create_study(study_name="clip-0000.confirm", storage=storage).ask().set_user_attr("name", ["a"])
    with pytest.raises(InputError, match="trial 0 of clip-0000.confirm is not as a sweep writes it"):
        recorded_names(storage)


def test_lift_is_known_only_above_a_chance_level():
    assert lift({"R@1": 0.3, "chance_R@1": 0.1}, "R@1") == pytest.approx(3.0)
    for metrics in (
        {},
        {"R@1": 0.3},
        {"R@1": 0.3, "chance_R@1": 0.0},
        {"R@1": float("nan"), "chance_R@1": 0.1},
    ):
        assert lift(metrics, "R@1") is None
