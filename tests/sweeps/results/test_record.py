"""The one door to a sweep's record: what is asked, made, held and undone, in a folder and at an address alike."""

import re
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from stclip.errors import InputError
from sweeps.results import driver_lock
from sweeps.results.folder import ResultsFolder
from sweeps.results.record import NotStartedError, SweepRecord, Told
from tests.sweeps.made_up import record as trial
from tests.sweeps.mirrors import there

SWEEP = {"name": "a", "seed": 3}


@pytest.fixture(params=["folder", "address"])
def place(request, tmp_path):
    """Where a sweep may begin; nothing is there yet."""
    folder = tmp_path / "new" / "results" / "a"
    return str(folder) if request.param == "folder" else f"file://{folder}"


def path_of(place):
    return Path(place.removeprefix("file://"))


def enter(record):
    return record.run("command", None, {}, print, print)


def begin(place, sweep=SWEEP):
    """A sweep that ran and was interrupted."""
    with SweepRecord.create(place, sweep) as record, enter(record) as run:
        with closing(sqlite3.connect(record.folder.study_db)) as study, study:
            study.execute("create table trials (name text)")
        run.end("interrupted", "Ctrl-C")


def told(place):
    with SweepRecord.looked_at(place) as folder:
        return Told.read(folder)


# -- a new sweep


def test_a_sweep_is_at_its_place_with_its_run_when_the_driver_is_gone(place):
    SweepRecord.check_free(place)
    begin(place)
    folder = ResultsFolder(path_of(place))
    assert folder.read_sweep() == SWEEP and folder.study_db.is_file()
    assert '"status": "interrupted"' in (folder.runs_dir / "0001.json").read_text()
    with pytest.raises(
        InputError, match=f"{re.escape(place)}: already holds an unfinished sweep; go on with it"
    ):
        SweepRecord.check_free(place)
    with (
        pytest.raises(InputError, match="already holds an unfinished sweep"),
        SweepRecord.create(place, SWEEP),
    ):
        pass


def test_a_sweep_that_cannot_start_leaves_nothing(place, tmp_path):
    with (
        pytest.raises(NotStartedError, match="no"),
        SweepRecord.create(place, SWEEP) as record,
        enter(record),
    ):
        (record.folder.path / "study.db").write_text("")
        raise NotStartedError("no")
    assert not path_of(place).exists()
    assert list(tmp_path.iterdir()) == ([] if "://" not in place else [tmp_path / "new"])
    SweepRecord.check_free(place)


def test_what_was_there_before_stays(tmp_path):
    ResultsFolder(tmp_path / "results" / "other").create({"name": "other"})
    with pytest.raises(NotStartedError), SweepRecord.create(str(tmp_path / "results" / "a"), SWEEP):
        raise NotStartedError("no")
    assert [p.name for p in (tmp_path / "results").iterdir()] == ["other"]


@pytest.mark.parametrize("error", [InputError("damaged"), RuntimeError("boom")])
def test_a_sweep_that_had_started_is_kept_and_its_run_is_a_fault(place, error):
    with pytest.raises(type(error)), SweepRecord.create(place, SWEEP) as record, enter(record):
        raise error
    folder = ResultsFolder(path_of(place))
    assert folder.sweep_yaml.exists()
    entry = (folder.runs_dir / "0001.json").read_text()
    assert '"status": "stopped"' in entry and "a fault; see what the driver printed" in entry


def test_while_one_driver_works_another_is_refused(place, monkeypatch):
    monkeypatch.setattr(driver_lock, "_lives", lambda pid: True)  # both are of this process
    begin(place)
    known = told(place)
    with (
        SweepRecord.resume(place, known, None) as record,
        enter(record),
        pytest.raises(InputError, match=f"{re.escape(place)}: another process works on this sweep"),
        SweepRecord.resume(place, known, None) as other,
        enter(other),
    ):
        pass


