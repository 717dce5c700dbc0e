"""Data sets on addresses: copied once, gone on with after a cut, told apart by content, faults in one line."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import fsspec
import numpy as np
import pytest
from fsspec.implementations.local import LocalFileSystem
from fsspec.implementations.memory import MemoryFileSystem

from stclip.config import DataConfig, Experiment
from stclip.config.load import validate
from stclip.data.shards.splits import read_splits
from stclip.data.store import fetch, open_store, store_key
from stclip.data.store.fetch import fetch_dataset
from stclip.errors import DataError
from stclip.files.paths import PROJECT_ROOT
from stclip.training.prepare import prepare_data


class BreakingFileSystem(LocalFileSystem):
    """This machine's files over a connection that breaks after a number of downloads."""

    protocol = "breaking"
    left = 0
    turn = threading.Lock()
    error: Exception = ConnectionResetError("reset by peer")

    def get_file(self, path1, path2, callback=None, **kwargs):
        with BreakingFileSystem.turn:  # several files are copied at once
            broken = BreakingFileSystem.left == 0
            BreakingFileSystem.left -= not broken
        if broken:
            Path(path2).write_bytes(b"half")
            raise BreakingFileSystem.error
        super().get_file(path1, path2, **kwargs)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("STCLIP_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def memory(tiny_dataset: Path) -> Iterator[str]:
    """The tiny data set in fsspec's memory file system."""
    fs = MemoryFileSystem()
    fs.put(str(tiny_dataset), "/bucket/tiny", recursive=True)
    yield "memory://bucket/tiny"
    fs.rm("/bucket", recursive=True)


@pytest.fixture
def breaking() -> Iterator[type[BreakingFileSystem]]:
    fsspec.register_implementation("breaking", BreakingFileSystem, clobber=True)
    BreakingFileSystem.left, BreakingFileSystem.error = 0, ConnectionResetError("reset by peer")
    yield BreakingFileSystem


def config(dataset: str) -> DataConfig:
    return DataConfig(dataset=dataset, image_size=16)


def test_a_fetched_store_is_that_of_the_folder(tiny_dataset: Path, memory: str, cache: Path) -> None:
    local, fetched = open_store(config(str(tiny_dataset))), open_store(config(memory))
    assert fetched.path.is_relative_to(cache) and fetched.dataset_name == "tiny"
    for name in ("tiles", "genes", "xy", "neighbor_ids"):
        assert np.array_equal(getattr(local, name), getattr(fetched, name))


def test_the_key_is_that_of_the_content(tiny_dataset: Path, tmp_path: Path, memory: str) -> None:
    """Other times, another address, another node: the same key. Another byte: another key."""
    copy = tmp_path / "elsewhere" / "tiny"
    shutil.copytree(tiny_dataset, copy)
    for path in copy.rglob("*"):
        os.utime(path, (1e9, 1e9))
    key = open_store(config(memory)).path.name
    assert open_store(config(f"file://{copy}")).path.name == key
    shard = copy / "T1" / "T1_000000.tar"
    content = bytearray(shard.read_bytes())
    content[-1] ^= 1  # behind the end of the archive
    shard.write_bytes(content)
    folder = fetch_dataset(f"file://{copy}")
    assert store_key(folder, read_splits(folder), config(f"file://{copy}")) != key


def test_two_addresses_with_one_name_do_not_mix(tiny_dataset: Path, tmp_path: Path) -> None:
    other = tmp_path / "other" / "tiny"
    shutil.copytree(tiny_dataset, other)
    (other / "train_samples.txt").write_text("T1\nT2\n")
    first, second = (open_store(config(f"file://{folder}")) for folder in (tiny_dataset, other))
    assert len(first.slides) == 6 and len(second.slides) == 4
    # A slash at the end changes nothing.
    assert open_store(config(f"file://{tiny_dataset}/")).path == first.path


def test_only_the_layout_is_copied_and_only_what_changed(tiny_dataset: Path) -> None:
    (tiny_dataset / "notes.txt").write_text("mine")
    (tiny_dataset / "donors.csv").write_text("slide,donor\nT1,p1\n")
    (tiny_dataset / "T1" / "notes.txt").write_text("mine")
    (tiny_dataset / "X1").mkdir()
    shutil.copy(tiny_dataset / "T1" / "T1_000000.tar", tiny_dataset / "X1" / "X1_000000.tar")  # in no split
    address = f"file://{tiny_dataset}"
    calls: list[tuple[int, int]] = []
    folder = fetch_dataset(address, lambda done, total: calls.append((done, total)))
    shards = {f"{p.parent.name}/{p.name}" for p in tiny_dataset.glob("[TVE]*/*.tar")}
    tops = {"train_samples.txt", "val_samples.txt", "test_samples.txt", "manifest.json", "donors.csv"}
    here = {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()}
    assert here == shards | tops | {fetch.INDEX}
    assert calls[-1] == (len(shards), len(shards))
    calls.clear()
    fetch_dataset(address, lambda done, total: calls.append((done, total)))
    assert calls == []
    (tiny_dataset / "T3" / "T3_000002.tar").unlink()
    os.utime(tiny_dataset / "T1" / "T1_000001.tar", (1e9, 1e9))
    fetch_dataset(address, lambda done, total: calls.append((done, total)))
    assert calls == [(1, 1)] and not (folder / "T3" / "T3_000002.tar").exists()


def test_prepare_data_looks_for_changes_and_a_trial_does_not(tiny_dataset: Path) -> None:
    tree = {
        "data": {"dataset": f"file://{tiny_dataset}", "image_size": 16},
        "model": {"image": {"name": "cnn"}},
    }
    experiment = validate(Experiment, tree, "experiment")
    before = prepare_data(experiment, quiet=True).path
    (tiny_dataset / "train_samples.txt").write_text("T1\nT2\n")
    assert open_store(experiment.data).path == before
    assert prepare_data(experiment, quiet=True).path != before


def test_a_cut_copy_is_gone_on_with(tiny_dataset: Path, breaking: type[BreakingFileSystem]) -> None:
    breaking.left = 8  # the small files and four shards
    with pytest.raises(DataError, match=r"tiny: \S+\.tar: the connection failed .*reset by peer.*is kept"):
        open_store(config(f"breaking://{tiny_dataset}"))
    breaking.left = 100
    assert len(open_store(config(f"breaking://{tiny_dataset}")).slides) == 6
    shards = len(list(tiny_dataset.glob("*/*.tar")))
    assert 100 - breaking.left == shards - 4  # those that were there were not copied again


def test_a_half_file_is_never_seen(
    tiny_dataset: Path, breaking: type[BreakingFileSystem], cache: Path
) -> None:
    breaking.left = 4
    with pytest.raises(DataError, match="the connection failed"):
        fetch_dataset(f"breaking://{tiny_dataset}")
    assert [p for p in cache.rglob("*") if p.is_file() and p.read_bytes() == b"half"] == []


@pytest.mark.parametrize(
    ("error", "match"),
    [
        (OSError(28, "No space left on device"), r"no space left.*STCLIP_CACHE"),
        (PermissionError("Access Denied"), r"no permission .*Access Denied.*credentials"),
        (TimeoutError("no answer"), r"connection failed \(TimeoutError: no answer\)"),
        (type("NoCredentialsError", (Exception,), {})("Unable to locate"), r"no permission .*credentials"),
    ],
)
def test_faults_in_one_line(
    tiny_dataset: Path, breaking: type[BreakingFileSystem], error: Exception, match: str
) -> None:
    breaking.error = error
    with pytest.raises(DataError, match=match) as raised:
        open_store(config(f"breaking://{tiny_dataset}"))
    assert "\n" not in str(raised.value)


def test_too_large_for_the_disk_is_said_before_a_byte_is_copied(
    tiny_dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(tiny_dataset)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=10))
    with pytest.raises(DataError, match=r"no space left.*STCLIP_CACHE"):
        fetch_dataset(f"file://{tiny_dataset}")


