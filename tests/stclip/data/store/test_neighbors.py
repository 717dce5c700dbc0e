"""Neighbours against a brute-force reference, with ties and degenerate slides."""

from __future__ import annotations

import numpy as np
import pytest

from stclip.data.store.neighbors import spot_neighbors


def reference(xy: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Every pair, sorted by (distance, row), as the definition reads."""
    n = len(xy)
    ids = np.full((n, k), -1)
    distances = np.full((n, k), np.nan)
    for i in range(n):
        pairs = sorted((float(((xy[i] - xy[j]) ** 2).sum()), j) for j in range(n) if j != i)
        for place, (squared, j) in enumerate(pairs[:k]):
            ids[i, place] = j
            distances[i, place] = squared**0.5
    alphas = np.zeros((n, k))
    if np.isfinite(distances).any():
        sigma = np.nanmedian(distances)
        if sigma == 0:
            sigma = distances[distances > 0].mean() if (distances > 0).any() else 1.0
        weights = np.nan_to_num(np.exp(-(distances**2) / (2 * sigma**2)))
        alphas = weights / weights.sum(axis=1, keepdims=True)
    return ids, alphas


def square(width: int, height: int, step: float) -> np.ndarray:
    rows, columns = np.divmod(np.arange(width * height), width)
    return np.stack([columns * step, rows * step], axis=1)


def hexagonal(width: int, height: int) -> np.ndarray:
    grid = square(width, height, 100.0)
    return np.stack([grid[:, 0] + 50.0 * (grid[:, 1] // 100 % 2), grid[:, 1] * 0.866], axis=1)


def circle(squared: int) -> np.ndarray:
    """A spot and all whole-number points at one distance from it, shuffled: a tie wider than a grid's."""
    points = [(x, y) for x in range(-65, 66) for y in range(-65, 66) if x * x + y * y == squared]
    return np.random.default_rng(5).permutation(np.array([(0, 0), *points], dtype=float))


SLIDES = {
    "36 spots on one circle": circle(65 * 65),
    "32 spots on a circle whose radius is rounded down": circle(1625),
    "random": np.random.default_rng(0).uniform(0, 1e4, (60, 2)),
    "square grid, all ties": square(9, 7, 137.5),
    "hexagonal grid": hexagonal(8, 9),
    "integer line": np.stack([np.arange(30.0), np.zeros(30)], axis=1),
    "far from the origin": square(6, 6, 0.5) + 1e7,
    "some coincide": np.repeat(np.random.default_rng(1).integers(0, 6, (20, 2)).astype(float), 2, axis=0),
    "six on each of three places": np.repeat([[0.0, 0.0], [10.0, 0.0], [30.0, 0.0]], 6, axis=0),
    "forty on each of three places": np.tile([[0.0, 0.0], [10.0, 0.0], [30.0, 0.0]], (40, 1)),
    "two spots": np.array([[0.0, 0.0], [3.0, 4.0]]),
    "k spots": np.random.default_rng(2).normal(size=(6, 2)),
    "k + 1 spots": np.random.default_rng(3).normal(size=(7, 2)),
}


@pytest.mark.parametrize("k", [1, 6, 13])
@pytest.mark.parametrize("name", SLIDES)
def test_equals_brute_force(name: str, k: int) -> None:
    xy = SLIDES[name]
    ids, alphas = spot_neighbors(xy, k)
    expected_ids, expected_alphas = reference(xy, k)
    assert (ids.dtype, alphas.dtype) == (np.int32, np.float32)
    np.testing.assert_array_equal(ids, expected_ids)
    np.testing.assert_allclose(alphas, expected_alphas, atol=1e-6)


def test_order_of_spots_decides_only_ties() -> None:
    xy = SLIDES["random"]
    shuffle = np.random.default_rng(4).permutation(len(xy))
    ids, alphas = spot_neighbors(xy, 6)
    shuffled_ids, shuffled_alphas = spot_neighbors(xy[shuffle], 6)
    np.testing.assert_array_equal(shuffle[shuffled_ids], ids[shuffle])
    np.testing.assert_allclose(shuffled_alphas, alphas[shuffle], rtol=1e-6)


@pytest.mark.parametrize("count", [0, 1])
def test_slide_without_neighbours_is_all_padding(count: int) -> None:
    ids, alphas = spot_neighbors(np.zeros((count, 2)), 6)
    np.testing.assert_array_equal(ids, np.full((count, 6), -1))
    np.testing.assert_array_equal(alphas, np.zeros((count, 6)))


def test_all_spots_in_one_place() -> None:
    ids, alphas = spot_neighbors(np.full((40, 2), 7.0), 3)
    np.testing.assert_array_equal(ids[[0, 1, 20]], [[1, 2, 3], [0, 2, 3], [0, 1, 2]])
    np.testing.assert_allclose(alphas, 1 / 3)


def test_median_distance_of_zero_keeps_near_over_far() -> None:
    pairs = np.repeat(square(4, 1, 10.0), 4, axis=0)  # four spots on each place: their three nearest are at 0
    lone = np.array([[100.0, 0.0]])
    ids, alphas = spot_neighbors(np.concatenate([pairs, lone]), 3)
    np.testing.assert_array_equal(ids[0], [1, 2, 3])
    np.testing.assert_allclose(alphas.sum(axis=1), 1, rtol=1e-6)
    np.testing.assert_allclose(alphas[0], 1 / 3)


def test_spot_far_from_the_tissue_has_finite_weights() -> None:
    xy = np.concatenate([square(5, 5, 1.0), [[1e6, 0.0]]])
    _, alphas = spot_neighbors(xy, 6)
    assert np.isfinite(alphas).all()
    np.testing.assert_allclose(alphas.sum(axis=1), 1, rtol=1e-6)
