"""The one way to write below a results folder or a run's folder: whole, and never through a link.

Such a folder may come from somebody else. A link in it would send what is written to any file of the person who goes on
with it: a trial's config.yaml to a shell's start-up file. So `check_no_links` looks at the whole folder before anything is
written, and each function here walks from the folder down by file descriptors, refuses a link on the way or in the place of
the file, writes under a name that nobody can foresee, and gives the file its own name when it is complete.

The folder itself may be reached through links: those are the person's own.
"""

from __future__ import annotations

import errno
import os
import shutil
import stat
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from stclip.errors import InputError
from stclip.files.regular_files import kind_of, open_regular

_WANDB = "wandb"  # Weights & Biases links to its own newest run in a folder of this name
_IS_LINK = (errno.ELOOP, errno.ENOTDIR, errno.EMLINK)  # what systems say when O_NOFOLLOW meets a link


class LinkError(InputError):
    """A link, a pipe or a device in a place that is to be written to."""


def check_no_links(folder: Path) -> None:
    """Raise LinkError unless all below `folder` are folders and files of its own; nothing happens when it is not there.

    Files with a second name elsewhere (hard links) are refused too: what is appended to one would change the other.
    Weights & Biases' own links to its newest run are let through while they stay in its folder.
    """
    waiting = [folder]
    while waiting:
        try:
            with os.scandir(waiting.pop()) as entries:
                found = list(entries)
        except (FileNotFoundError, NotADirectoryError):  # gone meanwhile, as files of a sweep that runs are
            continue
        for entry in found:
            path = Path(entry.path)
            with suppress(FileNotFoundError):
                if stat.S_ISDIR(_looked_at(path, folder).st_mode):
                    waiting.append(path)


def check_way(folder: Path, name: str) -> None:
    """Raise LinkError unless `folder/name`, and all on the way, are folders of their own where they are there."""
    place = folder
    for part in PurePosixPath(name).parts:
        place = place / part
        if os.path.lexists(place) and not stat.S_ISDIR(_looked_at(place, folder).st_mode):
            raise _refused(folder, PurePosixPath(place.relative_to(folder)), "is no folder")


def _looked_at(path: Path, folder: Path) -> os.stat_result:
    facts = path.lstat()
    if stat.S_ISDIR(facts.st_mode) or (stat.S_ISREG(facts.st_mode) and facts.st_nlink == 1):
        return facts
    if stat.S_ISLNK(facts.st_mode) and _is_wandbs_own(path, folder):
        return facts
    what = f"is {kind_of(facts.st_mode)}"
    if stat.S_ISREG(facts.st_mode):
        what = "has a second name somewhere (a hard link), which writing would change too"
    raise _refused(folder, PurePosixPath(path.relative_to(folder)), what)


def _is_wandbs_own(link: Path, folder: Path) -> bool:
    """Does a link lie in a folder `wandb`, and lead to a place within it?"""
    parents = [parent for parent in link.parents if parent.is_relative_to(folder) and parent != folder]
    home = next((parent for parent in parents if parent.name == _WANDB), None)
    return home is not None and link.resolve().is_relative_to(home.resolve())


def _refused(folder: Path, name: PurePosixPath, what: str) -> LinkError:
    return LinkError(
        f"{folder / name}: {what}; a folder of results holds folders and files of its own only, so that nothing is written "
        "elsewhere: remove it, or put a copy of the file in its place"
    )


def write_below(folder: Path, name: str, content: str | bytes) -> None:
    """Put `content` into `folder/name` whole: a reader sees the old file or the new, also after a crash half-way.

    Args:
        folder: exists already.
        name: relative, with `/`; folders on the way are made.
        content: text is written as UTF-8.

    Raises:
        LinkError: something on the way, or in the file's place, is no folder or file of its own.
        OSError: it cannot be written.
    """
    data = content.encode() if isinstance(content, str) else content

    def fill(file: BinaryIO) -> None:
        file.write(data)

    _place(folder, name, fill)


def make_below(folder: Path, name: str) -> None:
    """Make the folder `folder/name`, unless it is there. `folder` itself is not made: whoever moved it away moved it away.

    Raises as `write_below`.
    """
    with _parent(folder, f"{name}/a file in it"):
        pass


def copy_below(source: Path, folder: Path, name: str) -> None:
    """Put a copy of a regular file into `folder/name`. Raises as `write_below`."""
    with open_regular(source) as content:
        _place(folder, name, lambda file: shutil.copyfileobj(content, file, 2**20))


def overwrite_below(folder: Path, name: str, content: str) -> None:
    """Write into the file that is there, which a full disk has room for. A crash half-way leaves a part. Raises as
    `write_below`."""
    with _parent(folder, name) as (parent, last):
        _check_place(folder, name, parent, last)
        descriptor = os.open(last, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content.encode())
            file.truncate()


def _place(folder: Path, name: str, fill: Callable[[BinaryIO], None]) -> None:
    with _parent(folder, name) as (parent, last):
        _check_place(folder, name, parent, last)
        draft = f".{last}.{uuid.uuid4().hex[:8]}"
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            with os.fdopen(os.open(draft, flags, 0o666, dir_fd=parent), "wb") as file:
                fill(file)
                file.flush()
                os.fsync(file.fileno())
            os.replace(draft, last, src_dir_fd=parent, dst_dir_fd=parent)
        finally:
            with suppress(FileNotFoundError):
                os.unlink(draft, dir_fd=parent)


@contextmanager
def _parent(folder: Path, name: str) -> Iterator[tuple[int, str]]:
    """The folder that `name` lies in, as a descriptor, and the last part of the name."""
    *parts, last = PurePosixPath(name).parts
    if PurePosixPath(name).is_absolute() or ".." in (*parts, last):
        raise ValueError(f"a name below a folder is relative and has no '..', got '{name}'")
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
    descriptor = os.open(folder, flags)
    try:
        for depth, part in enumerate(parts, 1):
            with suppress(FileExistsError):
                os.mkdir(part, dir_fd=descriptor)
            try:
                inner = os.open(part, flags | os.O_NOFOLLOW, dir_fd=descriptor)
            except OSError as error:
                if error.errno not in _IS_LINK:
                    raise
                where = PurePosixPath(*parts[:depth])
                mode = os.stat(part, dir_fd=descriptor, follow_symlinks=False).st_mode
                raise _refused(folder, where, f"is {kind_of(mode)}, not a folder") from None
            os.close(descriptor)
            descriptor = inner
        yield descriptor, last
    finally:
        os.close(descriptor)


def _check_place(folder: Path, name: str, parent: int, last: str) -> None:
    """Raise LinkError unless a regular file, or nothing, is where the file goes."""
    try:
        mode = os.stat(last, dir_fd=parent, follow_symlinks=False).st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISREG(mode):
        raise _refused(folder, PurePosixPath(name), f"is {kind_of(mode)}, not a file")
