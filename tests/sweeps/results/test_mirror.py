"""The record of a sweep at its address: whole files, in the right order."""

import os
import sqlite3
from contextlib import closing
from pathlib import Path

import fsspec
import pytest

from stclip.errors import InputError
from stclip.files.addresses import Remote
from sweeps import report
from sweeps.results import mirror as mirror_module
from sweeps.results.mirror import Mirror, copy_study
from tests.sweeps.made_up import summary
from tests.sweeps.mirrors import add_trial, begun, there, trials_in


def sent_by(monkeypatch):
    """The names of the files that are sent from now on, in their order."""
    sent, upload = [], Remote.upload
    monkeypatch.setattr(
        Remote, "upload", lambda self, source, name: (sent.append(name), upload(self, source, name))[1]
    )
    return sent


def test_the_record_travels_and_what_nodes_write_stays(driver, address, tmp_path):
    mirror, folder, _ = begun(driver)
    add_trial(folder, "clip-0000")
    best = folder.best_dir("clip")
    best.mkdir(parents=True)
    (best / "checkpoint.ckpt").write_bytes(b"weights")
    folder.test_reads_json.write_text("[]")
    for own in ("driver.lock", ".draft", "ray/0001/x", "trials/clip-0000/x", "study.db-journal"):
        (folder.path / own).parent.mkdir(parents=True, exist_ok=True)
        (folder.path / own).write_text("not the record")
    mirror.push()
    record = {"sweep.yaml", "study.db", "trials.csv", "test_reads.json", "runs/0001.json"}
    names = record | {"best/clip/checkpoint.ckpt"}
    assert there(address).keys() == names
    fs, path = fsspec.core.url_to_fs(address)
    fs.makedirs(f"{path}/ray/0001", exist_ok=True)
    fs.pipe_file(f"{path}/ray/0001/tuner.pkl", b"never read")
    fs.pipe_file(f"{path}/study.db-wal", b"of another state of study.db")
    second, own, _ = driver("second")
    own.path.mkdir(parents=True)
    (own.path / "stale").touch()
    second.fetch()
    found = {p.relative_to(own.path).as_posix() for p in own.path.rglob("*") if p.is_file()}
    assert found == names
    assert trials_in(own.study_db.read_bytes(), tmp_path) == ["clip-0000"]


def test_only_what_changed_is_sent_and_the_study_before_what_speaks_of_it(driver, monkeypatch):
    mirror, folder, runs = begun(driver)
    sent = sent_by(monkeypatch)
    mirror.push()
    assert sent == []
    add_trial(folder, "clip-0000")
    runs.end("complete", None)
    folder.write_summary({"status": "complete"})
    mirror.push()
    assert sent[0] == "study.db" and sorted(sent[1:]) == ["runs/0001.json", "summary.json", "trials.csv"]


def test_trials_csv_never_knows_a_trial_that_study_db_lacks(driver, address, tmp_path, monkeypatch):
    """A trial begins and ends while the record is being copied, and another right after; the next copy has all."""
    mirror, folder, _ = begun(driver)
    add_trial(folder, "clip-0000")
    others = ("summary.json", "report.md", "report.html")
    for name in others:
        (folder.path / name).write_text("old")

    def with_news(study, target):
        add_trial(folder, "clip-0001")
        copy_study(study, target)
        add_trial(folder, "clip-0002")
        os.utime(study, ns=(2**60, 2**60))  # however coarse the clock
        for name in others:
            (folder.path / name).write_text("newer")

    sent = sent_by(monkeypatch)
    monkeypatch.setattr(mirror_module, "copy_study", with_news)
    mirror.push()
    assert sent[0] == "study.db" and sorted(sent[1:]) == sorted([*others, "trials.csv"])
    assert trials_in(there(address)["study.db"], tmp_path) == ["clip-0000", "clip-0001"]
    assert there(address)["trials.csv"] == b"clip-0000"
    assert [there(address)[name] for name in others] == [b"old"] * 3
    monkeypatch.setattr(mirror_module, "copy_study", copy_study)
    mirror.push()
    assert trials_in(there(address)["study.db"], tmp_path) == ["clip-0000", "clip-0001", "clip-0002"]
    assert there(address)["trials.csv"] == b"clip-0000clip-0001clip-0002"
    assert [there(address)[name] for name in others] == [b"newer"] * 3


