"""The data that a sweep was made ready with are those that each of its trials, its end and the next run must find."""

import os
import shutil

import pytest

from stclip.data.store import open_store
from stclip.data.store.data_key import DataChangedError
from stclip.errors import DataError
from stclip.train import fit
from sweeps.driver.checks import check_data_unchanged, make_ready
from sweeps.results.records import TrialRecord

SUGGESTED = TrialRecord("clip", 0, "clip-0000", "RUNNING", {"model.temperature": 0.1}, {}, 0, 0.0, None, 1)


@pytest.fixture
def dataset(shared_tiny_dataset, tmp_path):
    return shutil.copytree(shared_tiny_dataset, tmp_path / "own", ignore=shutil.ignore_patterns(".store"))


@pytest.fixture
def ready(plan_of, dataset):
    return make_ready(plan_of("--data", str(dataset)), quiet=True)


def test_the_key_travels_with_each_trial(ready, dataset):
    plan, store = ready
    request = plan.request(SUGGESTED, test=False)
    assert request.data_key.store == store.path.name
    check_data_unchanged(plan, store)
    (dataset / "val_samples.txt").write_text("E1\n")
    (dataset / "test_samples.txt").write_text("V1\n")
    with pytest.raises(DataChangedError, match="data set '.*own' is not as it was when the runs began"):
        fit(request.config(), data_key=plan.request(SUGGESTED, test=False).data_key)
    with pytest.raises(DataChangedError, match="what the trials read is not as it was"):
        check_data_unchanged(plan, store)


def test_the_end_finds_a_store_that_was_changed(ready):
    plan, store = ready
    tiles = store.path / "tiles.npy"
    content = bytearray(tiles.read_bytes())
    content[-1] ^= 1
    tiles.write_bytes(content)
    with pytest.raises(DataError, match="the spot store is damaged"):
        check_data_unchanged(plan, store)


def test_data_that_change_between_two_looks_are_found(plan_of, dataset, monkeypatch):
    def prepare_and_change(config, quiet):
        store = open_store(config.data)
        shard = dataset / "T1" / "T1_000000.tar"
        os.utime(shard, ns=(0, shard.stat().st_mtime_ns + 1))
        return store

    monkeypatch.setattr("sweeps.driver.checks.prepare_data", prepare_and_change)
    with pytest.raises(DataChangedError, match="shards, their times or the split files have changed"):
        make_ready(plan_of("--data", str(dataset)), quiet=True)
