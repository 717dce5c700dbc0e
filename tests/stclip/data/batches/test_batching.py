"""Batches: full, without repeats, a pure function of seed and epoch; rings stay together."""

from __future__ import annotations

import numpy as np
import pytest

from stclip.data.batches.batching import NeighborhoodBatches, RandomBatches, neighbor_coverage
from stclip.data.store.neighbors import spot_neighbors

Batches = RandomBatches | NeighborhoodBatches


class Tissue:
    """A store's neighbour arrays: `slides` hexagonal slides of side² spots; all but the last one train."""

    def __init__(self, slides: int, side: int, k: int = 6) -> None:
        row, column = np.divmod(np.arange(side * side), side)
        xy = np.stack([column * 100.0 + 50.0 * (row % 2), row * 86.6], axis=1)
        ids, alphas = spot_neighbors(xy, k)
        self.neighbor_ids = np.concatenate([np.where(ids >= 0, ids + s * len(xy), -1) for s in range(slides)])
        self.alphas = np.concatenate([alphas] * slides)
        self.slide_index = np.repeat(np.arange(slides), len(xy))
        self.train = np.arange((slides - 1) * len(xy))

    def batches(self, kind: str, size: int, seed: int = 0, rank: int = 0, world_size: int = 1) -> Batches:
        if kind == "random":
            return RandomBatches(self.train, size, seed, rank, world_size)
        return NeighborhoodBatches(
            self.train, self.neighbor_ids, self.slide_index, size, seed, rank, world_size
        )


TISSUE = Tissue(slides=6, side=8)  # 320 training spots
KINDS = ["random", "neighborhood"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [2, 7, 64, 319, 320])
def test_full_batches_without_repeats(kind: str, size: int) -> None:
    batches = TISSUE.batches(kind, size)
    drawn = list(batches)
    assert len(drawn) == len(batches) == 320 // size
    assert all(b.shape == (size,) and b.dtype == np.int64 for b in drawn)
    seen = np.concatenate(drawn)
    assert len(np.unique(seen)) == len(seen)
    assert np.isin(seen, TISSUE.train).all()


@pytest.mark.parametrize("kind", KINDS)
def test_fewer_spots_than_a_batch_make_one_batch_of_all(kind: str) -> None:
    batches = TISSUE.batches(kind, 1000)
    (only,) = list(batches)
    assert len(batches) == 1
    np.testing.assert_array_equal(np.sort(only), TISSUE.train)


@pytest.mark.parametrize("kind", KINDS)
def test_order_is_a_function_of_seed_and_epoch(kind: str) -> None:
    def epoch(seed: int, number: int) -> np.ndarray:
        batches = TISSUE.batches(kind, 32, seed)
        batches.set_epoch(number)
        return np.stack(list(batches))

    batches = TISSUE.batches(kind, 32)
    first = np.stack(list(batches))
    np.testing.assert_array_equal(first, np.stack(list(batches)))  # iterating twice does not move on
    batches.set_epoch(3)
    third = np.stack(list(batches))
    np.testing.assert_array_equal(third, epoch(0, 3))
    np.testing.assert_array_equal(first, epoch(0, 0))
    assert not np.array_equal(first, third)
    assert not np.array_equal(first, epoch(1, 0))
    assert not np.array_equal(epoch(1, 2), epoch(2, 1))


