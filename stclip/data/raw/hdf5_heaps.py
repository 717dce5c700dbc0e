"""The heaps of an HDF5 file, which hold its texts of variable length: looked at before libhdf5 reads one.

libhdf5 (2.0 and before it) takes the lengths in a heap as they stand there: at one that is zero it goes on for ever, at one
that is too large it reads beyond its memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from stclip.files.regular_files import open_regular

BEGIN = b"GCOL\x01\x00\x00\x00"  # of a heap: its sign, its version, three bytes of nothing
HEADER = 16  # bytes of a heap, and of each of its objects: number 2, references 2, nothing 4, size 8
LEAST = 4096  # bytes of a heap
BLOCK = 2**24  # bytes that are looked through at once
MOST_READ = 4  # times the file's size, in all: heaps that lie in one another would be read for ever


class HeapError(ValueError):
    """A heap whose sizes cannot be."""


def check_heaps(path: Path) -> None:
    """Raise HeapError for a heap whose objects do not fill it exactly. Raises OSError. The whole file is read once."""
    end, read = path.stat().st_size, 0
    with open_regular(path) as file:
        for place in _heaps(path):
            file.seek(place)
            size = int.from_bytes(file.read(HEADER)[8:], "little")
            read += size
            if (
                not LEAST <= size <= end - place
                or read > MOST_READ * end
                or not _is_filled(file.read(size - HEADER))
            ):
                raise HeapError(f"the heap of texts at byte {place} does not add up")


def _heaps(path: Path) -> Iterator[int]:
    """Where heaps begin."""
    with open_regular(path) as file:
        start, kept = 0, b""
        while block := file.read(BLOCK):
            text = kept + block
            found = text.find(BEGIN)
            while found >= 0:
                yield start + found
                found = text.find(BEGIN, found + 1)
            kept = text[-len(BEGIN) + 1 :]
            start += len(text) - len(kept)


def _is_filled(objects: bytes) -> bool:
    """Whether the sizes of a heap's objects lead to its end: object 0 is the free space behind the others."""
    place = 0
    while place + HEADER <= len(objects):
        number = int.from_bytes(objects[place : place + 2], "little")
        size = int.from_bytes(objects[place + 8 : place + HEADER], "little")
        if number == 0:
            return size == len(objects) - place
        place += HEADER + (size + 7) // 8 * 8
    return place <= len(objects)