def test_a_file_of_another_size_is_sent_whatever_its_time(driver, address):
    mirror, folder, _ = begun(driver)
    for text in ("old", "newer"):
        folder.trials_csv.write_text(text)
        os.utime(folder.trials_csv, (1e9, 1e9))
        mirror.push()
    assert there(address)["trials.csv"] == b"newer"


def test_a_driver_that_goes_on_sends_nothing_that_is_there(driver, address, monkeypatch):
    begun(driver)
    mirror, _, runs = driver("second")
    mirror.fetch()
    mirror.begin(runs.start("command", None, {}))
    sent = sent_by(monkeypatch)
    mirror.push()
    assert sent == [] and "runs/0002.json" in there(address)
    runs.withdraw()
    mirror.push()
    assert "runs/0002.json" not in there(address)


def test_a_transaction_that_is_open_is_not_copied(driver, address, tmp_path):
    mirror, folder, _ = begun(driver)
    with closing(sqlite3.connect(folder.study_db)) as writer:
        writer.execute("insert into trials values ('half')")
        os.utime(folder.study_db)
        mirror.push()
        assert trials_in(there(address)["study.db"], tmp_path) == []
        writer.commit()
    mirror.push()
    assert trials_in(there(address)["study.db"], tmp_path) == ["half"]


def test_a_run_that_was_withdrawn_leaves_no_trace(driver, address):
    mirror, _, runs = begun(driver)
    assert "runs/0001.json" in there(address)
    runs.withdraw()
    mirror.push()
    assert "runs/0001.json" not in there(address)
    runs.end("stopped", "ignored")
    assert runs.entries() == []


@pytest.mark.parametrize("name", ["nothing", "folder/only"])
def test_nothing_to_go_on_with(tmp_path, name):
    (tmp_path / "folder" / "only").mkdir(parents=True)
    mirror = Mirror(f"file://{tmp_path}/{name}", tmp_path / "own")
    with pytest.raises(
        InputError, match=rf"file://{tmp_path}/{name}: not a sweep's results: it has no sweep\.yaml"
    ):
        mirror.fetch()
    with pytest.raises(InputError, match=r"it has no sweep\.yaml"):
        mirror.fetch_some(("sweep.yaml",))


def test_messages_speak_of_the_address(driver, address):
    mirror, folder, _ = driver("first")
    with pytest.raises(InputError, match=rf"^{address}/study\.db: lacks"), mirror.named():
        raise InputError(f"{folder.study_db}: lacks 3 trials")


def test_the_report_is_rebuilt_at_the_address(driver, address, capsys):
    mirror, folder, _ = begun(driver)
    folder.write_summary(summary([], {"clip": 2}))
    mirror.push()
    assert "report.md" not in there(address)
    assert report.main([f"{address}/"]) == 0
    assert capsys.readouterr().out == f"{address}/report.html\n"
    assert there(address)["report.md"].startswith(b"# ")
    assert there(address)["report.html"].startswith(b"<!doctype html>")
    assert report.main([f"{address}-none"]) == 2
    assert capsys.readouterr().err == f"error: {address}-none: not a sweep's results: it has no sweep.yaml\n"


def test_an_address_that_cannot_be_used_is_one_line(tmp_path):
    (tmp_path / "file").touch()
    mirror = Mirror(f"file://{tmp_path}/file/below", Path())
    with pytest.raises(InputError, match=r"cannot be used \(\w+: .*check the address and the credentials"):
        mirror.check_free()
    with pytest.raises(InputError, match=r"no way to use nosuch://.* or choose a folder with --results"):
        Mirror("nosuch://bucket/a", Path())
