"""Where the members of a tar lie. The tar may come from anybody: nothing in its headers is believed beyond limits."""

from __future__ import annotations

import tarfile
from dataclasses import dataclass
from typing import Any, BinaryIO

# Of one extended header; real ones hold a long name. Python's parser is slow on huge ones.
MAX_HEADER_BYTES = 8192
_TAIL_BYTES = 2**20


@dataclass(frozen=True)
class Member:
    """A regular file in a tar."""

    name: str
    offset: int  # bytes, of its content
    size: int  # bytes


class TarError(Exception):
    """Why a tar cannot be read, in a few words."""


def regular_members(file: BinaryIO) -> list[Member]:
    """The regular files of an uncompressed tar, in order; links, devices and folders are left out.

    Only headers are read. Raises TarError: damaged or cut short, a sparse member (a few bytes that stand for any number
    of them), a header that points backwards or is larger than any real one, content after the end mark.
    """
    try:
        with tarfile.open(fileobj=_headers_of(file), mode="r:") as tar:
            members = _walk(tar)
            _check_end(file, tar.offset)
    except MemoryError:
        raise TarError("a header asks for more memory than there is") from None
    except RecursionError:
        raise TarError("too many headers for one member") from None
    # tarfile raises any of these for numbers in a header that make no sense.
    except (
        tarfile.TarError,
        OSError,
        EOFError,
        ValueError,
        ArithmeticError,
        LookupError,
        TypeError,
    ) as error:
        raise TarError(str(error) or type(error).__name__) from None
    return members


def _headers_of(file: BinaryIO) -> Any:
    return _Headers(file)


class _Headers:
    """What tarfile reads headers from. A read is as long as a header says, so it is limited here."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.seek, self.tell = file.seek, file.tell

    def read(self, size: int) -> bytes:
        """At most MAX_HEADER_BYTES. Raises ReadError for more, and for a negative number, which means all there is."""
        if not 0 <= size <= MAX_HEADER_BYTES:
            raise tarfile.ReadError(f"a header of {size} bytes, where {MAX_HEADER_BYTES} are the most")
        return self._file.read(size)


def _walk(tar: tarfile.TarFile) -> list[Member]:
    found: list[Member] = []
    before = -1
    while (info := tar.next()) is not None:
        if info.size < 0 or tar.offset <= before:  # tarfile would go round in circles
            raise tarfile.ReadError("a header that points backwards")
        if info.issparse():
            raise tarfile.ReadError(f"member '{info.name[:100]}' is a sparse file; store it whole")
        if info.isreg():
            found.append(Member(info.name, info.offset_data, info.size))
        before = tar.offset
        tar.members.clear()  # type: ignore[attr-defined]  # tarfile keeps them all, for lookups by name
    return found


def _check_end(file: BinaryIO, offset: int) -> None:
    """tarfile takes a tar that breaks off between two members, or where a block of zeros stands, for a complete one."""
    file.seek(offset)
    if file.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
        raise tarfile.ReadError("no end-of-archive mark after the last readable member")
    while block := file.read(_TAIL_BYTES):
        if block.count(0) != len(block):
            raise tarfile.ReadError("content after its end mark: two tars in one file?")
