"""Where a sweep stands at one moment: what the view is told, and draws."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from sweeps.results.records import TrialRecord


@dataclass(frozen=True)
class FamilyStatus:
    """Where one family stands: numbers of trials, and its best finished one."""

    budget: int
    complete: int
    pruned: int
    failed: int
    running: int
    best: TrialRecord | None = None

    @property
    def done(self) -> int:
        """Trials that have ended, in whatever way."""
        return self.complete + self.pruned + self.failed


@dataclass(frozen=True)
class Effort:
    """What has been trained and what is still to be: `epochs` took their trials `seconds`, about `left` epochs are to go."""

    epochs: int = 0
    seconds: float = 0.0
    left: float = 0.0


@dataclass(frozen=True)
class Snapshot:
    """A sweep at one moment. `events` are the trials that ended since the snapshot before, `running` those that run now, and
    `epochs` the length of a whole trial."""

    families: dict[str, FamilyStatus]
    events: list[TrialRecord] = field(default_factory=list)
    running: Sequence[TrialRecord] = ()
    epochs: int = 0
    effort: Effort = Effort()
