"""While a sweep runs its record follows to the address; lost connections are said and lived through."""

import json
import threading

import pytest

from stclip.files.addresses import Remote
from sweeps.results.mirror import AddressError
from sweeps.results.run_log import BEAT_SECONDS
from sweeps.results.scratch_folder import lent_folder
from tests.sweeps.beats import Beats
from tests.sweeps.mirrors import add_trial, begun, there, trials_in


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


def test_a_lost_connection_is_said_once_and_made_good(driver, address, tmp_path, monkeypatch):
    mirror, folder, _ = begun(driver)
    connection, said, beats = Broken(monkeypatch), [], Beats(shortest=BEAT_SECONDS)
    with mirror.following(said.append, lambda reason: pytest.fail(reason), beats.wait):
        add_trial(folder, "clip-0000")
        beats.beat()
        beats.beat()
        assert connection.tries == 2
        connection.broken = False
        beats.beat()
        assert there(address)["trials.csv"] == b"clip-0000"
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


def test_an_error_of_the_sweep_itself_is_not_hidden_by_one_of_its_address(driver, monkeypatch):
    mirror, folder, _ = begun(driver)
    said = []
    with lent_folder(folder.path):
        add_trial(folder, "clip-0000")
        Broken(monkeypatch)
        with pytest.raises(ZeroDivisionError), mirror.following(said.append, pytest.fail):
            raise ZeroDivisionError
    assert "cannot be written" in said[-1] and "what it lacks is in" in said[-1]
    assert (folder.path.with_name("first-not-copied") / "trials.csv").exists()
