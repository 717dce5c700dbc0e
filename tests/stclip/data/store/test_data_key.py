"""Runs that are to be compared must find the data that the others found."""

import os
import shutil

import pytest

from stclip.config import DataConfig
from stclip.data.batches.datamodule import SpotDataModule
from stclip.data.shards.splits import read_splits
from stclip.data.store import open_store, store_key
from stclip.data.store.data_key import DataChangedError, DataState
from stclip.errors import DataError
from stclip.evaluation.evaluate import evaluate
from stclip.train import fit
from tests.stclip.test_train import experiment

CHANGED = "is not as it was when the runs began that this one belongs to .* could not be compared; put it back as it was"


@pytest.fixture
def dataset(shared_tiny_dataset, tmp_path):
    """A data set of the test's own, times as they were."""
    return shutil.copytree(shared_tiny_dataset, tmp_path / "tiny", ignore=shutil.ignore_patterns(".store"))


def replaced_shard(dataset):
    shard = sorted((dataset / "V1").glob("*.tar"))[0]
    os.utime(shard, ns=(0, shard.stat().st_mtime_ns + 1_000_000))


def other_content(dataset):
    shutil.copyfile(sorted((dataset / "T1").glob("*.tar"))[0], sorted((dataset / "T2").glob("*.tar"))[0])


def one_shard_less(dataset):
    sorted((dataset / "T4").glob("*.tar"))[-1].unlink()


def rewritten_splits(dataset):
    (dataset / "train_samples.txt").write_text("T1\nT2\nT3\n")


def slides_in_another_order(dataset):
    (dataset / "train_samples.txt").write_text("T2\nT1\nT3\nT4\n")


CHANGES = (replaced_shard, other_content, one_shard_less, rewritten_splits, slides_in_another_order)


@pytest.mark.parametrize("change", CHANGES)
def test_data_that_have_changed_are_refused_before_anything_is_built(dataset, change):
    config = experiment(dataset)
    key = DataState.of([config]).key(config)
    SpotDataModule(config, key).opened()
    stores = sorted((dataset / ".store").iterdir())
    change(dataset)
    for read in (lambda: SpotDataModule(config, key).opened(), lambda: fit(config, data_key=key),
                 lambda: evaluate(config, None, "val", key)):  # fmt: skip
        with pytest.raises(DataChangedError, match=CHANGED):
            read()
    assert sorted((dataset / ".store").iterdir()) == stores


def test_what_is_no_part_of_the_store_changes_nothing(dataset):
    config = experiment(dataset)
    state = DataState.of([config])
    (dataset / "notes.txt").write_text("x")
    (dataset / "V1" / "conversion.json").write_text("{}")
    assert DataState.of([config]) == state


def test_the_key_is_that_of_the_store_at_any_setting(dataset):
    config = experiment(dataset)
    state = DataState.of([config])
    keys = set()
    for change in ({}, {"max_genes": 5}, {"num_neighbors": 3}, {"image_size": 24}, {"on_bad_spot": "skip"}):
        data = config.data.model_copy(update=change)
        key = state.key(config.model_copy(update={"data": data}))
        assert key.store == store_key(dataset, read_splits(dataset), data)
        keys.add(key.store)
    assert len(keys) == 5


def test_a_key_is_what_it_was_in_earlier_versions(tmp_path):
    """Or no sweep of theirs could go on."""
    for number, split in enumerate(("train", "val", "test")):
        (tmp_path / f"{split}_samples.txt").write_text(f"S{number}\n")
        (tmp_path / f"S{number}").mkdir()
        shard = tmp_path / f"S{number}" / f"S{number}_000000.tar"
        shard.write_bytes(b"x" * number)
        os.utime(shard, ns=(0, 10**18))
    data = DataConfig(dataset=str(tmp_path))
    assert store_key(tmp_path, read_splits(tmp_path), data) == "c03b3d56e4bc373d2668e71d"


def test_shards_that_change_while_the_store_is_built(dataset, monkeypatch):
    """Some slides would be old and some new, under the key of the old."""
    import stclip.data.store.build as building

    build = building.build_store

    def build_and_change(*arguments):
        build(*arguments)
        replaced_shard(dataset)

    monkeypatch.setattr(building, "build_store", build_and_change)
    data = experiment(dataset).data
    with pytest.raises(
        DataError, match="changed while the spot store was built from them; wait until they are complete"
    ):
        open_store(data)
    assert not (dataset / ".store").exists()
    monkeypatch.undo()
    assert open_store(data).path.name == DataState.of([experiment(dataset)]).key(experiment(dataset)).store


@pytest.fixture
def model(tmp_path):
    """A folder that stands for a pretrained model; only its content matters here."""
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(b"weights")
    return folder


@pytest.mark.parametrize("tower", ["image", "genes"])
def test_a_pretrained_model_is_part_of_the_key(dataset, model, tower):
    config = experiment(dataset, model={tower: {"name": f"hf:{model}", "finetune": True}})
    state = DataState.of([config])
    key = state.key(config)
    assert key.models.keys() == {f"hf:{model}"} and state.key(experiment(dataset)).models == {}
    (model / "model.safetensors").write_bytes(b"WEIGHTS")
    with pytest.raises(DataChangedError, match=rf"the model hf:{model} {CHANGED}"):
        SpotDataModule(config, key).opened()
    assert DataState.of([config]) != state
