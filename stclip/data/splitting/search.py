"""A split of slides into train, val and test that keeps groups together and strata in proportion."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from stclip.data.shards.splits import SPLITS, Splits
from stclip.errors import DataError

STARTS = 400_000  # over the squared number of groups,
MOST_STARTS = 300  # and no more than these
TEST = SPLITS.index("test")
SIZE_WEIGHT = 4.0  # of the splits' sizes against the strata's


def search_split(
    groups: Mapping[str, str], strata: Mapping[str, str], shares: Sequence[float], seed: int
) -> Splits:
    """The split of the slides (keys of `groups`) nearest to `shares` (train, val, test; they sum to 1) of all slides and of
    each stratum, no group on two sides; slides in the order given.

    Squared distances are summed, sizes weighing more than strata. Groups are moved and exchanged between the sides until nothing
    gets better, from many starts; of equally near splits the one with most groups to test on is taken. The same seed gives the
    same split. Raises DataError: fewer than three groups.
    """
    names = sorted(set(groups.values()))
    if len(names) < len(SPLITS):
        raise DataError(f"{len(names)} groups cannot stand on {len(SPLITS)} sides: {', '.join(names)}")
    kinds = sorted(set(strata.values()))
    table = np.zeros((len(names), len(kinds)))  # slides of each group and stratum
    for slide, group in groups.items():
        table[names.index(group), kinds.index(strata[slide])] += 1
    wanted = np.outer(shares, table.sum(0))
    rng = np.random.default_rng(np.random.SeedSequence(seed))
    found = []
    for number in range(min(MOST_STARTS, max(4, STARTS // len(names) ** 2))):
        start = _filled(table, wanted, rng) if number % 2 else _drawn(table, wanted, rng)
        sides = _improved(start, table, wanted)
        found.append((round(_cost(sides, table, wanted), 6), -int((sides == TEST).sum()), number, sides))
    best = min(found, key=lambda one: one[:3])[3]
    side_of = dict(zip(names, best.tolist(), strict=True))
    return Splits(*(tuple(s for s, group in groups.items() if side_of[group] == side) for side in range(3)))


def _filled(table: np.ndarray, wanted: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The largest groups first, each to the side that lacks most."""
    sizes = table.sum(1)
    sides = np.zeros(len(sizes), dtype=int)
    left = wanted.sum(1).copy()
    for group in np.lexsort((rng.random(len(sizes)), -sizes)):
        sides[group] = np.argmax(left)
        left[sides[group]] -= sizes[group]
    return _none_empty(sides, rng)


def _drawn(table: np.ndarray, wanted: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Any sides."""
    return _none_empty(rng.choice(len(SPLITS), len(table), p=wanted.sum(1) / wanted.sum()), rng)


def _none_empty(sides: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    for side in range(len(SPLITS)):
        if not (sides == side).any():
            crowded = int(np.argmax(np.bincount(sides, minlength=len(SPLITS))))
            sides[rng.choice(np.flatnonzero(sides == crowded))] = side
    return sides


def _improved(sides: np.ndarray, table: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """The best move of a group or exchange of two, again and again, until none makes it better."""
    sides = sides.copy()
    while True:
        away = _sums(sides, table) - wanted
        change, (group, other, side) = min(
            _best_move(sides, table, away), _best_exchange(sides, table, away), key=lambda found: found[0]
        )
        if change > -1e-9:
            return sides
        if other < 0:
            sides[group] = side
        else:
            sides[group], sides[other] = sides[other], sides[group]


def _best_move(sides: np.ndarray, table: np.ndarray, away: np.ndarray) -> tuple[float, tuple[int, int, int]]:
    """The change of cost, and (group, -1, side)."""
    before = _row_costs(away)
    without = _row_costs(away[sides] - table) - before[sides]  # [groups]
    change = without[:, None] + _row_costs(away[None] + table[:, None]) - before  # [groups, sides]
    alone = np.bincount(sides, minlength=len(SPLITS))[sides] == 1
    change[alone] = np.inf  # no side is left empty
    change[np.arange(len(sides)), sides] = np.inf
    group, side = np.unravel_index(np.argmin(change), change.shape)
    return float(change[group, side]), (int(group), -1, int(side))


def _best_exchange(
    sides: np.ndarray, table: np.ndarray, away: np.ndarray
) -> tuple[float, tuple[int, int, int]]:
    """The change of cost, and (group, other group, -1)."""
    own = away[sides]
    before = _row_costs(own)
    swap = table[None] - table[:, None]  # [group, other]: what the group's side gains
    change = _row_costs(own[:, None] + swap) - before[:, None]
    change = change + change.T
    change[sides[:, None] == sides[None]] = np.inf
    group, other = np.unravel_index(np.argmin(change), change.shape)
    return float(change[group, other]), (int(group), int(other), -1)


def _sums(sides: np.ndarray, table: np.ndarray) -> np.ndarray:
    """Slides of each side and stratum."""
    return np.stack([table[sides == side].sum(0) for side in range(len(SPLITS))])


def _row_costs(away: np.ndarray) -> np.ndarray:
    """Of a side's distances from what is wanted, by stratum along the last axis."""
    return np.asarray(SIZE_WEIGHT * away.sum(-1) ** 2 + (away**2).sum(-1))


def _cost(sides: np.ndarray, table: np.ndarray, wanted: np.ndarray) -> float:
    return float(_row_costs(_sums(sides, table) - wanted).sum())
