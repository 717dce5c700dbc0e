"""The nearest spots of a slide, and how much each of them counts."""

from __future__ import annotations

import numpy as np


def spot_neighbors(xy: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The k nearest other spots of one slide, nearest first; of equally near ones the lower row first.

    `xy` [N, 2] pixels, finite. Returns `ids` int32 [N, k], rows of `xy`, -1 where the slide has no further
    spot, and `alphas` float32 [N, k]: exp(-d² / 2σ²) over its sum in the row, 0 where padded. d is the
    distance in pixels, σ the median of all those distances (the mean of those above 0 where the median is 0).
    """
    xy = np.asarray(xy, dtype=np.float64).reshape(-1, 2)
    count = len(xy)
    ids = np.full((count, k), -1, dtype=np.int32)
    alphas = np.zeros((count, k), dtype=np.float32)
    present = min(k, count - 1)
    if present < 1:
        return ids, alphas
    nearest, squared = _nearest(xy, present)
    ids[:, :present] = nearest
    alphas[:, :present] = _weights(squared)
    return ids, alphas


def _weights(squared: np.ndarray) -> np.ndarray:
    distances = np.sqrt(squared)
    sigma = float(np.median(distances))
    if sigma == 0:
        positive = distances[distances > 0]
        sigma = float(positive.mean()) if positive.size else 1.0
    # The row's smallest distance cancels in the ratio; without it a far-off spot's weights would be 0/0.
    weights = np.exp(-(squared - squared.min(axis=1, keepdims=True)) / (2 * sigma**2))
    return weights / weights.sum(axis=1, keepdims=True)


def _nearest(xy: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows [N, k] and squared distances [N, k] by (distance, row).

    On a grid many spots are equally near and the tree returns any of them: rows where more spots than were
    asked for may share the last place are looked at again, whole.
    """
    from scipy.spatial import cKDTree

    tree = cKDTree(xy)
    width = min(len(xy), k + 9)  # itself, k, and the ties that a square or hexagonal grid has
    _, candidates = tree.query(xy, k=width)
    rows = np.arange(len(xy))
    squared = ((xy[candidates] - xy[:, None]) ** 2).sum(axis=-1)
    squared[candidates == rows[:, None]] = np.inf  # a spot is no neighbour of its own
    order = np.lexsort((candidates, squared), axis=-1)
    ids = np.take_along_axis(candidates, order, axis=1)[:, :k]
    best = np.take_along_axis(squared, order, axis=1)[:, :k]
    reach = np.sqrt(best[:, -1]) * (1 + 1e-9)  # the tree rounds differently
    farthest = np.sqrt(np.where(np.isinf(squared), 0, squared).max(axis=1))
    undecided = rows[farthest <= reach] if width < len(xy) else rows[:0]
    for row in undecided:
        ball = np.array(tree.query_ball_point(xy[row], reach[row]))
        ball = ball[ball != row]
        distances = ((xy[ball] - xy[row]) ** 2).sum(axis=-1)
        chosen = np.lexsort((ball, distances))[:k]
        ids[row], best[row] = ball[chosen], distances[chosen]
    return ids, best
