"""study.db: a whole file is accepted, a damaged one is refused, and a write that a kill cut off is undone."""

import shutil
import sqlite3
import struct
from contextlib import closing

import optuna
import pytest

from stclip.errors import InputError
from sweeps.reporting.search_figures import open_studies
from sweeps.results.study_file import check_study_file, first_reading, study_storage

optuna.logging.set_verbosity(optuna.logging.WARNING)


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "a #1?.db"  # characters that an address of a file would take for its own
    with closing(sqlite3.connect(path)) as study, study:
        study.execute("create table trials (name text)")
        study.executemany("insert into trials values (?)", [("x" * 500,)] * 200)
    return path


def test_a_whole_file_and_none_at_all_are_accepted(path, tmp_path):
    before = path.read_bytes()
    check_study_file(path)
    assert path.read_bytes() == before
    check_study_file(tmp_path / "absent.db")
    assert not (tmp_path / "absent.db").exists()


@pytest.mark.parametrize("damage", ["cut short", "no database", "a page overwritten"])
def test_a_damaged_file_is_refused_and_left_as_it_is(path, damage):
    content = path.read_bytes()
    if damage == "cut short":
        content = content[: len(content) // 2]
    elif damage == "no database":
        content = b"name,state\n" * 100
    else:
        content = content[:8192] + bytes(4096) + content[12288:]
    path.write_bytes(content)
    with pytest.raises(
        InputError, match=r"db: the record of the trials is damaged \(.+\); put back a copy of the file"
    ):
        check_study_file(path)
    assert path.read_bytes() == content


def test_the_check_waits_a_minute_for_a_reader_that_holds_the_file(path, monkeypatch):
    connect, waits = sqlite3.connect, []

    def seen(*arguments, **options):
        waits.append(options["timeout"])
        return connect(*arguments, **options)

    monkeypatch.setattr(sqlite3, "connect", seen)
    check_study_file(path)
    assert waits == [60]


def test_a_write_that_a_kill_cut_off_is_rolled_back(path, tmp_path):
    killed = tmp_path / "killed.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as study:
        study.execute("pragma cache_size = 1")  # pages reach the file before the end of the transaction
        study.execute("begin")
        study.execute("delete from trials")
        assert path.with_name(f"{path.name}-journal").stat().st_size
        shutil.copy(path, killed)
        shutil.copy(path.with_name(f"{path.name}-journal"), f"{killed}-journal")
        study.execute("rollback")
    check_study_file(killed)
    assert not killed.with_name("killed.db-journal").exists()
    with closing(sqlite3.connect(killed)) as study:
        assert study.execute("select count(*) from trials").fetchone() == (200,)


def test_what_one_driver_wrote_the_next_one_reads(tmp_path):
    first = optuna.create_study(study_name="clip", storage=study_storage(tmp_path / "study.db"))
    first.enqueue_trial({"x": 1.0})
    again = optuna.load_study(study_name="clip", storage=study_storage(tmp_path / "study.db"))
    assert [trial.state.name for trial in again.trials] == ["WAITING"]


def test_a_write_waits_a_minute_for_a_reader_that_holds_the_file(tmp_path):
    with study_storage(tmp_path / "study.db")._backend.engine.connect() as connection:
        assert connection.exec_driver_sql("pragma busy_timeout").scalar() == 60_000  # milliseconds


@pytest.mark.parametrize("name", ["a?b", "a%41b", "{c}", "a#b", "%s {0} [x];&:@'\"", "a\nb"])
def test_a_study_lies_where_its_path_says_whatever_is_in_the_name(tmp_path, name):
    path = tmp_path / name / "study.db"
    path.parent.mkdir()
    optuna.create_study(study_name="clip", storage=study_storage(path))
    assert [found.relative_to(tmp_path) for found in tmp_path.rglob("*.db")] == [path.relative_to(tmp_path)]
    assert list(open_studies(path, ["clip"])) == ["clip"]


def named_at_the_end(journal, further):
    """The journal of a transaction over several databases: SQLite deletes the file that is named at its end."""
    name = str(further).encode()
    size, total = struct.pack(">I", len(name)), struct.pack(">I", sum(name))
    return journal + name + size + total + bytes.fromhex("d9d505f920a163d7")


@pytest.fixture
def trap(path, tmp_path):
    """A study.db with a journal that has SQLite delete a file, and that file."""
    own, killed = tmp_path / "own", tmp_path / "killed.db"
    own.write_text("mine")
    with closing(sqlite3.connect(path, isolation_level=None)) as study:
        study.execute("pragma cache_size = 1")
        study.execute("begin")
        study.execute("delete from trials")
        shutil.copy(path, killed)
        journal = path.with_name(f"{path.name}-journal").read_bytes()
        study.execute("rollback")
    killed.with_name("killed.db-journal").write_bytes(named_at_the_end(journal, own))
    return killed, own


def test_a_journal_deletes_no_file(trap):
    killed, own = trap
    for read in (check_study_file, lambda path: open_studies(path, ["clip"])):
        with pytest.raises(
            InputError, match=r"killed.db-journal: names a further file, .*delete killed.db-journal"
        ):
            read(killed)
    assert own.read_text() == "mine"


def test_without_the_check_it_would(trap):
    killed, own = trap
    with closing(sqlite3.connect(killed)) as study:
        assert study.execute("select count(*) from trials").fetchone() == (200,)
    assert not own.exists()


ODD = {
    "trials": ("datetime_complete", "x"),
    "trial_params": ("distribution_json", "FAIL"),
    "trial_user_attributes": ("value_json", "[1"),
    "trial_values": ("value_type", "COMPLETE"),
    "alembic_version": ("version_num", "x"),
}


@pytest.fixture
def odd(tmp_path, request):
    """A whole database in which one table has a value that Optuna never wrote."""
    path, (column, value) = tmp_path / "study.db", ODD[request.param]
    trial = optuna.create_study(study_name="clip", storage=study_storage(path)).ask()
    trial.suggest_float("a", 0, 1)
    trial.set_user_attr("seed", 1)
    trial.study.tell(trial, 0.5)
    with closing(sqlite3.connect(path)) as study, study:
        study.execute(f"update {request.param} set {column} = ?", (value,))
    check_study_file(path)
    return path


@pytest.mark.parametrize("odd", ODD, indirect=True)
def test_a_value_that_optuna_never_wrote_is_one_line(odd):
    with (
        pytest.raises(InputError, match=r"study\.db: cannot be read as the studies of a sweep \(\w+: "),
        first_reading(odd),
    ):
        optuna.load_study(study_name="clip", storage=study_storage(odd)).get_trials()


def test_a_full_disk_while_studies_are_read_is_told_as_one(path):
    with pytest.raises(sqlite3.OperationalError, match="disk is full"), first_reading(path):
        raise sqlite3.OperationalError("database or disk is full")


def test_what_was_said_of_a_study_already_stays(path):
    with pytest.raises(InputError, match="^its own$"), first_reading(path):
        raise InputError("its own")
