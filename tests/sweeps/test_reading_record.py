"""A reading is on record before it begins, in test_reads.json and in study.db, and neither loses it alone."""

import json
import shutil
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from types import SimpleNamespace

import optuna
import pytest

from stclip.errors import InputError
from sweeps import launch
from sweeps.choice import choose
from sweeps.confirm import ConfirmSearch
from sweeps.mirror import AddressError
from sweeps.reading_record import enter_reading, restore_readings
from sweeps.readings import read_readings, write_readings
from sweeps.results import ResultsFolder
from sweeps.search import FamilySearch
from sweeps.space import SearchSpace
from sweeps.stopping import StopSwitch
from sweeps.study_file import study_storage
from tests.sweeps.searches import METRIC, make_space, run, train

optuna.logging.set_verbosity(optuna.logging.WARNING)
FOUND = json.dumps({"metrics": {"test/R@10": 0.5}, "slides": {"E1": {"spots": 28, "R@10": 0.5}}})
NOON = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
SPACE = make_space(trials=3, epochs=2)


@dataclass(frozen=True)
class Plan:
    """The part of a sweep's plan that readings ask for."""

    space: SearchSpace = SPACE
    confirm_seeds: int = 2


@dataclass(frozen=True)
class Sweep:
    """A sweep's folder with its study.db; each run of its driver opens it anew."""

    folder: ResultsFolder

    def storage(self):
        return study_storage(self.folder.study_db)

    def search(self):
        return FamilySearch(SPACE, self.storage(), seed=0)

    def enter(self, run_number=1, seeds=2, winners=None):
        """Enter a confirmation; returns it, not yet begun."""
        plan, records = Plan(confirm_seeds=seeds), self.search().snapshot()
        chosen = winners or {family: choose(records, family, METRIC, "max", 1) for family in SPACE.families}
        enter_reading(plan, self.folder, self.storage(), chosen, records, run_number, NOON)
        return ConfirmSearch(SPACE, chosen, seeds, self.storage(), seed=0)

    def restore(self):
        restore_readings(Plan(), self.folder, self.storage(), self.search().snapshot())
        return read_readings(self.folder.test_reads_json)


@pytest.fixture(scope="module")
def searched(tmp_path_factory):
    sweep = Sweep(ResultsFolder(tmp_path_factory.mktemp("searched")))
    run(sweep.search(), epochs=2)
    return sweep


@pytest.fixture
def sweep(searched, tmp_path):
    """A sweep whose search is over; nothing is confirmed yet."""
    shutil.copytree(searched.folder.path, tmp_path / "a")
    return Sweep(ResultsFolder(tmp_path / "a"))


def confirm(search, count=4):
    """Train `count` models of a confirmation to their ends."""
    for number in range(count):
        config = search.suggest(f"t{number}")
        train(search, f"t{number}", config, epochs=2)
        search.tested(f"t{number}", FOUND)
        search.on_trial_complete(f"t{number}", {"done": True})


def test_a_reading_says_when_by_whom_after_what_and_of_which_models(sweep):
    confirmation = sweep.enter(run_number=3)
    (reading,) = read_readings(sweep.folder.test_reads_json)
    assert confirmation.snapshot() == []  # nothing had begun
    assert (reading.number, reading.when, reading.run) == (1, NOON, 3)
    assert (reading.trials, reading.budget, reading.seeds) == ({"spatial": 3, "clip": 3}, 3, 2)
    confirm(confirmation)
    trained = {(record.family, record.name) for record in confirmation.snapshot()}
    assert {(family, name) for family, names in reading.models.items() for name in names} == trained


def test_trials_that_have_not_ended_are_not_counted(sweep):
    (unfinished,) = run(FamilySearch(make_space(trials=4, epochs=2), sweep.storage(), seed=0), 1, epochs=0)
    records = FamilySearch(make_space(trials=4, epochs=2), sweep.storage(), seed=0).snapshot()
    failed = [record for record in records if record.state == "FAIL"]
    assert [record.name for record in failed] == [unfinished["name"]]
    other = FamilySearch(make_space(trials=4, epochs=2), sweep.storage(), seed=0)
    begun = other.suggest("t")["family"]
    sweep.enter()
    (reading,) = read_readings(sweep.folder.test_reads_json)
    assert reading.trials == {"spatial": 3, "clip": 3} | {unfinished["family"]: 4}
    assert begun != unfinished["family"]  # the one that runs: it is not counted


def test_the_same_again_is_the_same_reading_and_more_seeds_are_another(sweep):
    confirm(sweep.enter())
    sweep.enter(run_number=2)
    assert [one.run for one in read_readings(sweep.folder.test_reads_json)] == [1]
    sweep.enter(run_number=3, seeds=3)
    readings = read_readings(sweep.folder.test_reads_json)
    assert [(one.number, one.run, one.seeds) for one in readings] == [(1, 1, 2), (2, 3, 3)]


