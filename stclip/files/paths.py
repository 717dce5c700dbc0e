"""Paths as people type them: what they are, and whether they can be written."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from tempfile import TemporaryFile

from stclip.errors import DataError, InputError, shorten

PROJECT_ROOT = Path(__file__).resolve().parents[2]


def is_file(path: Path) -> bool:
    """A file that can be looked at; no for a name the system refuses (too long, no permission on the way)."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def is_folder(path: Path) -> bool:
    """A folder that can be looked at; no for a name the system refuses."""
    try:
        return path.is_dir()
    except (OSError, ValueError):
        return False


def check_can_be_made(folder: Path) -> None:
    """Raise OSError unless `folder` can be made, if it is not there, and written into. Nothing is left behind.

    Asked by writing: access rights alone do not tell of a full disk, of /proc, or of what root may not do either.
    """
    if any(len(os.fsencode(part)) > 255 for part in folder.parts):
        raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG))
    place = next(parent for parent in (folder, *folder.resolve().parents) if parent.exists())
    if not place.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, f"{place} is a file")
    if not os.access(place, os.W_OK | os.X_OK):
        raise PermissionError(errno.EACCES, f"no permission to write in {place}")
    with TemporaryFile(dir=place):
        pass


def sqlite_url(path: Path) -> str:
    """An SQLite file as SQLAlchemy wants it named: in a URL, `?`, `%41` and `#` would lead elsewhere."""
    from sqlalchemy import URL

    return URL.create("sqlite", database=str(path.absolute())).render_as_string()


def cache_dir() -> Path:
    """Where copies and stores go that have no place beside the data: `$STCLIP_CACHE`, else `~/.cache/stclip`."""
    return user_path(os.environ.get("STCLIP_CACHE") or "~/.cache/stclip").absolute()


def user_path(text: str | Path) -> Path:
    """The path, `~` written out; `~name` of a person who does not exist stays as it is.

    Raises InputError for `~` where nobody knows this user's home folder.
    """
    path = Path(text)
    if path.parts[:1] == ("~",):
        return home_folder().joinpath(*path.parts[1:])
    try:
        return path.expanduser()
    except RuntimeError:
        return path


def home_folder() -> Path:
    """$HOME, else what the system's list of users says. Raises InputError where there is none."""
    if home := os.environ.get("HOME"):
        return Path(home)
    import pwd

    try:
        return Path(pwd.getpwuid(os.getuid()).pw_dir)
    except KeyError:
        raise InputError(
            f"there is no home folder: HOME is not set, and user {os.getuid()} is not in the system's list of users; "
            "set HOME to a folder of yours"
        ) from None


def plain_name(name: str, kind: str) -> str:
    """`name`, when it can be a file name of its own. Raises DataError."""
    odd = not name or name.startswith(".") or name != name.strip() or "/" in name or "\\" in name
    if odd or not name.isprintable() or len(name.encode(errors="replace")) > 200:
        raise DataError(
            f"{kind} must be a plain name (not empty, no slash, no leading dot or outer blanks, printable, at most "
            f"200 bytes), got {shorten(repr(name), 200)}"
        )
    return name
