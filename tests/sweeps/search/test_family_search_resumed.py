"""A search that was killed, opened again: the same trials, the same suggestions, nothing lost."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.storages import BaseStorage, InMemoryStorage
from ray.tune.search import Searcher

from sweeps.results.records import read_records
from sweeps.results.study_file import study_storage
from sweeps.search.family_search import FamilySearch
from sweeps.search.space import EarlyStopping
from tests.sweeps.searches import METRIC, make_space, run, train

optuna.logging.set_verbosity(optuna.logging.WARNING)


@pytest.fixture
def storage(tmp_path: Path) -> BaseStorage:
    return study_storage(tmp_path / "study.db")


def test_a_search_opened_again_goes_on_as_if_never_closed(tmp_path: Path) -> None:
    unbroken = run(FamilySearch(make_space(), InMemoryStorage(), seed=2))
    path = tmp_path / "study.db"
    first = run(FamilySearch(make_space(), study_storage(path), seed=2), count=23)
    second = FamilySearch(make_space(), study_storage(path), seed=2)
    assert second.adopt() == []
    assert first + run(second) == unbroken
    assert len(unbroken) == 26


@pytest.mark.parametrize("cut", [3, 22])  # among the startup points, and among those of TPE
def test_an_interrupted_trial_is_taken_up_first_as_the_same_trial(storage: BaseStorage, cut: int) -> None:
    unbroken = run(FamilySearch(make_space(), InMemoryStorage(), seed=2))
    search = FamilySearch(make_space(), storage, seed=2)
    run(search, count=cut)
    config = search.suggest("cut off")
    assert config is not None
    train(search, "cut off", config, epochs=1)  # the driver is killed here

    again = FamilySearch(make_space(), storage, seed=2)
    assert [r.name for r in again.adopt()] == [config["name"]]
    rest = run(again)
    assert rest[0].pop("epochs") == 1 and config.pop("epochs") == unbroken[cut].pop("epochs") == 0
    assert rest[0] == config and rest == unbroken[cut:]
    assert Counter(r.state for r in again.snapshot()) == {"COMPLETE": 26}
    # Both runs' time.
    assert next(r for r in again.snapshot() if r.name == config["name"]).seconds == 0.5 + 1.5


def test_many_interrupted_trials_come_back_in_order(storage: BaseStorage) -> None:
    search = FamilySearch(make_space(), storage, seed=2)
    cut = [search.suggest(str(i)) for i in range(5)]
    search.interrupt("0")
    search.on_trial_complete("1")  # Tune took it back before it ran
    again = FamilySearch(make_space(), storage, seed=2)
    assert [r.state for r in again.adopt()] == ["RUNNING"] * 5
    assert [again.suggest(f"again-{i}") for i in range(5)] == cut


def test_a_trial_that_tune_takes_back_before_it_ran_is_suggested_again(storage: BaseStorage) -> None:
    """Nothing would ever end it otherwise, and the trials that wait for its end would wait for ever."""
    search = FamilySearch(make_space(lag=1, rule=EarlyStopping(first_rung=1, factor=2)), storage, seed=2)
    taken, other = search.suggest("taken"), search.suggest("other")
    assert (other["family"], search.suggest("more")) == ("clip", None)
    search.on_trial_complete("taken")
    assert search.suggest("again") == taken
    assert search.suggest("more") is None


@pytest.mark.parametrize("kept", [0, 1, 2])
def test_a_kill_in_the_middle_of_a_suggestion_changes_nothing(
    storage: BaseStorage, kept: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    unbroken = run(FamilySearch(make_space(), InMemoryStorage(), seed=2))
    search = FamilySearch(make_space(), storage, seed=2)
    run(search, count=22)
    real, calls = optuna.Trial._suggest, []

    def killed(self: optuna.Trial, name: str, distribution: Any) -> Any:
        calls.append(name)
        if len(calls) > kept:
            raise KeyboardInterrupt
        return real(self, name, distribution)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(optuna.Trial, "_suggest", killed)
        search.suggest("killed")
    again = FamilySearch(make_space(), storage, seed=2)
    again.adopt()
    assert run(again) == unbroken[22:]


def test_a_kill_between_queueing_a_first_point_and_asking_for_it_changes_nothing(
    storage: BaseStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    unbroken = run(FamilySearch(make_space(), InMemoryStorage(), seed=2), count=12)
    search = FamilySearch(make_space(), storage, seed=2)
    run(search, count=3)

    def killed(self: optuna.Study, *args: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(optuna.Study, "ask", killed)
        search.suggest("killed")
    again = FamilySearch(make_space(), storage, seed=2)
    again.adopt()
    assert run(again, count=9) == unbroken[3:]


def test_a_trial_cut_off_after_its_last_epoch_is_complete(storage: BaseStorage) -> None:
    search = FamilySearch(make_space(), storage, seed=2)
    config = search.suggest("a")
    assert config is not None
    train(search, "a", config, epochs=3)
    again = FamilySearch(make_space(), storage, seed=2)
    assert again.adopt() == []
    (record,) = again.snapshot()
    assert (record.state, record.epochs) == ("COMPLETE", 3)
    assert read_records(storage, ["spatial"]) == [record]


def test_a_repeated_epoch_of_a_resumed_trial_is_accepted(storage: BaseStorage) -> None:
    search = FamilySearch(make_space(), storage, seed=2)
    config = search.suggest("a")
    assert config is not None
    train(search, "a", config, epochs=2)
    again = FamilySearch(make_space(), storage, seed=2)
    again.adopt()
    assert run(again, count=1)[0] == {**config, "epochs": 2}  # from its first epoch
    assert again.snapshot()[0].state == "COMPLETE"


def test_a_larger_budget_keeps_what_is_there(storage: BaseStorage) -> None:
    first = run(FamilySearch(make_space(trials=3), storage, seed=2))
    rest = run(FamilySearch(make_space(trials=12), storage, seed=2))
    assert first + rest == run(FamilySearch(make_space(trials=12), InMemoryStorage(), seed=2))


@pytest.mark.parametrize("lost", [True, False])
def test_an_error_that_comes_from_the_end_of_ray_is_no_failure_of_the_trial(storage, lost):
    search = FamilySearch(make_space(trials=1), storage, seed=0)
    first = search.suggest("0")
    search.report("0", 1, {METRIC: 0.5})
    search.is_cut_off = lambda: lost
    search.on_trial_complete("0", error=True)
    assert [r.state for r in search.snapshot()] == ["RUNNING" if lost else "FAIL"]
    again = FamilySearch(make_space(trials=1), storage, seed=0)
    again.adopt()
    assert (again.suggest("1")["name"] == first["name"]) == lost


def test_nothing_that_tune_says_after_the_end_of_ray_is_written_down(storage):
    search = FamilySearch(make_space(trials=2), storage, seed=0)
    search.suggest("0")
    search.report("0", 1, {METRIC: 0.5})
    search.let_go()
    before = search.snapshot()
    assert search.report("0", 2, {METRIC: 0.6})
    search.tested("0", '{"metrics": {}, "slides": {}}')
    search.fail("0", "its node was lost")
    search.on_trial_complete("0", error=True)
    assert search.suggest("1") == Searcher.FINISHED
    assert search.snapshot() == before
    assert [(r.state, r.epochs) for r in before] == [("RUNNING", 1)]
