"""Checkpoint files: looked at from outside before torch reads them, then read as tensors and plain values only."""

from __future__ import annotations

import os
import pickletools
import struct
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from stclip.errors import InputError
from stclip.files.regular_files import open_regular

CHECKPOINT = "checkpoint.ckpt"  # in the folder of a run
_LARGEST = 32 * 2**30  # bytes; two billion weights with their optimizer's state take 24 GB
_LARGEST_PICKLE = 64 * 2**20  # bytes of all that is no tensor; a vocabulary of a million genes takes 12 MB
_LARGEST_DIRECTORY = 16 * 2**20  # bytes; a member takes about 80, a tensor is one
# The records that end a zip archive, and the two that stand before the last in one of 64 bits.
_END, _END_64, _LOCATOR_64 = struct.Struct("<4s4H2LH"), struct.Struct("<4sQ2H2L4Q"), struct.Struct("<4sLQL")

# What this program's checkpoints are made of. torch allows more, of which some makes much out of little (`bytearray`).
_MADE_BY = {
    "torch._utils _rebuild_tensor_v2",
    "torch._utils _rebuild_parameter",
    "collections OrderedDict",
    *(f"torch {kind}Storage" for kind in ("Float", "Double", "Half", "BFloat16", "Long", "Int", "Short", "Char", "Byte", "Bool")),
}  # fmt: skip
_ORDERED = "collections OrderedDict"


class NotWholeError(ValueError):
    """A file that torch did not write, or not to its end."""


def read_checkpoint(path: Path, weights: bool = True) -> dict[str, Any]:
    """A checkpoint's content, on the CPU, as tensors and plain values only (`weights_only=True`: no code is run).

    Args:
        path: the file.
        weights: False for a reader that looks at no tensor: they are then mapped and take no memory.

    Raises InputError for a file that is no checkpoint, is larger than 32 GB, or holds anything else: it is refused, not run.
    """
    import torch

    try:
        with _archive(path) as archive:
            _check_pickle(archive)
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=not weights)
    except FileNotFoundError:
        raise InputError(f"{path}: no such checkpoint") from None
    except Exception as error:  # torch raises whatever its unpickler and its zip reader raise
        reason = " ".join(str(error).split())[:120] or type(error).__name__
        raise InputError(
            f"{path}: not a checkpoint that is safe to read (cut short, or holds more than tensors and plain values: {reason}); "
            "delete it, and use one that this program wrote"
        ) from None
    if type(content) is not dict:
        raise InputError(
            f"{path}: not a checkpoint of stclip (a {type(content).__name__}); give another file"
        )
    return content


def is_whole(path: Path) -> bool:
    """A file that torch wrote to its end: a zip archive, not compressed, whose members all have their checksum.

    A worker that is killed while it copies a checkpoint leaves a shorter file under the final name.
    """
    try:
        with _archive(path) as archive:
            return archive.testzip() is None
    except (OSError, zipfile.BadZipFile, ValueError, NotImplementedError):
        return False


@contextmanager
def _archive(path: Path) -> Iterator[zipfile.ZipFile]:
    """A checkpoint's archive, once its directory says no more than the file holds.

    torch compresses nothing, so what its reader would unpack is at most as large as the file. Raises NotWholeError for
    any other archive, and what `open` and `zipfile` raise.
    """
    with open_regular(path, _LARGEST) as file:
        size = os.fstat(file.fileno()).st_size
        _check_end(file, size)
        with zipfile.ZipFile(file) as archive:
            _check_directory(archive.infolist(), size)
            yield archive


def _check_end(file: BinaryIO, size: int) -> None:
    """The directory ends where the file ends, so that every reader finds the same one, and is of bounded size."""
    sizes = (_END.size, _END_64.size + _LOCATOR_64.size)
    file.seek(max(0, size - sum(sizes)))
    tail = file.read()
    if len(tail) < sizes[0] or not tail[-sizes[0] :].startswith(b"PK\5\6"):
        raise NotWholeError("cut short, or no archive of torch")
    *_, length, start, _ = _END.unpack(tail[-sizes[0] :])
    after = size - sizes[0]
    if len(tail) == sum(sizes) and tail[_END_64.size :].startswith(b"PK\6\7"):
        after -= sizes[1]
        *_, length, start = _END_64.unpack(tail[: _END_64.size])
        if _LOCATOR_64.unpack(tail[_END_64.size : -sizes[0]])[2] != after or not tail.startswith(b"PK\6\6"):
            raise NotWholeError("its directory cannot be found")
    if start + length != after or length > _LARGEST_DIRECTORY:
        raise NotWholeError("its directory is too large, or not at its end")


def _check_directory(members: list[zipfile.ZipInfo], size: int) -> None:
    names = {member.filename for member in members}
    if len(names) < len(members):
        raise NotWholeError("a member stands twice")
    if any(m.compress_type != zipfile.ZIP_STORED or m.compress_size != m.file_size for m in members):
        raise NotWholeError("a member is compressed, which torch does not do")
    if sum(member.file_size for member in members) > size:
        raise NotWholeError("its members are larger than the file")
    if min((member.header_offset for member in members), default=1) != 0:
        raise NotWholeError("it does not begin with a member")


def _check_pickle(archive: zipfile.ZipFile) -> None:
    """Look at what the unpickler would be told, without following it. Raises NotWholeError."""
    pickles = [member for member in archive.infolist() if member.filename.endswith("/data.pkl")]
    if len(pickles) != 1:
        raise NotWholeError("it has no data.pkl")
    if pickles[0].file_size > _LARGEST_PICKLE:
        raise NotWholeError(f"its data.pkl is larger than {_LARGEST_PICKLE // 2**20} MB")
    ordered: set[int] = set()  # places of the unpickler's memory that hold the class OrderedDict
    is_ordered = False  # the class is what was pushed last
    for opcode, argument, _ in pickletools.genops(archive.read(pickles[0])):
        if opcode.name in ("BINPUT", "LONG_BINPUT", "MEMOIZE"):
            if is_ordered:
                ordered.add(int(argument or 0))
            continue
        # One that is made of another would be a copy, for a few bytes, as often as one likes.
        if is_ordered and opcode.name != "EMPTY_TUPLE":
            raise NotWholeError("an OrderedDict that does not begin empty")
        is_ordered = opcode.name in ("BINGET", "LONG_BINGET") and argument in ordered
        if opcode.name in ("GLOBAL", "STACK_GLOBAL", "INST", "EXT1", "EXT2", "EXT4"):
            if argument not in _MADE_BY:
                raise NotWholeError(f"asks for {argument}")
            is_ordered = argument == _ORDERED
