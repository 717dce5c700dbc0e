"""What a search leaves its confirmation of a time budget."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence

from sweeps.planning.plan import SweepPlan
from sweeps.results.records import TrialRecord

START_SECONDS = 10.0  # the least that starting processes is taken to need


class ConfirmReserve:
    """What the search leaves its confirmation of a time budget, by the search's own pace and start."""

    def __init__(
        self,
        plan: SweepPlan,
        at_once: int,
        records: Sequence[TrialRecord],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Made when the search begins, with the `records` of runs before this one. `at_once`: trials that run together."""
        self._plan = plan
        self._at_once = at_once
        self._clock = clock
        self._began = clock()
        self._epochs_before = _epochs(records)
        self._start: float | None = None  # until the first processes were up, once it is known

    def seconds(self, records: Sequence[TrialRecord]) -> float:
        """How long the confirmation may take, by the trials so far.

        At most half the time budget, without any trial to go by nothing.
        """
        plan = self._plan
        paces = [r.seconds / r.epochs for r in records if r.epochs and r.seconds]
        if not paces or not plan.confirm_seeds or plan.time_budget is None:
            return 0.0
        pace = sum(paces) / len(paces)
        if self._start is None and _epochs(records) > self._epochs_before:
            self._start = self._clock() - self._began - pace
        trainings = plan.confirm_seeds * plan.configurations * len(plan.space.families)
        rounds = math.ceil(trainings / self._at_once)
        # Twice a start: the search's processes end before those of the confirmation come up, on a machine that may be busier.
        starts = 2 * max(START_SECONDS, self._start or 0.0)
        seconds = starts + rounds * plan.space.epochs * pace
        return min(seconds, plan.time_budget / 2)


def _epochs(records: Sequence[TrialRecord]) -> int:
    return sum(record.epochs for record in records)