# -- a sweep that goes on


def test_a_larger_budget_is_written_and_the_run_gets_the_next_number(place):
    begin(place)
    with SweepRecord.resume(place, told(place), {**SWEEP, "trials": 9}) as record, enter(record) as run:
        assert run.number == 2
        run.end("complete", None)
    assert told(place).tree == {**SWEEP, "trials": 9}
    assert [entry["status"] for entry in record.runs.entries()] in ([], ["interrupted", "complete"])
    assert sorted(path.name for path in (path_of(place) / "runs").iterdir()) == ["0001.json", "0002.json"]


def test_a_resumed_sweep_that_cannot_start_is_as_it_was(place):
    begin(place)
    before = there(f"file://{path_of(place)}")
    with (
        pytest.raises(NotStartedError),
        SweepRecord.resume(place, told(place), None) as record,
        enter(record),
    ):
        raise NotStartedError("no")
    after = there(f"file://{path_of(place)}")
    assert {name: text for name, text in after.items() if name != "driver.lock"} == {
        name: text for name, text in before.items() if name != "driver.lock"
    }


def test_a_budget_that_another_driver_has_just_changed_is_not_overwritten(place):
    begin(place)
    known = told(place)
    with SweepRecord.resume(place, known, {**SWEEP, "trials": 9}) as record, enter(record):
        pass
    with (
        pytest.raises(
            InputError, match=rf"^{re.escape(place)}/sweep.yaml: another process has changed it just now"
        ),
        SweepRecord.resume(place, known, {**SWEEP, "trials": 7}),
    ):
        pass


def test_a_study_that_is_gone_beside_traces_of_trials_is_refused(place):
    begin(place)
    folder = ResultsFolder(path_of(place))
    folder.write_trials_csv([trial("clip", 0)])
    folder.study_db.unlink()
    with (
        pytest.raises(InputError, match=rf"^{re.escape(place)}/study.db: lacks 1 trials .*such as clip-0000"),
        SweepRecord.resume(place, told(place), None),
    ):
        pass


@pytest.mark.parametrize("name", ["nowhere", "s"])
def test_where_no_sweep_is_there_is_nothing_to_look_at(tmp_path, name):
    (tmp_path / "s").mkdir()
    for place in (str(tmp_path / name), f"file://{tmp_path / name}"):
        with pytest.raises(InputError, match="not a sweep's results.*it has no sweep.yaml"):
            told(place)


# -- traces of trials beside study.db


@pytest.fixture
def made(tmp_path):
    folder = ResultsFolder(tmp_path / "a")
    folder.create(SWEEP)
    return SweepRecord(str(folder.path), folder, None)


def test_a_record_that_has_every_known_trial_is_accepted(made):
    made.folder.write_trials_csv([trial("clip", 0)])
    for name in ("clip-0000", "spatial-0001", ".draft"):
        (made.folder.trials_dir / name).mkdir(parents=True)
    made.check_traces({"clip-0000", "spatial-0001", "spatial-0002"})


@pytest.mark.parametrize("known_by", ["trials.csv", "its folder"])
def test_a_record_that_lacks_a_known_trial_is_refused(made, known_by):
    if known_by == "trials.csv":
        made.folder.write_trials_csv([trial("clip", 0), trial("clip", 1)])
    else:
        (made.folder.trials_dir / "clip-0001").mkdir(parents=True)
    with pytest.raises(
        InputError, match=r"study.db: lacks 1 trials that the folder has traces of \(such as clip-0001\)"
    ):
        made.check_traces({"clip-0000"})


def test_a_row_that_was_cut_short_is_no_trace(made):
    made.folder.write_trials_csv([trial("clip", 0), trial("clip", 1)])
    whole = made.folder.trials_csv.read_text()
    made.folder.trials_csv.write_text(whole[: whole.rindex("clip-0001") + len("clip-00")])
    made.check_traces({"clip-0000"})
