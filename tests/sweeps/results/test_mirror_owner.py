"""An address has one sweep, and a sweep at an address one driver."""

import json
import os
import subprocess
import sys
import threading

import fsspec
import pytest

from stclip.errors import InputError
from stclip.files.addresses import Remote
from sweeps.results.driver_lock import sole_driver
from sweeps.results.mirror import AddressError, Mirror
from sweeps.results.run_log import BEAT_SECONDS
from tests.sweeps.beats import HANGS, Beats
from tests.sweeps.mirrors import SWEEP, add_trial, begun, there


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


def test_an_address_that_cannot_be_written_to_takes_none(driver, monkeypatch):
    def refused(remote, name, content):
        raise PermissionError("Access Denied")

    monkeypatch.setattr(Remote, "create", refused)
    with pytest.raises(InputError, match=r"cannot be used \(PermissionError: Access Denied\)"):
        driver("first")[0].check_free()


def test_a_slash_at_the_end_of_the_address_changes_nothing(address, tmp_path):
    assert Mirror(f"{address}/", tmp_path).address == address


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
    told = threading.Event()

    def take(reason):
        taken.append(reason)
        told.set()

    with (
        pytest.raises(AddressError, match="this one stops"),
        mirror.following(print, take, Beats(shortest=BEAT_SECONDS).wait),
    ):
        mirror.soon()
        assert told.wait(HANGS)
    assert len(taken) == 1
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