@pytest.mark.parametrize("kind", KINDS)
def test_every_spot_is_drawn_sooner_or_later(kind: str) -> None:
    batches = TISSUE.batches(kind, 48)  # 32 of 320 spots are left out of an epoch
    missed = np.ones(320)
    for epoch in range(12):
        batches.set_epoch(epoch)
        missed[np.concatenate(list(batches))] = 0
    assert missed.sum() == 0


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [16, 100, 160, 1000])
def test_ranks_share_the_global_batches(kind: str, size: int) -> None:
    ranks = [list(TISSUE.batches(kind, size, 5, rank, 3)) for rank in range(3)]
    whole = list(TISSUE.batches(kind, min(size, 320 // 3) * 3, 5))
    assert [len(r) for r in ranks] == [len(whole)] * 3
    for together, *parts in zip(whole, *ranks, strict=True):
        np.testing.assert_array_equal(together, np.concatenate(parts))
        assert len({len(part) for part in parts}) == 1


def test_fewer_spots_than_ranks_is_an_error() -> None:
    with pytest.raises(ValueError, match="got 2 spots for 3 ranks"):
        RandomBatches(np.arange(2), 4, 0, rank=0, world_size=3)
    as_many = [list(RandomBatches(np.arange(3), 4, 0, rank, 3)) for rank in range(3)]
    assert sorted(np.concatenate(as_many).ravel().tolist()) == [0, 1, 2]


def test_batches_of_neighbourhoods_hold_neighbours_of_many_slides() -> None:
    tissue = Tissue(slides=21, side=10)
    covered, at_random = (
        np.mean([neighbor_coverage(b, tissue.neighbor_ids, tissue.alphas) for b in tissue.batches(kind, 64)])
        for kind in ("neighborhood", "random")
    )
    assert covered > 0.5
    assert at_random < 0.06
    slides = [len(np.unique(tissue.slide_index[b])) for b in tissue.batches("neighborhood", 64)]
    assert np.mean(slides) > 5


def test_neighbours_outside_the_training_spots_are_never_drawn() -> None:
    spots = TISSUE.train[TISSUE.train % 3 > 0]
    batches = NeighborhoodBatches(spots, TISSUE.neighbor_ids, TISSUE.slide_index, len(spots), 0)
    np.testing.assert_array_equal(np.sort(np.concatenate(list(batches))), spots)


def test_rings_never_leave_their_slide() -> None:
    """Rows 0 and 1 are a slide, 2 and 3 another; every neighbour id points across and has to be ignored."""
    crossed, slides = np.array([[2], [3], [0], [1]]), np.array([0, 0, 1, 1])
    drawn = [b for s in range(20) for b in NeighborhoodBatches(np.arange(4), crossed, slides, 2, s)]
    assert {frozenset(batch.tolist()) for batch in drawn} >= {frozenset({0, 1}), frozenset({0, 3})}


def test_slides_without_neighbours() -> None:
    lone = NeighborhoodBatches(np.arange(9), np.full((9, 6), -1), np.arange(9), 4, 0)
    assert [len(b) for b in lone] == [4, 4]
    for seed in range(
        20
    ):  # padding is no neighbour, not even where the last row of the store is a spot of the same slide
        one_slide, many = (
            NeighborhoodBatches(np.arange(9), np.full((9, 6), -1), slides, 4, seed)
            for slides in (np.zeros(9, dtype=int), np.arange(9))
        )
        np.testing.assert_array_equal(list(one_slide), list(many))


def test_a_scrap_of_half_the_neighbours_or_fewer_joins_the_ring_next_to_it() -> None:
    """Two slides of three spots in a line, one neighbour each: whatever spot is first, each slide ends as one ring."""
    ids, slides = np.array([[1], [0], [1], [4], [3], [4]]), np.array([0, 0, 0, 1, 1, 1])
    drawn = [b for s in range(20) for b in NeighborhoodBatches(np.arange(6), ids, slides, 3, s)]
    assert {frozenset(batch.tolist()) for batch in drawn} == {frozenset({0, 1, 2}), frozenset({3, 4, 5})}


def test_rings_begin_at_any_spot() -> None:
    """Four spots in a line: from the first spot on, the two in the middle would never be one batch."""
    ids = np.array([[1, -1], [0, 2], [1, 3], [2, -1]])
    drawn = [b for s in range(20) for b in NeighborhoodBatches(np.arange(4), ids, np.zeros(4, int), 2, s)]
    assert {frozenset({1, 2}), frozenset({0, 1})} <= {frozenset(batch.tolist()) for batch in drawn}


def slow_coverage(batch: np.ndarray, neighbor_ids: np.ndarray, alphas: np.ndarray) -> float:
    total = 0.0
    for row in batch:
        for place, neighbor in enumerate(neighbor_ids[row]):
            if neighbor in set(batch.tolist()):
                total += alphas[row, place]
    return total / len(batch)


def test_coverage_equals_the_slow_count() -> None:
    small = Tissue(slides=3, side=2)  # 4 spots a slide: rows are padded
    for tissue, size in ((TISSUE, 40), (TISSUE, 1), (small, 5)):
        rng = np.random.default_rng(size)
        batch = rng.choice(len(tissue.neighbor_ids), size, replace=False)
        expected = slow_coverage(batch, tissue.neighbor_ids, tissue.alphas)
        assert neighbor_coverage(batch, tissue.neighbor_ids, tissue.alphas) == pytest.approx(
            expected, abs=1e-6
        )


def test_coverage_of_everything_is_one() -> None:
    everything = np.arange(len(TISSUE.neighbor_ids))
    assert neighbor_coverage(everything, TISSUE.neighbor_ids, TISSUE.alphas) == pytest.approx(1, abs=1e-6)
