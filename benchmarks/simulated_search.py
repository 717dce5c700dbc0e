"""Searches whose truth is known: trials of a family on a made-up landscape of quality, for `benchmarks/calibration.py`.

A landscape gives each configuration (a point of a unit cube, three parameters) its true quality, a deviation of R@10 from
the family's level. Both families of a sweep are searched on the same landscape, by searches of their own, so they are equal.

- hills: a smooth random function with several optima; its values are about normal.
- bowl: one optimum, quality falls with the square of the distance: bounded from above, many trials near the best.

A search is random points, or what a sweep does: ten Sobol points, then Optuna's TPE as `sweeps.search.studies` sets it up.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import optuna
from optuna.distributions import FloatDistribution
from scipy.stats import qmc

from sweeps.search.first_points import STARTUP_TRIALS
from sweeps.search.studies import sampler

DIMENSIONS = 3
WAVES = 40
LENGTH = 0.3  # of a hill, in a cube of side 1

Landscape = Callable[[np.ndarray], np.ndarray]  # float [N, DIMENSIONS] -> float [N], of standard deviation 1


def hills(rng: np.random.Generator) -> Landscape:
    """A random function of Gaussian covariance: a sum of waves (Rahimi and Recht 2007), scaled on 500 points."""
    frequencies = rng.normal(0, 1 / LENGTH, (WAVES, DIMENSIONS))
    phases, heights = rng.uniform(0, 2 * np.pi, WAVES), rng.normal(0, 1, WAVES)

    def raw(points: np.ndarray) -> np.ndarray:
        return np.asarray(np.cos(points @ frequencies.T + phases) @ heights)

    values = raw(rng.uniform(0, 1, (500, DIMENSIONS)))
    return lambda points: (raw(points) - values.mean()) / values.std()


def bowl(rng: np.random.Generator) -> Landscape:
    """One optimum, somewhere in the middle half of the cube."""
    optimum = rng.uniform(0.25, 0.75, DIMENSIONS)

    def raw(points: np.ndarray) -> np.ndarray:
        return np.asarray(-((points - optimum) ** 2).sum(1))

    scale = raw(rng.uniform(0, 1, (500, DIMENSIONS))).std()
    return lambda points: raw(points) / scale


def random_search(
    landscape: Landscape, spread: float, noise: float, trials: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """True quality and noisy val value [trials] of random configurations."""
    quality = spread * landscape(rng.uniform(0, 1, (trials, DIMENSIONS)))
    return quality, quality + rng.normal(0, noise, trials)


def tpe_search(
    landscape: Landscape, spread: float, noise: float, trials: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """The same of a search as a sweep makes it."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    seed = int(rng.integers(2**31))
    keys = [f"x{i}" for i in range(DIMENSIONS)]
    space = {key: FloatDistribution(0, 1) for key in keys}
    first = qmc.Sobol(DIMENSIONS, scramble=True, rng=rng).random_base2(4)[:STARTUP_TRIALS]
    study = optuna.create_study(direction="maximize")
    quality, values = np.zeros(trials), np.zeros(trials)
    for number in range(trials):
        if number < len(first):
            study.enqueue_trial(dict(zip(keys, first[number].tolist(), strict=True)))
        study.sampler = sampler(seed, "family", number)
        trial = study.ask(space)
        point = np.array([[trial.params[key] for key in keys]])
        quality[number] = spread * landscape(point)[0]
        values[number] = quality[number] + rng.normal(0, noise)
        study.tell(trial, values[number])
    return quality, values
