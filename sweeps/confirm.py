"""After the search: each family's best configuration trained again with fresh seeds, and read on the test slides.

The best of many trials is partly the luckiest, so its own numbers flatter it; and one training says nothing of how far
another seed would have taken it. The seeds are the same for all families, which pairs their trainings. A confirmation
belongs to one winner: where a larger search finds another, that one gets its own.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from optuna.storages import BaseStorage

from sweeps.parameter import Scalar
from sweeps.plan import SweepPlan
from sweeps.records import TrialRecord, best_record
from sweeps.search import FamilySearch
from sweeps.seeding import derived_seed
from sweeps.space import SearchSpace

START_SECONDS = 10.0  # the least that starting processes is taken to need
STUDY_SUFFIX = ".confirm"  # no family's name has a dot in it
_NAME_PART = "-confirm-"


class ConfirmSearch(FamilySearch):
    """Asks for `seeds` trainings of each winner, one study a winner; all else is as in the search.

    It hands out and records trials in the same way, so a confirmation survives whatever the search survives.
    """

    reads_test = True

    def __init__(
        self,
        space: SearchSpace,
        winners: Mapping[str, TrialRecord],
        seeds: int,
        storage: BaseStorage,
        seed: int,
    ) -> None:
        """`space`, `storage`, `seed`: the sweep's. `winners`: family -> its best trial; families without one are left out."""
        self._winners = dict(winners)
        super().__init__(confirmed_space(space, winners, seeds), storage, seed)

    def _study_name(self, family: str) -> str:
        return f"{self._winners[family].name}{STUDY_SUFFIX}"

    def _first_points(self, family: str) -> list[dict[str, Scalar]]:
        return [dict(self._winners[family].params) for _ in range(self._space.trials)]

    def _trial_name(self, family: str, number: int) -> str:
        return confirm_name(self._winners[family].name, number)

    def _training_seed(self, number: int) -> int:
        return confirm_seed(self._seed, number)

    def _lacks(self, record: TrialRecord) -> str | None:
        lacking = super()._lacks(record)
        return lacking or (None if record.test_slides else "ended before it had read the test slides")


def confirm_name(winner: str, replicate: int) -> str:
    """`clip-0003-confirm-0`: the name of a training that confirms the trial of this name."""
    return f"{winner}{_NAME_PART}{replicate}"


def confirmed_trial(name: str) -> str:
    """The name of the trial that a training of this name confirms."""
    return name.rpartition(_NAME_PART)[0]


def confirm_seed(seed: int, replicate: int) -> int:
    """The training seed of a replicate, in [0, 2³¹), the same for every family; no search trial has it."""
    return derived_seed(seed, "confirm", replicate)


def confirmed_space(space: SearchSpace, winners: Mapping[str, TrialRecord], seeds: int) -> SearchSpace:
    """The sweep's space with `seeds` trials for each family that has a winner, all of full length."""
    families = {name: family for name, family in space.families.items() if name in winners}
    return space.model_copy(update={"families": families, "trials": seeds, "early_stopping": None})


def confirm_plan(plan: SweepPlan, winners: Mapping[str, TrialRecord]) -> SweepPlan:
    """The sweep's plan, to run its confirmation by."""
    return replace(plan, space=confirmed_space(plan.space, winners, plan.confirm_seeds))


def find_winners(plan: SweepPlan, records: Sequence[TrialRecord]) -> dict[str, TrialRecord]:
    """Family -> its best complete trial by the space's metric, in the space's order."""
    found = {
        family: best_record(records, family, plan.space.metric, plan.space.mode)
        for family in plan.space.families
    }
    return {family: winner for family, winner in found.items() if winner is not None}


def trainings_to_go(winners: Mapping[str, TrialRecord], confirmed: Sequence[TrialRecord], seeds: int) -> int:
    """How many trainings of the winners' confirmation have not ended."""
    return seeds * len(winners) - sum(record.state != "RUNNING" for record in confirmed)


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
        rounds = math.ceil(plan.confirm_seeds * len(plan.space.families) / self._at_once)
        # Twice a start: the search's processes end before those of the confirmation come up, on a machine that may be busier.
        starts = 2 * max(START_SECONDS, self._start or 0.0)
        seconds = starts + rounds * plan.space.epochs * pace
        return min(seconds, plan.time_budget / 2)


def _epochs(records: Sequence[TrialRecord]) -> int:
    return sum(record.epochs for record in records)