@pytest.mark.parametrize(("epochs", "numbers"), [(1, [1]), (2, [1, 2])])
def test_a_training_has_read_once_it_is_through_its_last_epoch(sweep, epochs, numbers):
    """Whether the kill came before or after the test slides cannot be told then."""
    first = sweep.enter()
    train(first, "a", first.suggest("a"), epochs)
    sweep.enter(run_number=2, seeds=3)
    assert [one.number for one in read_readings(sweep.folder.test_reads_json)] == numbers


def test_a_file_that_was_deleted_comes_back_from_study_db(sweep):
    confirm(sweep.enter())
    confirm(sweep.enter(run_number=2, seeds=3), 2)
    before = read_readings(sweep.folder.test_reads_json)
    sweep.folder.test_reads_json.unlink()
    assert sweep.restore() == before and len(before) == 2


def test_a_file_that_was_shortened_or_changed_is_put_right(sweep):
    confirm(sweep.enter())
    confirm(sweep.enter(run_number=2, seeds=3), 2)
    before = read_readings(sweep.folder.test_reads_json)
    write_readings(sweep.folder.test_reads_json, before[:1])
    assert sweep.restore() == before
    write_readings(sweep.folder.test_reads_json, [one.model_copy(update={"run": 9}) for one in before])
    assert sweep.restore() == before


def test_a_study_db_from_before_the_last_reading_learns_of_it(sweep):
    older = sweep.folder.study_db.read_bytes()
    confirm(sweep.enter())
    before = read_readings(sweep.folder.test_reads_json)
    sweep.folder.study_db.write_bytes(older)
    assert sweep.restore() == before
    sweep.folder.test_reads_json.unlink()
    assert sweep.restore() == before


def test_a_damaged_file_is_refused(sweep):
    sweep.enter()
    sweep.folder.test_reads_json.write_text("[")
    with pytest.raises(InputError, match=r"test_reads\.json: must be the list of readings .*delete the file"):
        sweep.restore()


def test_a_damaged_list_in_study_db_never_says_to_delete_it(sweep):
    study = optuna.load_study(study_name="spatial", storage=sweep.storage())
    study.set_user_attr("test_reads", [{"number": 1}])
    with pytest.raises(
        InputError, match=r"study\.db, test_reads: must be .*put back a copy of study\.db"
    ) as caught:
        sweep.restore()
    assert "delete" not in str(caught.value)


def test_a_sweep_that_was_never_confirmed_has_no_reading_and_no_file(sweep):
    assert sweep.restore() == []
    assert not sweep.folder.test_reads_json.exists()


def test_a_confirmation_from_before_there_was_a_record_is_one_reading(sweep):
    confirm(sweep.enter())
    (known,) = read_readings(sweep.folder.test_reads_json)
    sweep.folder.test_reads_json.unlink()
    optuna.load_study(study_name="spatial", storage=sweep.storage()).set_user_attr("test_reads", [])
    (made_up,) = sweep.restore()
    assert (made_up.number, made_up.run, made_up.models) == (1, None, known.models)
    sweep.enter(run_number=2)
    assert read_readings(sweep.folder.test_reads_json) == [made_up]  # the same models: nothing new is read


@pytest.mark.parametrize("fault", [None, "cannot be written"])
def test_no_reading_begins_that_is_not_on_record_at_the_address(sweep, monkeypatch, fault):
    """The record is at the address before the first training of a confirmation, or there is no confirmation."""
    done = []

    def push():
        assert [one.number for one in read_readings(sweep.folder.test_reads_json)] == [1]
        done.append("push")
        if fault:
            raise AddressError(fault)

    monkeypatch.setattr(launch, "run_phase", lambda job, phase, *rest, **last: done.append(phase.table))
    plan = SimpleNamespace(
        space=SPACE,
        seed=0,
        confirm_seeds=2,
        confirm_configs=1,
        time_budget=None,
        configurations=1,
        resolve=None,
    )
    monkeypatch.setattr("sweeps.confirm_plan.confirm_plan", lambda plan, found: plan)
    job = SimpleNamespace(plan=plan, folder=sweep.folder, mirror=SimpleNamespace(push=push))
    ray = SimpleNamespace(resources=SimpleNamespace(max_concurrent=1), run=1)
    with pytest.raises(AddressError, match=fault) if fault else nullcontext():
        launch._run_phases(job, sweep.search(), StopSwitch(None, print), ray)
    assert done == ["trials.csv", "push", *([] if fault else ["confirm.csv"])]
