"""How long a sweep will still take, by what its trials did and not by how long its start took."""

from __future__ import annotations

from sweeps.standing import Snapshot


class Pace:
    """Estimates from one snapshot after the other.

    Two estimates, and the longer one counts. By the trials' own seconds an epoch, shared by those that run at once: known
    after the first epoch, but blind for what lies between trials. By the clock, since the first epoch of this run: it sees
    all, but takes epochs that end together for a fast pace, and the last trials for as many at once as before.
    """

    def __init__(self) -> None:
        self._before: int | None = None  # epochs of earlier runs of the sweep
        self._first: tuple[float, int] | None = (
            None  # when this run's first epoch was seen, and how many there were then
        )

    def left(self, snap: Snapshot, now: float) -> float | None:
        """Seconds to go at the time `now`; None as long as no epoch has been trained."""
        effort = snap.effort
        if self._before is None:
            self._before = effort.epochs
        if self._first is None and effort.epochs > self._before:
            self._first = (now, effort.epochs)
        if effort.left == 0:
            return 0.0
        known = []
        if effort.epochs and effort.seconds:
            known.append(effort.left * effort.seconds / effort.epochs / max(1, len(snap.running)))
        if self._first is not None and effort.epochs > self._first[1]:
            since, epochs = self._first
            known.append(effort.left * (now - since) / (effort.epochs - epochs))
        return max(known, default=None)
