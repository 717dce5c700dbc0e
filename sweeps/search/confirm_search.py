"""After the search: each family's best configurations trained again with fresh seeds, and read on the test slides.

The best of many trials is partly the luckiest, so its own numbers flatter it; and one training says nothing of how far
another seed would have taken it. Several configurations of a family are trained again, since which of them a search ends
at is chance too (`sweeps.analysis.family_stats`). The seeds are the same for all of them, which pairs their trainings. A
confirmation belongs to one configuration: where a larger search finds others, those get their own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain, zip_longest

from optuna.storages import BaseStorage

from sweeps.results.records import Chosen, TrialRecord, confirmation_name
from sweeps.search.family_search import FamilySearch, Resolve, as_described
from sweeps.search.lanes import Lane
from sweeps.search.parameter import Scalar
from sweeps.search.space import SearchSpace
from sweeps.seeds import derived_seed

STUDY_SUFFIX = ".confirm"  # no family's name has a dot in it


class ConfirmSearch(FamilySearch):
    """Asks for `seeds` trainings of each chosen configuration, one study a configuration; all else is as in the search.

    It hands out and records trials in the same way, so a confirmation survives whatever the search survives. Each
    configuration is a lane of its own, under its name (`sweeps.search.lanes`).
    """

    reads_test = True

    def __init__(
        self,
        space: SearchSpace,
        chosen: Mapping[str, Sequence[Chosen]],
        seeds: int,
        storage: BaseStorage,
        seed: int,
        resolve: Resolve = as_described,
    ) -> None:
        """`space`, `storage`, `seed`: the sweep's. `chosen`: family -> its configurations; families without are left out.
        `resolve`: see `FamilySearch`."""
        # The first of each family, then the second of each: what is cut off is cut off evenly.
        order = [one.record for one in chain.from_iterable(zip_longest(*chosen.values())) if one is not None]
        self._chosen = {record.name: record for record in order}
        super().__init__(
            space.model_copy(update={"trials": seeds, "early_stopping": None}), storage, seed, resolve
        )

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
