"""A family's first trials, known before any result: published settings, then points spread out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sweeps.search.parameter import Parameter, Scalar
from sweeps.seeds import derived_seed

STARTUP_TRIALS = 10


def startup_points(
    parameters: Mapping[str, Parameter],
    first: Sequence[Mapping[str, Scalar]],
    trials: int,
    seed: int,
    family: str,
) -> list[dict[str, Scalar]]:
    """The parameters of a family's first trials, by number.

    All of `first`, then scrambled Sobol points (Owen 1998) up to ten in all, and never more than `trials`.
    Point i depends on the seed, the family's name and its parameters only: neither a larger budget nor
    another family changes it. A family without parameters gets empty points.
    """
    wanted = min(trials, max(STARTUP_TRIALS, len(first)))
    spread = wanted - min(wanted, len(first))
    points = [dict(point) for point in first[:wanted]]
    if not parameters:
        return points + [{} for _ in range(spread)]
    for shares in _sobol(len(parameters), spread, derived_seed(seed, "startup", family)):
        at = zip(sorted(parameters), shares, strict=True)
        points.append({key: parameters[key].at(share) for key, share in at})
    return points


def _sobol(dimensions: int, count: int, seed: int) -> list[list[float]]:
    import numpy as np
    from scipy.stats import qmc

    generator = qmc.Sobol(dimensions, scramble=True, rng=np.random.default_rng(seed))
    # A whole power of two of points, of which the first are taken: scipy warns of other sizes.
    exponent = max(count, STARTUP_TRIALS).bit_length()
    return generator.random_base2(exponent)[:count].tolist()
