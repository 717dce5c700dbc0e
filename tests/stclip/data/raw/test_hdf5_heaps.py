"""Heaps of texts whose sizes cannot be are refused before libhdf5 reads them: it would loop for ever, or end the process."""

import h5py
import numpy as np
import pytest

from stclip.data.raw import hdf5_heaps
from stclip.data.raw.hdf5_heaps import BEGIN, HEADER, HeapError, check_heaps

TEXTS = [f"text {number}" * 9 for number in range(3000)]


@pytest.fixture
def texts(tmp_path):
    """A file of a few heaps."""
    path = tmp_path / "texts.h5"
    with h5py.File(path, "w") as file:
        file["texts"] = TEXTS
        file.attrs["name"] = "a text, too"
    return path


def put(path, at, value, size=8):
    """Change a number of the first heap; `at`: bytes from its beginning."""
    data = bytearray(path.read_bytes())
    place = data.find(BEGIN) + at
    data[place : place + size] = value.to_bytes(size, "little")
    path.write_bytes(data)


@pytest.mark.parametrize("block", [64, 1000, hdf5_heaps.BLOCK])
def test_a_whole_file_is_let_through(texts, monkeypatch, block):
    monkeypatch.setattr(hdf5_heaps, "BLOCK", block)
    assert texts.read_bytes().count(BEGIN) == len(list(hdf5_heaps._heaps(texts))) > 3
    check_heaps(texts)


@pytest.mark.parametrize(
    ("at", "value", "size"),
    [
        (8, 2**40, 8),
        (8, 0, 8),
        (HEADER, 0, 2),  # the first object is called free space
        (HEADER + 8, 2**63, 8),
        (HEADER + 8, 2**64 - 1, 8),
        (HEADER + 8, 2**20, 8),
    ],
)
def test_a_size_that_cannot_be_is_refused(texts, at, value, size):
    put(texts, at, value, size)
    place = texts.read_bytes().find(BEGIN)
    with pytest.raises(HeapError, match=f"^the heap of texts at byte {place} does not add up$"):
        check_heaps(texts)


def test_heaps_that_lie_in_one_another_are_not_read_for_ever(tmp_path):
    size = 2**20
    heap = BEGIN + size.to_bytes(8, "little") + bytes(8) + (size - HEADER).to_bytes(8, "little")
    data = bytearray(size)
    data[: len(heap)] = heap
    for place in range(64, size // 2, 64):  # each is whole, and all but the first in another
        data[place : place + HEADER] = BEGIN + (size - place).to_bytes(8, "little")
        data[place + HEADER + 8 : place + 32] = (size - place - HEADER).to_bytes(8, "little")
    (tmp_path / "file").write_bytes(data)
    with pytest.raises(HeapError, match="does not add up"):
        check_heaps(tmp_path / "file")


def test_a_file_without_texts(tmp_path):
    with h5py.File(tmp_path / "numbers.h5", "w") as file:
        file["numbers"] = np.arange(9)
    check_heaps(tmp_path / "numbers.h5")
