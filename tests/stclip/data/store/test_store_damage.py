"""A store whose files were cut, changed or exchanged after it was built: an error that says what to do, never other data."""

from __future__ import annotations

import json
import os
import shutil
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from stclip.config import DataConfig, Experiment
from stclip.data.batches.frozen_features import frozen_features
from stclip.data.batches.scaled_features import scaling_tables
from stclip.data.store import SpotStore, check_content, open_store
from stclip.data.store import seal as store_seal
from stclip.data.store.seal import read_meta, sealed
from stclip.errors import DataError
from stclip.training.prepare import prepare_data

NAMES = ["meta.json", "tiles.npy", "genes.npy", "xy.npy", "slide_index.npy", "keys.npy", "neighbor_ids.npy",
         "neighbor_alphas.npy"]  # fmt: skip


def experiment(folder: Path) -> Experiment:
    return Experiment(data=DataConfig(dataset=str(folder), image_size=16))


def contents(store: SpotStore) -> dict[str, np.ndarray]:
    names = ("tiles", "genes", "xy", "slide_index", "neighbor_ids", "neighbor_alphas", "keys")
    return {name: np.array(getattr(store, name)) for name in names}


def truncated(data: bytes) -> bytes:
    return data[: len(data) // 2]


def a_byte_less(data: bytes) -> bytes:
    return data[:-1]


def emptied(data: bytes) -> bytes:
    return b""


def a_bit_flipped_late(data: bytes) -> bytes:
    at = len(data) - 20
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


def a_bit_flipped_early(data: bytes) -> bytes:
    return data[:9] + bytes([data[9] ^ 1]) + data[10:]


def zeroed(data: bytes) -> bytes:
    return bytes(len(data))


def grown(data: bytes) -> bytes:
    return data + b"0"


LATER = ("features_stain_1.npy", "scaling_of_features_stain_1.npy")  # made when they are first needed
DAMAGES = [truncated, a_byte_less, emptied, a_bit_flipped_late, a_bit_flipped_early, zeroed, grown]


def test_every_file_of_a_store_is_known_here(tiny_dataset: Path) -> None:
    assert {p.name for p in prepare_data(experiment(tiny_dataset)).path.iterdir()} - set(NAMES) == {
        name for array in LATER for name in (array, f"{array}.sum", f".{array}.lock")
    }


@pytest.fixture(scope="module")
def prepared(shared_tiny_dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set whose store and features are made; each test puts back what it damages."""
    folder = tmp_path_factory.mktemp("prepared") / "tiny"
    shutil.copytree(shared_tiny_dataset, folder, ignore=shutil.ignore_patterns(".store"))
    prepare_data(experiment(folder))
    return folder


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
@pytest.mark.parametrize("name", [*NAMES, *LATER, f"{LATER[0]}.sum"])
def test_damage_is_found_before_a_run(prepared: Path, name: str, damage: Callable[[bytes], bytes]) -> None:
    (meta,) = prepared.glob(".store/*/meta.json")
    path = meta.parent / name
    content = path.read_bytes()
    try:
        path.write_bytes(damage(content))
        with pytest.raises(DataError, match=r"is damaged .*; delete this folder, it is built again") as error:
            prepare_data(experiment(prepared))
        assert str(error.value).startswith(f"{meta.parent}: ")
    finally:
        path.write_bytes(content)
    prepare_data(experiment(prepared))


def test_the_way_out_gives_the_same_data(tiny_dataset: Path) -> None:
    config = experiment(tiny_dataset)
    store = prepare_data(config)
    before, features = contents(store), np.array(frozen_features(store, "stain"))
    (store.path / "tiles.npy").write_bytes(b"")
    with pytest.raises(DataError, match="delete this folder"):
        prepare_data(config)
    shutil.rmtree(store.path)
    again = prepare_data(config)
    for key, array in contents(again).items():
        np.testing.assert_array_equal(array, before[key])
    np.testing.assert_array_equal(frozen_features(again, "stain"), features)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("damage", [truncated, a_byte_less, emptied, grown])
def test_every_trial_finds_a_file_that_was_cut(
    tiny_dataset: Path, name: str, damage: Callable[[bytes], bytes]
) -> None:
    data = experiment(tiny_dataset).data
    path = open_store(data).path / name
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(DataError, match="the spot store is damaged .*delete this folder"):
        open_store(data)


@pytest.mark.parametrize("name", NAMES[1:])
def test_a_file_that_is_gone(tiny_dataset: Path, name: str) -> None:
    data = experiment(tiny_dataset).data
    (open_store(data).path / name).unlink()
    with pytest.raises(DataError, match="the spot store is damaged .*delete this folder"):
        open_store(data)


def test_a_store_without_meta_is_built_again(tiny_dataset: Path) -> None:
    data = experiment(tiny_dataset).data
    before = contents(open_store(data))
    (open_store(data).path / "meta.json").unlink()
    for key, array in contents(open_store(data)).items():
        np.testing.assert_array_equal(array, before[key])


class Payload:
    """Unpickled, it makes a folder."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, (str(self.mark),)


@pytest.mark.parametrize("name", [*NAMES[1:], *LATER])
def test_pickled_arrays_are_refused_and_not_run(tiny_dataset: Path, tmp_path: Path, name: str) -> None:
    """Also by one who knows how a store is sealed."""
    mark = tmp_path / "was_run"
    store = prepare_data(experiment(tiny_dataset))
    np.save(store.path / name, np.array([Payload(mark)], dtype=object), allow_pickle=True)
    meta = {
        k: v
        for k, v in json.loads((store.path / "meta.json").read_text()).items()
        if k not in ("digest", "files")
    }
    (store.path / "meta.json").write_text(sealed(meta, store.path))
    (store.path / "features_stain_1.npy.sum").unlink()
    read_meta(store.path)
    with pytest.raises(DataError, match="damaged"):
        opened = open_store(experiment(tiny_dataset).data)
        scaling_tables(opened, "stain")
        assert len(opened.keys)
    assert not mark.exists()


@pytest.mark.parametrize("meta", ["[]", "{}", "[" * 100_000, '{"digest": "x"}', "\xff"])
def test_meta_that_is_something_else(tiny_dataset: Path, meta: str) -> None:
    data = experiment(tiny_dataset).data
    (open_store(data).path / "meta.json").write_text(meta, encoding="latin-1")
    with pytest.raises(DataError, match="the spot store is damaged"):
        open_store(data)


def test_a_file_far_too_large_to_be_meta_is_not_read(
    tiny_dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = experiment(tiny_dataset).data
    open_store(data)
    monkeypatch.setattr(store_seal, "_LARGEST_META", 10)
    with pytest.raises(DataError, match=r"damaged \(larger than 10 bytes, so not the file"):
        open_store(data)


@pytest.mark.parametrize("header", [b"{'descr': (", b"  1\n 2\n", None])
def test_whatever_numpy_raises_about_a_header_names_the_file(tmp_path: Path, header: bytes | None) -> None:
    """It reads the header as a Python literal; None: a file without one."""
    path = tmp_path / "xy.npy"
    magic = b"\x93NUMPY\x01\x00"
    path.write_bytes(b"" if header is None else magic + len(header).to_bytes(2, "little") + header)
    with pytest.raises(ValueError, match=r"^xy\.npy: "):
        store_seal.read_array(path)


def test_an_array_of_a_store_cannot_be_written_to(tmp_path: Path) -> None:
    np.save(tmp_path / "xy.npy", np.zeros(3))
    array = store_seal.read_array(tmp_path / "xy.npy")
    assert isinstance(array, np.memmap) and not array.flags.writeable


def test_a_note_of_a_file_that_never_came_is_no_damage(tiny_dataset: Path) -> None:
    """A process that was killed between the two left it."""
    store = open_store(experiment(tiny_dataset).data)
    store_seal.seal_later_file(store.path / "xy.npy", "later.npy")
    check_content(store)


def test_the_checksum_is_that_of_the_whole_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files are read a block at a time."""
    content = bytes(range(100))
    (tmp_path / "a").write_bytes(content)
    monkeypatch.setattr(store_seal, "_BLOCK", 16)
    assert store_seal.checksum(tmp_path / "a") == zlib.crc32(content)


def test_content_is_read_once_before_a_run_only(tiny_dataset: Path) -> None:
    data = experiment(tiny_dataset).data
    store = open_store(data)
    tiles = store.path / "tiles.npy"
    tiles.write_bytes(a_bit_flipped_late(tiles.read_bytes()))
    open_store(data)
    with pytest.raises(DataError, match=r"the content of tiles\.npy has changed"):
        check_content(store)
