"""Failures that are not one trial's own: a reason that comes again and again, a full disk, a cluster that is gone."""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator, Sequence

from stclip.data.data_key import DataChangedError
from sweeps.records import TrialRecord

SAME_REASON_LIMIT = 10  # failed trials in a row after which the next would not help


def repeated_reason(ended: Sequence[TrialRecord], limit: int = SAME_REASON_LIMIT) -> str | None:
    """Why to stop a sweep whose newest `limit` trials all failed for one reason; None while they did not.

    Data that have changed are reason enough at the first.

    `ended`: trials in the order of their ends. Reasons are the same when they differ in numbers only.
    """
    # These would fail one by one, until somebody puts the data back.
    if ended and ended[-1].state == "FAIL" and (ended[-1].error or "").startswith(DataChangedError.__name__):
        return f"what the trials read has changed: {ended[-1].error}"
    newest = ended[-limit:]
    if len(newest) < limit or any(record.state != "FAIL" for record in newest):
        return None
    if len({_kind(record.error or "") for record in newest}) > 1:
        return None
    return f"{limit} trials in a row failed for one reason: {newest[-1].error or 'no reason recorded'}"


def _kind(reason: str) -> str:
    return re.sub(r"[\d.]+", "#", reason)


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


def process_death(text: str, attempts: int) -> str:
    """Why a trial's process is gone, in words, from what Ray wrote about it.

    Args:
        text: Ray's account of the error, of several lines.
        attempts: how often the trial was started.
    """
    tries = f"; started {attempts} times" if attempts > 1 else ""
    if "OutOfMemoryError" in text or "memory pressure" in text or "running low on memory" in text:
        return (
            "killed for memory: its node was running out of it; lower data.batch_size, or let fewer trials share a node "
            f"(--max-concurrent, --cpus-per-trial){tries}"
        )
    if "its node has died" in text or "NodeDiedError" in text or "is unavailable" in text:
        return f"its node was lost, or could not be reached{tries}"
    # Ray cannot tell one that exited from one that was killed.
    if "ActorDiedError" in text or "WorkerCrashedError" in text or "died unexpectedly" in text:
        return f"the trial's process died (it exited, was killed, or crashed in native code){tries}"
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return (lines[-1] if lines else "the trial's process died or raised") + tries
