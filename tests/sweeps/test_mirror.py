"""The record of a sweep at an address: one owner, whole files in the right order, faults that are said and lived through."""

import json
import os
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing
from pathlib import Path

import fsspec
import pytest

from stclip.errors import InputError
from stclip.remote import Remote
from sweeps import mirror as mirror_module
from sweeps import report
from sweeps.folder_lock import sole_driver
from sweeps.mirror import AddressError, Mirror, copy_study
from sweeps.own_folder import lent_folder
from sweeps.results import ResultsFolder
from sweeps.run_log import RunLog
from sweeps.summary import build_summary

SWEEP = {"name": "a", "seed": 3}


@pytest.fixture(params=["file", "memory"])
def address(request, tmp_path):
    """Of a sweep that is not there yet."""
    if request.param == "file":
        yield f"file://{tmp_path}/at/results/a"
        return
    yield "memory://bucket/results/a"
    memory = fsspec.filesystem("memory")
    if memory.exists("/bucket"):
        memory.rm("/bucket", recursive=True)


@pytest.fixture
def driver(address, tmp_path):
    """Makes drivers of this sweep, each with a folder of its own."""

    def make(name):
        folder = ResultsFolder(tmp_path / "own" / name)
        return Mirror(address, folder.path), folder, RunLog(folder.runs_dir)

    return make


def begun(driver, name="first"):
    mirror, folder, runs = driver(name)
    folder.create(SWEEP)
    mirror.claim()
    with closing(sqlite3.connect(folder.study_db)) as study, study:
        study.execute("create table trials (name text)")
    mirror.begin(runs.start("command", None, {}))
    mirror.push()
    return mirror, folder, runs


def there(address):
    fs, path = fsspec.core.url_to_fs(address)
    return {name[len(path) :].strip("/"): fs.cat_file(name) for name in fs.find(path)}


def add_trial(folder, name):
    with closing(sqlite3.connect(folder.study_db)) as study, study:
        study.execute("insert into trials values (?)", [name])
    folder.trials_csv.write_text(folder.trials_csv.read_text() + name if folder.trials_csv.exists() else name)


def trials_in(content, tmp_path):
    path = tmp_path / "read.db"
    path.write_bytes(content)
    with closing(sqlite3.connect(path)) as study:
        return [row[0] for row in study.execute("select name from trials")]


# -- whose it is


def test_an_address_takes_one_sweep(driver, address):
    mirror, folder, _ = driver("first")
    mirror.check_free()
    assert there(address) == {}
    folder.create(SWEEP)
    mirror.claim()
    assert there(address) == {"sweep.yaml": folder.sweep_yaml.read_bytes()}
    way_on = rf"already holds an unfinished sweep; go on with it by: python sweeps/run\.py --resume {address}, or choose"
    with pytest.raises(InputError, match=way_on):
        driver("second")[0].check_free()
    other, own, _ = driver("third")
    own.create({**SWEEP, "seed": 4})
    with pytest.raises(InputError, match=way_on):
        other.claim()
    assert there(address) == {"sweep.yaml": folder.sweep_yaml.read_bytes()}


def test_a_complete_sweep_is_no_sweep_to_go_on_with(driver):
    mirror, folder, _ = begun(driver)
    folder.write_summary({"status": "complete"})
    mirror.push()
    with pytest.raises(InputError, match="already holds a sweep; choose another name"):
        driver("second")[0].check_free()


def test_other_files_at_the_address_are_left_alone(driver, address):
    fs, path = fsspec.core.url_to_fs(address)
    fs.makedirs(path, exist_ok=True)
    fs.pipe_file(f"{path}/thesis.txt", b"mine")
    with pytest.raises(InputError, match="is not empty and holds no sweep"):
        driver("first")[0].check_free()
    assert there(address) == {"thesis.txt": b"mine"}


def test_of_two_drivers_that_go_on_one_does(driver):
    begun(driver)
    (one, _, runs), (two, _, others) = driver("second"), driver("third")
    one.fetch()
    two.fetch()
    one.begin(runs.start("command", None, {}))
    number = others.start("command", None, {})
    assert number == 2
    with pytest.raises(InputError, match="another process has just begun .*--resume"):
        two.begin(number)


