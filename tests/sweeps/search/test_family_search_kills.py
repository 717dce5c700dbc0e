"""A driver that is killed between two writes of its search: what the next one finds, and makes of it."""

from __future__ import annotations

from contextlib import contextmanager

import optuna
import pytest
from optuna.storages import InMemoryStorage

from sweeps.results.records import Chosen, read_records, recorded_names
from sweeps.search.confirm_search import ConfirmSearch
from sweeps.search.family_search import FamilySearch
from sweeps.search.space import EarlyStopping
from tests.sweeps.made_up import record
from tests.sweeps.searches import FAMILIES, METRIC, make_space, train

optuna.logging.set_verbosity(optuna.logging.WARNING)
SPACE = make_space(trials=2)


class Killed(BaseException):
    """Stands for SIGKILL: nothing of the product handles it."""


@contextmanager
def killed_at(owner, method, when=lambda *arguments: True):
    """The driver ends as it is about to call a method of Optuna with such arguments."""
    real = getattr(owner, method)

    def call(self, *arguments, **options):
        if when(*arguments):
            raise Killed
        return real(self, *arguments, **options)

    with pytest.MonkeyPatch.context() as patch, pytest.raises(Killed):
        patch.setattr(owner, method, call)
        yield


def writes(key):
    return lambda name, value: name == key


@pytest.fixture
def storage():
    return InMemoryStorage()


def begun(storage):
    search = FamilySearch(SPACE, storage, seed=0)
    return search, search.suggest("a")


def test_a_failure_is_told_by_the_next_driver_with_its_reason(storage):
    search, _ = begun(storage)
    with killed_at(optuna.Study, "tell"):
        search.fail("a", "ValueError: broken")
    again = FamilySearch(SPACE, storage, seed=0)
    assert again.adopt() == []
    (found,) = again.snapshot()
    assert (found.state, found.error) == ("FAIL", "ValueError: broken")
    assert read_records(storage, FAMILIES) == [found]


def test_a_failure_without_its_reason_is_none_yet(storage):
    search, config = begun(storage)
    with killed_at(optuna.Trial, "set_user_attr", writes("reason")):
        search.fail("a", "ValueError: broken")
    (found,) = FamilySearch(SPACE, storage, seed=0).adopt()
    assert (found.name, found.state) == (config["name"], "RUNNING")


def test_a_value_that_is_written_down_has_its_metrics_beside_it(storage):
    search, _ = begun(storage)
    with killed_at(optuna.Trial, "report"):
        search.report("a", 1, {METRIC: 0.5, "val/loss": 2.0})
    (found,) = read_records(storage, FAMILIES)
    assert (found.epochs, found.metrics) == (0, {METRIC: 0.5, "val/loss": 2.0})


def test_metrics_that_are_not_written_down_have_no_value(storage):
    search, _ = begun(storage)
    with killed_at(optuna.Trial, "set_user_attr", writes("metrics")):
        search.report("a", 1, {METRIC: 0.5})
    (found,) = read_records(storage, FAMILIES)
    assert (found.epochs, found.metrics) == (0, {})


@pytest.mark.parametrize("key", ["name", "seed"])
def test_a_trial_that_was_not_yet_named_gets_its_name_and_seed(storage, key):
    """The confirmation's names are its own, so none of them can be guessed from the number."""
    winners = {"clip": [Chosen(record("clip", 1), 1.0)]}

    def opened():
        return ConfirmSearch(SPACE, winners, 2, storage, seed=0)

    unbroken = ConfirmSearch(SPACE, winners, 2, InMemoryStorage(), seed=0).suggest("a")
    with killed_at(optuna.Trial, "set_user_attr", writes(key)):
        opened().suggest("a")
    again = opened()
    assert [one.name for one in again.adopt()] == ["clip-0001-confirm-0"]
    assert again.suggest("b") == unbroken
    assert recorded_names(storage) == {"clip-0001-confirm-0"}


def test_a_trial_that_did_not_pass_a_rung_is_pruned_by_the_next_driver(storage):
    rule = EarlyStopping(first_rung=2, factor=2)
    space = make_space(trials=3, rule=rule, lag=2, clip=FAMILIES["clip"])
    search = FamilySearch(space, storage, seed=0)
    search.suggest("a")
    search.suggest("b")
    for epoch in (1, 2, 3):
        search.report("a", epoch, {METRIC: 0.5})
    search.on_trial_complete("a", {"done": True})
    search.report("b", 1, {METRIC: 0.4})
    search.report("b", 2, {METRIC: 0.4})  # it does not know of the first
    search.suggest("c")
    search.report("c", 1, {METRIC: 0.4})
    with killed_at(optuna.Study, "tell"):
        search.report("c", 2, {METRIC: 0.4})
    again = FamilySearch(space, storage, seed=0)
    assert [one.name for one in again.adopt()] == ["clip-0001"]
    assert [(one.state, one.epochs) for one in again.snapshot()] == [
        ("COMPLETE", 3),
        ("RUNNING", 2),
        ("PRUNED", 2),
    ]


def test_a_complete_trial_whose_end_was_not_told_has_the_value_of_its_last_epoch(storage):
    search, config = begun(storage)
    for epoch, value in enumerate((0.1, 0.9, 0.4), 1):
        search.report("a", epoch, {METRIC: value})
    with killed_at(optuna.Study, "tell"):
        search.on_trial_complete("a", {"done": True})
    assert FamilySearch(SPACE, storage, seed=0).adopt() == []
    (trial,) = optuna.load_study(study_name=config["family"], storage=storage).trials
    assert (trial.state.name, trial.value) == ("COMPLETE", 0.4)


def test_a_trial_that_was_told_has_its_state_value_and_epochs_in_the_study(storage):
    search, config = begun(storage)
    train(search, "a", config, epochs=3)
    search.on_trial_complete("a", {"done": True})
    (trial,) = optuna.load_study(study_name=config["family"], storage=storage).trials
    assert (trial.state.name, trial.value, trial.user_attrs["epochs"]) == (
        "COMPLETE",
        trial.intermediate_values[3],
        3,
    )
    assert [(one.name, one.state) for one in search.ended()] == [(config["name"], "COMPLETE")]
