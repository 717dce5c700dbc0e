"""After the search: each family's best configurations trained again with fresh seeds, and read on the test slides.

The best of many trials is partly the luckiest, so its own numbers flatter it; and one training says nothing of how far
another seed would have taken it. Several configurations of a family are trained again, since which of them a search ends
at is chance too (`sweeps.family_stats`). The seeds are the same for all of them, which pairs their trainings. A confirmation
belongs to one configuration: where a larger search finds others, those get their own.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import chain, zip_longest

from optuna.storages import BaseStorage

from sweeps.choice import Chosen
from sweeps.lanes import Lane
from sweeps.parameter import Scalar
from sweeps.plan import SweepPlan
from sweeps.records import TrialRecord, confirmation_name
from sweeps.search import FamilySearch
from sweeps.seeding import derived_seed
from sweeps.space import SearchSpace

START_SECONDS = 10.0  # the least that starting processes is taken to need
STUDY_SUFFIX = ".confirm"  # no family's name has a dot in it


class ConfirmSearch(FamilySearch):
    """Asks for `seeds` trainings of each chosen configuration, one study a configuration; all else is as in the search.

    It hands out and records trials in the same way, so a confirmation survives whatever the search survives. Each
    configuration is a lane of its own, under its name (`sweeps.lanes`).
    """

    reads_test = True

    def __init__(
        self,
        space: SearchSpace,
        chosen: Mapping[str, Sequence[Chosen]],
        seeds: int,
        storage: BaseStorage,
        seed: int,
    ) -> None:
        """`space`, `storage`, `seed`: the sweep's. `chosen`: family -> its configurations; families without are left out."""
        # The first of each family, then the second of each: what is cut off is cut off evenly.
        order = [one.record for one in chain.from_iterable(zip_longest(*chosen.values())) if one is not None]
        self._chosen = {record.name: record for record in order}
        super().__init__(space.model_copy(update={"trials": seeds, "early_stopping": None}), storage, seed)

    def _lanes_of(self, space: SearchSpace) -> dict[str, Lane]:
        return {name: Lane(record.family, record.search) for name, record in self._chosen.items()}

    def _study_name(self, family: str) -> str:
        return f"{family}{STUDY_SUFFIX}"

    def _first_points(self, family: str) -> list[dict[str, Scalar]]:
        return [dict(self._chosen[family].params) for _ in range(self._space.trials)]

    def _trial_name(self, family: str, number: int) -> str:
        return confirmation_name(family, number)

    def _training_seed(self, family: str, number: int) -> int:
        return confirm_seed(self._seed, number)

    def _lacks(self, record: TrialRecord) -> str | None:
        lacking = super()._lacks(record)
        return lacking or (None if record.test_slides else "ended before it had read the test slides")


def confirm_seed(seed: int, replicate: int) -> int:
    """The training seed of a replicate, in [0, 2³¹), the same for every family; no search trial has it."""
    return derived_seed(seed, "confirm", replicate)


def confirm_budgets(plan: SweepPlan, chosen: Mapping[str, Sequence[Chosen]]) -> dict[str, int]:
    """Family -> its trainings in the confirmation."""
    return {family: plan.confirm_seeds * len(configurations) for family, configurations in chosen.items()}


def confirm_plan(plan: SweepPlan, chosen: Mapping[str, Sequence[Chosen]]) -> SweepPlan:
    """The sweep's plan, to run its confirmation by: the families that have a winner, all trials of full length."""
    families = {name: family for name, family in plan.space.families.items() if name in chosen}
    trials = max(confirm_budgets(plan, chosen).values())
    update = {"families": families, "trials": trials, "early_stopping": None}
    return replace(plan, space=plan.space.model_copy(update=update))


def trainings_to_go(
    chosen: Mapping[str, Sequence[Chosen]], confirmed: Sequence[TrialRecord], seeds: int
) -> int:
    """How many trainings of the confirmation have not ended."""
    return seeds * sum(map(len, chosen.values())) - sum(record.state != "RUNNING" for record in confirmed)


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
