"""The lanes of a search: each has an Optuna study of its own, and its trials know nothing of other lanes.

A family has one lane for each of its independent searches (`searches` of the space): `spatial`, `spatial.2`, `spatial.3`, ...
The confirmation has one for each configuration (`sweeps.search.confirm_search`). Outside, a trial bears the family's name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sweeps.search.space import SearchSpace


@dataclass(frozen=True)
class Lane:
    """Whose trials a lane has: of a family, and of which of its searches, from 1."""

    family: str
    search: int = 1


def search_lanes(space: SearchSpace) -> dict[str, Lane]:
    """Name -> lane of every search of every family; the first search of each family, then the second of each."""
    return {
        lane_name(family, search): Lane(family, search)
        for search in range(1, space.searches + 1)
        for family in space.families
    }


def lane_name(family: str, search: int) -> str:
    """`spatial`, `spatial.2`: no family's name has a dot in it."""
    return family if search == 1 else f"{family}.{search}"


def space_of_lanes(space: SearchSpace, lanes: Mapping[str, Lane]) -> SearchSpace:
    """The space with the lanes in the families' place, each searched as its family is."""
    families = {name: space.family(lane.family) for name, lane in lanes.items()}
    return space.model_copy(update={"families": families})
