"""Failures that are not one trial's own: a reason that comes again and again, a cluster that is gone."""

from __future__ import annotations

import re
from collections.abc import Sequence

from stclip.data.store.data_key import DataChangedError
from sweeps.results.records import TrialRecord

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