def test_a_driver_that_was_overtaken_writes_nothing_more(driver, address):
    mirror, folder, _ = begun(driver)
    other, _, runs = driver("second")
    other.fetch()
    other.begin(runs.start("command", None, {}))
    before = there(address)
    add_trial(folder, "clip-0000")
    taken = []
    with pytest.raises(AddressError, match=r"another driver has gone on with this sweep \(run 2\)"):
        mirror.push()
    with pytest.raises(AddressError, match="this one stops"), mirror.following(print, taken.append):
        mirror.soon()
        wait_for(lambda: taken)
    assert there(address) == before and not list(folder.path.parent.glob("*-not-copied"))


ON_LINUX = pytest.mark.skipif(sys.platform != "linux", reason="other systems do not say")


@pytest.mark.parametrize(
    "now", ["alive", "ended", pytest.param("ended, its parent has not asked", marks=ON_LINUX)]
)
def test_a_driver_of_this_machine_is_known_by_its_process(driver, address, now):
    mirror, folder, runs = begun(driver)
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        entry = runs.entries()[0] | {"pid": process.pid}
        (folder.runs_dir / "0001.json").write_text(json.dumps(entry))
        mirror.push()
        if now == "ended":
            process.communicate(b"\n")
        elif now != "alive":
            process.kill()
            os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        second, own, others = driver("second")
        second.fetch()
        if now == "alive":
            with (
                pytest.raises(
                    InputError, match=rf"results {address}: another process .*process {process.pid}"
                ),
                sole_driver(own.path, others, address),
            ):
                pass
        else:
            with sole_driver(own.path, others, address):
                pass
    finally:
        process.kill()
        process.communicate()


# -- what is there


def test_the_record_travels_and_what_nodes_write_stays(driver, address, tmp_path):
    mirror, folder, _ = begun(driver)
    add_trial(folder, "clip-0000")
    best = folder.best_dir("clip")
    best.mkdir(parents=True)
    (best / "checkpoint.ckpt").write_bytes(b"weights")
    for own in ("driver.lock", ".draft", "ray/0001/x", "trials/clip-0000/x", "study.db-journal"):
        (folder.path / own).parent.mkdir(parents=True, exist_ok=True)
        (folder.path / own).write_text("not the record")
    mirror.push()
    names = {"sweep.yaml", "study.db", "trials.csv", "runs/0001.json", "best/clip/checkpoint.ckpt"}
    assert there(address).keys() == names
    fs, path = fsspec.core.url_to_fs(address)
    fs.makedirs(f"{path}/ray/0001", exist_ok=True)
    fs.pipe_file(f"{path}/ray/0001/tuner.pkl", b"never read")
    second, own, _ = driver("second")
    own.path.mkdir(parents=True)
    (own.path / "stale").touch()
    second.fetch()
    found = {p.relative_to(own.path).as_posix() for p in own.path.rglob("*") if p.is_file()}
    assert found == names
    assert trials_in(own.study_db.read_bytes(), tmp_path) == ["clip-0000"]


def test_only_what_changed_is_sent_and_the_study_before_what_speaks_of_it(driver, monkeypatch):
    mirror, folder, runs = begun(driver)
    sent = []
    upload = Remote.upload
    monkeypatch.setattr(
        Remote, "upload", lambda self, source, name: (sent.append(name), upload(self, source, name))[1]
    )
    mirror.push()
    assert sent == []
    add_trial(folder, "clip-0000")
    runs.end("complete", None)
    folder.write_summary({"status": "complete"})
    mirror.push()
    assert sent[0] == "study.db" and sorted(sent[1:]) == ["runs/0001.json", "summary.json", "trials.csv"]


