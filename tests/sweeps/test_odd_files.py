"""A data set whose small files are pipes, devices, huge, or links to something of the user's: one line, nothing quoted."""

import os
from pathlib import Path

import pytest

from stclip.config import DataConfig
from stclip.data.shards.splits import read_splits
from stclip.data.store import open_store, store_key
from stclip.errors import DataError

SMALL = ("train_samples.txt", "test_samples.txt", "donors.csv", "manifest.json")
SECRET = "my very own password"


def pipe(path):
    os.mkfifo(path)


def device(path):
    path.symlink_to("/dev/zero")


def huge(path):
    path.touch()
    os.truncate(path, 2**40)  # takes no room


def away(path):
    (path.parents[1] / "secret").write_text(f"{SECRET}\n")
    path.symlink_to(path.parents[1] / "secret")


def dangling(path):
    path.symlink_to("nothing")


SAID = {
    pipe: "a named pipe, not a regular file",
    device: "a link that leads out of the folder",
    huge: "larger than 64 MB",
    away: "a link that leads out of the folder; put a copy",
    dangling: "",
}


@pytest.mark.parametrize("kind", SAID)
@pytest.mark.parametrize("name", SMALL)
def test_a_small_file_that_is_none_is_refused_and_not_quoted(commands, kind, name):
    path = commands.dataset / name
    path.unlink(missing_ok=True)
    kind(path)
    asked = [commands.sweep("--dry-run"), commands.sweep()]
    if name != "donors.csv":  # one run alone needs none
        asked += [commands.train(), commands.sweep("--debug")]
    for answer in asked:
        commands.refused(answer, rf"{name}: .*{SAID[kind]}")
        assert SECRET not in answer[1]


def test_a_list_may_be_a_link_within_the_data_set(shared_tiny_dataset, tmp_path):
    for path in shared_tiny_dataset.iterdir():
        (tmp_path / path.name).symlink_to(path)  # slides may lie anywhere
    for name in ("train", "val", "test"):
        path = tmp_path / f"{name}_samples.txt"
        text = path.read_text()
        path.unlink()
        (tmp_path / f"{name}.list").write_text(text)
        path.symlink_to(f"{name}.list")
    (tmp_path / "manifest.json").unlink(missing_ok=True)
    assert read_splits(tmp_path) == read_splits(shared_tiny_dataset)


@pytest.mark.parametrize("name", ["meta.json", "xy.npy", "keys.npy"])
def test_a_stores_file_that_is_none_is_refused(tiny_dataset, name):
    data = DataConfig(dataset=str(tiny_dataset), image_size=16)
    path = open_store(data).path / name
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(DataError, match="delete this folder, it is built again"):
        _read_again(tiny_dataset, data, path)


def _read_again(dataset: Path, data: DataConfig, path: Path) -> None:
    from stclip.data.store.store import _open

    assert path.parent.name == store_key(dataset, read_splits(dataset), data)
    _open(path.parent, "a data set")
