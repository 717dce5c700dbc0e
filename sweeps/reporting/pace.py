"""How long a sweep will still take, by what its trials did and not by how long its start took."""

from __future__ import annotations

from sweeps.reporting.standing import Effort, Snapshot

SLOW_EPOCH = 60.0  # seconds; beside them the start of a trial's process is nothing


class Pace:
    """Estimates from one snapshot after the other.

    Two estimates, and the longer one counts. By the trials' own seconds an epoch, shared by those that run at once: known
    after a trial's second epoch, since the first has the start of its process in it, but blind for what lies between trials.
    By the clock, since the first epoch of this run: it sees all, but takes epochs that end together for a fast pace, and the
    last trials for as many at once as before.
    """

    def __init__(self) -> None:
        self._before: int | None = None  # epochs of earlier runs of the sweep
        # When this run's first epoch was seen, and how many there were then.
        self._first: tuple[float, int] | None = None
        self._bases: dict[
            str, tuple[int, float]
        ] = {}  # trial -> epochs and seconds when its first epoch was seen
        self._since: dict[str, tuple[int, float]] = {}  # and what has come since

    def left(self, snap: Snapshot, now: float) -> float | None:
        """Seconds to go at the time `now`; None as long as nothing is known of a pace."""
        self._look(snap, now)
        effort = snap.effort
        if effort.left == 0:
            return 0.0
        known = []
        pace = self._seconds_an_epoch(effort)
        if pace is not None:
            known.append(effort.left * pace / max(1, len(snap.running)))
            if self._first is not None and effort.epochs > self._first[1]:
                since, epochs = self._first
                known.append(effort.left * (now - since) / (effort.epochs - epochs))
        return max(known, default=None)

    def _look(self, snap: Snapshot, now: float) -> None:
        if self._before is None:
            self._before = snap.effort.epochs
        if self._first is None and snap.effort.epochs > self._before:
            self._first = (now, snap.effort.epochs)
        for record in (*snap.running, *snap.events):
            if record.epochs:
                epochs, seconds = self._bases.setdefault(record.name, (record.epochs, record.seconds))
                self._since[record.name] = (record.epochs - epochs, record.seconds - seconds)

    def _seconds_an_epoch(self, effort: Effort) -> float | None:
        epochs, seconds = (
            (sum(part) for part in zip(*self._since.values(), strict=True)) if self._since else (0, 0.0)
        )
        if epochs and seconds > 0:
            return seconds / epochs
        whole = effort.seconds / effort.epochs if effort.epochs else 0.0
        return whole if whole >= SLOW_EPOCH or (self._before and whole > 0) else None