def test_trials_csv_never_knows_a_trial_that_study_db_lacks(driver, address, tmp_path, monkeypatch):
    """A trial begins and ends while the record is being copied."""
    mirror, folder, _ = begun(driver)
    add_trial(folder, "clip-0000")

    def with_news(study, target):
        add_trial(folder, "clip-0001")
        copy_study(study, target)

    monkeypatch.setattr(mirror_module, "copy_study", with_news)
    mirror.push()
    assert trials_in(there(address)["study.db"], tmp_path) == ["clip-0000", "clip-0001"]
    assert there(address)["trials.csv"] == b"clip-0000"


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
        mirror.fetch_sweep()


def test_messages_speak_of_the_address(driver, address):
    mirror, folder, _ = driver("first")
    with pytest.raises(InputError, match=rf"^{address}/study\.db: lacks"), mirror.named():
        raise InputError(f"{folder.study_db}: lacks 3 trials")


def test_the_report_is_rebuilt_at_the_address(driver, address, capsys):
    mirror, folder, _ = begun(driver)
    folder.write_summary(build_summary([], {"clip": 2}, "val/R@10", "max", {}, {}, "complete", 1.0, {}))
    mirror.push()
    assert "report.md" not in there(address)
    assert report.main([f"{address}/"]) == 0
    assert capsys.readouterr().out == f"{address}/report.md\n"
    assert there(address)["report.md"].startswith(b"# ")
    assert report.main([f"{address}-none"]) == 2
    assert capsys.readouterr().err == f"error: {address}-none: not a sweep's results: it has no sweep.yaml\n"


# -- while a sweep runs


class Broken:
    """Makes every upload fail as a lost connection does, until `broken` is false."""

    def __init__(self, monkeypatch):
        self.broken, self.tries = True, 0
        upload = Remote.upload

        def perhaps(remote, source, name):
            self.tries += 1
            if self.broken:
                raise ConnectionError("the network\nis down")
            upload(remote, source, name)

        monkeypatch.setattr(Remote, "upload", perhaps)


def wait_for(condition, seconds=20):
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.01)


def test_a_lost_connection_is_said_once_and_made_good(driver, address, tmp_path, monkeypatch):
    mirror, folder, _ = begun(driver)
    connection, said = Broken(monkeypatch), []
    monkeypatch.setattr(mirror_module, "BEAT_SECONDS", 0.05)
    with mirror.following(said.append, lambda reason: pytest.fail(reason)):
        add_trial(folder, "clip-0000")
        wait_for(lambda: connection.tries > 1)
        connection.broken = False
        wait_for(lambda: there(address).get("trials.csv") == b"clip-0000")
    assert said == [
        f"results at {address}: cannot be written (ConnectionError: the network is down); trying again"
    ]
    assert trials_in(there(address)["study.db"], tmp_path) == ["clip-0000"]


def test_what_could_not_be_copied_in_the_end_is_kept(driver, address, monkeypatch):
    mirror, folder, _ = begun(driver)
    with lent_folder(folder.path):
        add_trial(folder, "clip-0000")
        Broken(monkeypatch)
        with (
            pytest.raises(
                AddressError, match=rf"what it lacks is in \S+ on this machine.*--resume {address} goes on"
            ),
            mirror.following(lambda text: None, pytest.fail),
        ):
            pass
    assert not folder.path.exists()
    assert (folder.path.with_name("first-not-copied") / "trials.csv").read_text() == "clip-0000"


def test_the_end_of_a_sweep_is_there_when_the_block_is_left(driver, address):
    mirror, folder, runs = begun(driver)
    with mirror.following(pytest.fail, pytest.fail):
        runs.end("complete", None)
        folder.write_summary({"status": "complete"})
    assert json.loads(there(address)["summary.json"]) == {"status": "complete"}
    assert json.loads(there(address)["runs/0001.json"])["status"] == "complete"
    assert not [thread for thread in threading.enumerate() if thread.name == "results-mirror"]


def test_an_address_that_cannot_be_used_is_one_line(tmp_path):
    (tmp_path / "file").touch()
    mirror = Mirror(f"file://{tmp_path}/file/below", Path())
    with pytest.raises(InputError, match=r"cannot be used \(\w+: .*check the address and the credentials"):
        mirror.check_free()
    with pytest.raises(InputError, match=r"no way to use nosuch://.* or choose a folder with --results"):
        Mirror("nosuch://bucket/a", Path())