@pytest.mark.parametrize(
    ("address", "match"),
    [
        ("memory://no/such", r"memory://no/such: nothing is there; check the address"),
        ("nosuch://bucket/x", r"no way to use nosuch://.*install the package"),
        ("memory://bucket/..", "plain name"),
        ("memory://", "plain name"),
    ],
)
def test_addresses_that_cannot_be_read(address: str, match: str, cache: Path) -> None:
    with pytest.raises(DataError, match=match):
        open_store(config(address))


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "s3fs", None)
    classes = sys.modules["fsspec.registry"]._registry  # those that fsspec has found before
    monkeypatch.delitem(classes, "s3", raising=False)
    with pytest.raises(DataError, match=r"s3://.*pip install 'stclip\[s3\]'"):
        open_store(config("s3://bucket/tiny"))


def test_an_incomplete_data_set_is_named_by_its_address(memory: str) -> None:
    MemoryFileSystem().rm("/bucket/tiny/val_samples.txt")
    with pytest.raises(DataError, match=r"^memory://bucket/tiny/val_samples\.txt: no such file"):
        open_store(config(memory))


def test_a_slide_cannot_lead_out_of_the_cache(memory: str, cache: Path) -> None:
    MemoryFileSystem().pipe("/bucket/tiny/val_samples.txt", b"../../V1\n")
    with pytest.raises(DataError, match="plain name"):
        open_store(config(memory))


@pytest.mark.parametrize("index", ["[", '{"complete": "no", "files": {}}'])
def test_a_damaged_index_costs_a_new_copy_only(tiny_dataset: Path, index: str) -> None:
    address = f"file://{tiny_dataset}"
    store = open_store(config(address)).path
    (fetch_dataset(address) / fetch.INDEX).write_text(index)
    assert open_store(config(address)).path == store
    assert json.loads((fetch_dataset(address) / fetch.INDEX).read_text())["complete"] is True


def test_processes_share_one_copy(tiny_dataset: Path, cache: Path) -> None:
    code = (
        "import sys\nfrom stclip.data.store.fetch import fetch_dataset\n"
        "calls = []\nfetch_dataset(sys.argv[1], lambda done, total: calls.append(done))\nprint(len(calls))"
    )
    environment = {**os.environ, "PYTHONPATH": str(PROJECT_ROOT), "STCLIP_CACHE": str(cache)}
    running = [
        subprocess.Popen(
            [sys.executable, "-c", code, f"file://{tiny_dataset}"],
            env=environment,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    counts = sorted(int(process.communicate(timeout=300)[0]) for process in running)
    files = len(list(tiny_dataset.glob("*/*.tar"))) + 4
    assert counts == [0, files]
