"""Results that are gone or closed: one line, whatever error they show themselves in."""

import errno
import sqlite3
from pathlib import Path

import pytest

from stclip.data.store import open_store
from stclip.errors import InputError
from sweeps import report
from sweeps.driver import sweep as launch
from sweeps.driver.sweep import run_sweep
from sweeps.planning.command_line import make_parser
from sweeps.planning.resume import plan_to_resume
from sweeps.planning.sweep_yaml import describe_sweep
from sweeps.results import fault as results_fault
from sweeps.results.fault import check_writable
from sweeps.results.folder import ResultsFolder
from tests.sweeps.results_folders import folder_of, many
from tests.sweeps.tiny_plan import results_of

ERRORS = [
    FileNotFoundError(2, "No such file"),
    sqlite3.OperationalError("attempt to write a readonly database"),
    RuntimeError("of Tune"),
]


@pytest.fixture
def folder(tmp_path):
    folder = ResultsFolder(tmp_path / "a")
    folder.create({"name": "a"})
    folder.runs_dir.mkdir()
    folder.study_db.touch()
    return folder


def closed(monkeypatch, name):
    """A file or folder that may not be written to (root may everything, so the system's answer is made up)."""
    access = results_fault.os.access
    monkeypatch.setattr(
        results_fault.os, "access", lambda path, mode: path.name != name and access(path, mode)
    )


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_what_is_wrong_is_asked_of_the_folder(folder, error, monkeypatch):
    assert results_fault.results_fault(folder, error) is None
    closed(monkeypatch, "study.db")
    assert "any more (no permission to write study.db)" in results_fault.results_fault(folder, error)
    folder.sweep_yaml.unlink()
    assert "gone: it was moved or deleted" in results_fault.results_fault(folder, error)
    folder.path.rename(folder.path.with_name("b"))
    assert "gone" in results_fault.results_fault(folder, error)


def test_a_full_disk_is_told_apart(folder):
    assert results_fault.results_fault(folder, OSError(errno.ENOSPC, "")) == "no space left to write results"


@pytest.mark.parametrize("name", ["a", "runs", "study.db"])
def test_a_closed_folder_is_found_before_a_sweep_goes_on(folder, name, monkeypatch):
    check_writable(folder, "there")
    closed(monkeypatch, name)
    with pytest.raises(
        InputError,
        match=rf"results there: cannot be written \(no permission to write {name}\); give yourself",
    ):
        check_writable(folder, "there")


def test_a_disk_that_is_mounted_for_reading_is_found(folder, monkeypatch):
    def refused(**where):
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(results_fault, "TemporaryFile", refused)
    with pytest.raises(InputError, match=r"cannot be written \(Read-only file system\)"):
        check_writable(folder, "there")


@pytest.fixture
def sweep(plan_of):
    plan = plan_of("--name", "begun")
    store = open_store(plan.middles()["clip"].data)
    return plan, store


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_a_folder_that_is_removed_while_the_sweep_runs_ends_it_with_a_line(sweep, error, monkeypatch, capsys):
    def removed(job):
        job.folder.path.rename(job.folder.path.with_name("elsewhere"))
        raise error

    monkeypatch.setattr(launch, "_start", removed)
    assert run_sweep(*sweep, "command", quiet=True, began=0.0) == 1
    told = capsys.readouterr().err
    assert told.startswith("error: the results folder is gone: ") and told.count("\n") == 1
    assert f"--resume {sweep[0].place}" in told
    assert not Path(sweep[0].place).exists()


def test_an_error_of_another_kind_is_not_hidden(sweep, monkeypatch):
    def broken(job):
        raise RuntimeError("a fault of the program")

    monkeypatch.setattr(launch, "_start", broken)
    with pytest.raises(RuntimeError, match="a fault of the program"):
        run_sweep(*sweep, "command", quiet=True, began=0.0)


def test_a_closed_folder_is_not_resumed(sweep, monkeypatch):
    plan, store = sweep
    results_of(plan).create(describe_sweep(plan, store, "command"))
    before = results_of(plan).sweep_yaml.read_bytes()
    again = plan_to_resume(make_parser().parse_args(["--resume", plan.place, "--trials", "9"]))
    closed(monkeypatch, "begun")
    with pytest.raises(InputError, match="cannot be written .no permission to write begun."):
        run_sweep(again, store, "command", quiet=True, began=0.0)
    assert results_of(plan).sweep_yaml.read_bytes() == before
    assert not results_of(plan).runs_dir.exists()


def test_a_report_that_cannot_be_written_is_a_line(tmp_path, monkeypatch, capsys):
    folder = folder_of(tmp_path / "a", many())

    def refused(self, markdown, page):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(ResultsFolder, "write_report", refused)
    assert report.main([str(folder.path)]) == 2
    assert capsys.readouterr().err.startswith(
        f"error: {folder.path}: the report cannot be written (Permission denied); give"
    )
