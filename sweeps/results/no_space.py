"""A full disk, behind whatever error it causes."""

from __future__ import annotations

import errno
from collections.abc import Iterator


def is_no_space(error: BaseException) -> bool:
    """Did a full disk (or an exhausted quota) cause this, at whatever remove?"""
    return any(_says_no_space(cause) for cause in _causes(error))


def _causes(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        yield current
        current = current.__cause__ or current.__context__


def _says_no_space(error: BaseException) -> bool:
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return True
    # SQLite and pyarrow, and torch's zip writer, tell it in words only.
    text = str(error)
    return any(
        words in text
        for words in (
            "database or disk is full",
            "No space left on device",
            "Disk quota exceeded",
            "file write failed",
        )
    )
