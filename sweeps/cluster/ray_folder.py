"""The folder of a private Ray's own files: sockets, logs, sessions.

Ray makes all of its folders writable by everybody. Below a folder that others cannot enter, nobody can replace a socket, or
put a link where a log is about to be written. A path of a socket is short, so a long TMPDIR cannot be used.
"""

from __future__ import annotations

import os
import re
import stat
import sys
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from stclip.errors import InputError

# Below Ray's folder, "/session_2026-11-29_02-23-29_311841_4194304/sockets/plasma_store", and one to spare.
_DEEPER = 65
_LONGEST_SOCKET = 103 if sys.platform == "darwin" else 107  # bytes, of AF_UNIX
_OUTER = "stclip-{user}"


def ray_folder() -> Path:
    """A folder for Ray below one of mode 0700, which stays for the next sweeps: in RAY_TMPDIR, TMPDIR, /tmp or /var/tmp.

    Raises InputError where none of them can be used.
    """
    reasons = []
    for place in dict.fromkeys(_places()):
        try:
            return _private_folder(place) / "ray"
        except OSError as error:
            reasons.append(f"{place}: {error.strerror or error}")
    longest = _LONGEST_SOCKET - _DEEPER - len(_below(Path("/"))) + 1
    raise InputError(
        f"no folder for Ray's files: {'; '.join(reasons)}; set TMPDIR to a folder of yours whose path has at most {longest} "
        "letters, digits and signs"
    )


def _places() -> Iterator[Path]:
    if given := os.environ.get("RAY_TMPDIR"):
        yield Path(given).absolute()
    with suppress(OSError):  # nothing can be written
        yield Path(tempfile.gettempdir()).absolute()  # TMPDIR, if that can
    yield from (Path("/tmp"), Path("/var/tmp"))


def _private_folder(place: Path) -> Path:
    """`<place>/stclip-<user>`, or one of another name where somebody else has that. Raises OSError."""
    check_place(place)
    outer = place / _OUTER.format(user=os.getuid())
    try:
        outer.mkdir(mode=0o700)
    except FileExistsError:
        facts = outer.lstat()
        if not (stat.S_ISDIR(facts.st_mode) and facts.st_uid == os.getuid() and not facts.st_mode & 0o077):
            return Path(tempfile.mkdtemp(prefix=f"{outer.name}-", dir=place))  # of mode 0700 too
    with tempfile.TemporaryFile(dir=outer):  # asked by writing: a disk may be full or read-only
        pass
    return outer


def check_place(place: Path) -> None:
    """Raise OSError for a folder below which Ray could not make its sockets, or in which others could rename ours."""
    if len(os.fsencode(_below(place))) > _LONGEST_SOCKET - _DEEPER:
        raise OSError("its path is too long for a socket's")
    if not re.fullmatch(r"[\w/.+,@%=:~-]+", str(place), re.ASCII):
        raise OSError("its path holds a blank, or another sign that Ray does not take")
    facts = place.stat()
    if not stat.S_ISDIR(facts.st_mode):
        raise OSError("is no folder")
    if facts.st_mode & (stat.S_IWGRP | stat.S_IWOTH) and not facts.st_mode & stat.S_ISVTX:
        raise OSError("others may rename what lies there (chmod +t)")


def _below(place: Path) -> str:
    """The longest that Ray's folder there can be called."""
    return str(place / f"{_OUTER.format(user=os.getuid())}-12345678" / "ray")
