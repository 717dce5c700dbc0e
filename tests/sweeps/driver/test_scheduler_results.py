"""What the scheduler makes of a trial's results, one kind of result at a time."""

from __future__ import annotations

import json
from types import SimpleNamespace

import optuna
import pytest
from optuna.storages import InMemoryStorage
from ray.tune.schedulers import TrialScheduler

from sweeps.driver.scheduler import FamilyEarlyStopping
from sweeps.search.family_search import FamilySearch
from sweeps.trial.run_trial import EPOCH, FAILURE, MACHINE, NO_SPACE, SECONDS, TESTED
from tests.sweeps.searches import METRIC, make_space

optuna.logging.set_verbosity(optuna.logging.WARNING)
TRIAL = SimpleNamespace(trial_id="a")


class Driver:
    """A search of which one trial runs, and its scheduler."""

    def __init__(self):
        self.storage, self.no_space = InMemoryStorage(), []
        self.search = FamilySearch(make_space(), self.storage, seed=0)
        self.scheduler = FamilyEarlyStopping(self.search, self.no_space.append)
        self.search.suggest("a")

    def result(self, **result):
        return self.scheduler.on_trial_result(None, TRIAL, result)

    def record(self):
        (record,) = self.search.snapshot()
        return record


@pytest.fixture
def driver():
    return Driver()


def test_a_trial_that_found_no_space_stops_and_stays_unfinished(driver):
    driver.result(**{EPOCH: 1, METRIC: 0.5})
    told = {FAILURE: "OSError: no space left", NO_SPACE: True}
    assert driver.result(**told) == TrialScheduler.STOP
    driver.search.on_trial_complete("a", told)  # what Tune says after STOP
    assert driver.no_space == ["OSError: no space left"]
    assert (driver.record().state, driver.record().error) == ("RUNNING", None)
    again = FamilySearch(make_space(), driver.storage, seed=0)
    assert [(one.name, one.epochs) for one in again.adopt()] == [("spatial-0000", 1)]


def test_another_failure_is_not_taken_for_a_lack_of_space(driver):
    assert driver.result(**{FAILURE: "ValueError: no", NO_SPACE: False}) == TrialScheduler.STOP
    assert driver.no_space == []
    assert (driver.record().state, driver.record().error) == ("FAIL", "ValueError: no")


def test_what_was_found_on_the_test_slides_is_added_and_the_trial_goes_on_to_its_end(driver):
    for epoch in (1, 2, 3):
        assert driver.result(**{EPOCH: epoch, METRIC: 0.1 * epoch}) == TrialScheduler.CONTINUE
    found = {"metrics": {"test/R@10": 0.25}, "slides": {"E1": {"R@10": 0.25}}}
    assert driver.result(**{EPOCH: 3, TESTED: json.dumps(found)}) == TrialScheduler.CONTINUE
    assert driver.record().metrics == {METRIC: pytest.approx(0.3), "test/R@10": 0.25}
    assert driver.record().test_slides == {"E1": {"R@10": 0.25}}
    assert driver.record().state == "RUNNING"


def test_what_a_process_says_of_itself_is_kept_when_the_trial_ends(driver):
    """The last word counts; a report without one, as that of the test slides, takes nothing back."""
    for epoch in (1, 2, 3):
        driver.result(**{EPOCH: epoch, METRIC: 0.5, MACHINE: json.dumps({"peak_memory_mb": 100.0 * epoch})})
    driver.result(**{EPOCH: 3, TESTED: json.dumps({"metrics": {}, "slides": {}})})
    assert driver.record().machine == {}
    driver.search.on_trial_complete("a", {})
    assert (driver.record().state, driver.record().machine) == ("COMPLETE", {"peak_memory_mb": 300.0})
    again = FamilySearch(make_space(), driver.storage, seed=0)
    assert [one.machine for one in again.snapshot()] == [{"peak_memory_mb": 300.0}]


def test_a_failed_trial_keeps_what_its_process_said_too(driver):
    driver.result(**{EPOCH: 1, METRIC: 0.5, MACHINE: '{"host": "a"}'})
    driver.result(**{FAILURE: "ValueError: no", NO_SPACE: False})
    assert (driver.record().state, driver.record().machine) == ("FAIL", {"host": "a"})


def test_the_epoch_is_the_trials_own_count_not_that_of_tune(driver):
    """A restarted trial's iterations are counted from 1 again."""
    driver.result(**{EPOCH: 2, "training_iteration": 1, METRIC: 0.5, SECONDS: 7.5})
    assert (driver.record().epochs, driver.record().seconds) == (2, 7.5)
    driver.result(**{"training_iteration": 3, METRIC: 0.5, SECONDS: 1.5})
    assert (driver.record().epochs, driver.record().seconds) == (3, 9.0)


def test_a_clock_that_is_set_back_changes_no_duration(driver):
    driver.result(**{EPOCH: 1, METRIC: 0.5, SECONDS: 2.0, "time_total_s": -172_800.0})
    driver.result(**{EPOCH: 2, METRIC: 0.5, SECONDS: 2.5, "time_total_s": 172_800.0})
    assert driver.record().seconds == 4.5


def test_an_error_file_that_is_no_text_is_an_error_without_a_text(driver, tmp_path):
    (tmp_path / "error.txt").write_bytes(b"\xff\xfe")
    died = SimpleNamespace(
        trial_id="a", error_file=tmp_path / "error.txt", run_metadata=SimpleNamespace(num_failures=1)
    )
    driver.scheduler.on_trial_error(None, died)
    driver.search.on_trial_complete("a", error=True)
    assert driver.record().error.startswith("the trial's process died or raised")
