"""Reading files of a data set or a results folder: regular files only, of bounded size.

A named pipe waits for a writer for ever, a device has no end, and either may lie where a file is expected. Everything
raised here is an OSError whose text says what is there instead, so that a caller's own message can quote it.
"""

from __future__ import annotations

import gzip
import os
import stat
from pathlib import Path
from typing import BinaryIO

TEXT = 64 * 2**20  # bytes; of tables, lists and JSON. A row a slide or a trial takes a few hundred
_UNITS = ((2**30, "GB"), (2**20, "MB"), (2**10, "KB"), (1, "bytes"))


class NotRegularError(OSError):
    """A pipe, a device, a socket or a folder where a file is expected."""


class TooLargeError(OSError):
    """A file above the limit."""


class LeadsAwayError(OSError):
    """A link to a place outside the folder that it lies in."""


def kind_of(mode: int) -> str:
    """What a file's `st_mode` says it is, in words."""
    kinds = {
        stat.S_IFREG: "a regular file",
        stat.S_IFDIR: "a folder",
        stat.S_IFLNK: "a link",
        stat.S_IFIFO: "a named pipe",
        stat.S_IFSOCK: "a socket",
        stat.S_IFCHR: "a device",
        stat.S_IFBLK: "a device",
    }
    return kinds.get(stat.S_IFMT(mode), "no regular file")


def check_regular(path: Path, most: int | None = None) -> None:
    """Raise OSError unless `path` is, or leads to, a regular file of at most `most` bytes. It is not opened."""
    _check(path.stat(), most)


def check_stays_inside(path: Path, folder: Path) -> None:
    """Raise LeadsAwayError for a link that leads out of `folder`: what it shows is no part of what was handed over."""
    if not path.resolve().is_relative_to(folder.resolve()):
        raise LeadsAwayError("a link that leads out of the folder; put a copy of the file in its place")


def open_regular(path: Path, most: int | None = None) -> BinaryIO:
    """A regular file of at most `most` bytes, open for reading. Raises OSError for anything else, and never waits."""
    check_regular(path, most)  # before it is opened: that alone does things to some devices
    # Not waiting matters when the file was exchanged for a pipe just now; to a regular file it means nothing.
    file = os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb")
    try:
        _check(os.fstat(file.fileno()), most)
    except OSError:
        file.close()
        raise
    return file


def read_regular(path: Path, most: int = TEXT) -> bytes:
    """The content of a regular file of at most `most` bytes. Raises OSError."""
    with open_regular(path, most) as file:
        content = file.read(most + 1)
    if len(content) > most:  # it grew
        raise _too_large(most)
    return content


def read_text(path: Path, most: int = TEXT, encoding: str = "utf-8") -> str:
    """The same as text, its line ends as they are. Raises OSError, and UnicodeDecodeError for what is no text."""
    return read_regular(path, most).decode(encoding)


def read_unpacked(packed: BinaryIO, most: int = TEXT) -> bytes:
    """What a gzip file holds, unpacked. Raises OSError above `most` bytes: a small file can hold a very large one; and
    OSError or EOFError for what is no gzip."""
    with gzip.open(packed) as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise _too_large(most)
    return content


def _check(facts: os.stat_result, most: int | None) -> None:
    if not stat.S_ISREG(facts.st_mode):
        raise NotRegularError(f"{kind_of(facts.st_mode)}, not a regular file")
    if most is not None and facts.st_size > most:
        raise _too_large(most)


def _too_large(most: int) -> TooLargeError:
    size, unit = next((size, unit) for size, unit in _UNITS if most >= size)
    return TooLargeError(f"larger than {most // size} {unit}, so not the file that is expected here")
