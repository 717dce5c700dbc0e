"""Do the intervals and p-values keep what they promise? Simulated sweeps whose truth is known.

    python benchmarks/calibration.py                   # 1,000 sweeps of each kind, about two minutes
    python benchmarks/calibration.py --sweeps 200 --slides 5

A sweep is simulated whole: two families of trials of differing quality, each with one noisy val value; the best by val is
trained again with fresh seeds, paired, and read on the test slides; `sweeps.stats.compare` compares. Beside it the naive
comparison: the two winners' own single trainings, the higher test value wins.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats as distributions

from stclip.one_line_parser import OneLineParser
from sweeps.stats import compare, interval, standard_error


@dataclass(frozen=True)
class Truth:
    """Standard deviations of R@10, as measured on the default sweep's confirmation (5 seeds x 10 slides)."""

    slide: float = 0.10  # between slides, the same for both families
    family_slide: float = 0.006  # of one family on one slide
    seed: float = 0.003  # of one training, on all slides alike
    shared_rest: float = (
        0.0215  # of one seed on one slide, the same for both families (paired seeds start alike)
    )
    rest: float = 0.0106  # of one training on one slide
    quality: float = 0.03  # between a family's trials: how much the settings matter
    level: float = 0.6

    @property
    def rest_all(self) -> float:
        """Of a training whose seed no other training has."""
        return float(np.hypot(self.rest, self.shared_rest))


@dataclass(frozen=True)
class Design:
    """What a sweep does."""

    trials: int = 24
    seeds: int = 5
    slides: int = 10
    val_slides: int = 5


def chosen_quality(rng: np.random.Generator, truth: Truth, design: Design) -> float:
    """The true quality of the trial that is best by its one val value."""
    quality = rng.normal(0, truth.quality, design.trials)
    noise = np.hypot(truth.seed, np.hypot(truth.rest_all, truth.family_slide) / np.sqrt(design.val_slides))
    return float(quality[np.argmax(quality + rng.normal(0, noise, design.trials))])


def confirmed(
    rng: np.random.Generator, truth: Truth, design: Design, qualities: Sequence[float]
) -> list[np.ndarray]:
    """Test tables [seeds, slides] of families of these true qualities."""
    s, c = design.seeds, design.slides
    shared = rng.normal(0, truth.slide, (1, c)) + rng.normal(0, truth.shared_rest, (s, c))
    return [
        truth.level
        + quality
        + shared
        + rng.normal(0, truth.family_slide, (1, c))
        + rng.normal(0, truth.seed, (s, 1))
        + rng.normal(0, truth.rest, (s, c))
        for quality in qualities
    ]


def difference_error(truth: Truth, design: Design) -> float:
    """The true standard error of the difference between two families."""
    s, c = design.seeds, design.slides
    return float(np.sqrt(2 * (truth.family_slide**2 / c + truth.seed**2 / s + truth.rest**2 / (s * c))))


def simulate(sweeps: int, truth: Truth, design: Design, planted: float, seed: int) -> dict[str, float]:
    """Rates over `sweeps` sweeps whose winners truly differ by `planted`: `different` (interval and p agree), `interval`,
    `p`, `covers`, `covers_mean` (the interval of one family's mean), `naive` (the wrong or unproven winner that single
    trainings would name, by more than 0.01), `degrees` (mean degrees of freedom)."""
    rng = np.random.default_rng(seed)
    counts = dict.fromkeys(("different", "interval", "p", "covers", "covers_mean", "naive", "degrees"), 0.0)
    own = np.arange(design.slides)
    for number in range(sweeps):
        quality = chosen_quality(rng, truth, design)
        a, b = confirmed(rng, truth, design, [quality + planted, quality])
        found = compare(a, b, own, number)
        mean = interval(a, own, number)
        low, high, p = found.difference.low, found.difference.high, found.p
        assert low is not None and high is not None and p is not None
        assert mean.low is not None and mean.high is not None
        outside = low > 0 or high < 0
        counts["interval"] += outside
        counts["p"] += p < 0.05
        counts["different"] += outside and p < 0.05
        counts["covers"] += low <= planted <= high
        counts["covers_mean"] += mean.low <= truth.level + quality + planted <= mean.high
        counts["degrees"] += (standard_error(a - b) or (0.0, 0.0))[1]
        counts["naive"] += abs(naive_difference(rng, truth, design)) > 0.01
    return {name: count / sweeps for name, count in counts.items()}


def naive_difference(rng: np.random.Generator, truth: Truth, design: Design) -> float:
    """Two equal families, each with its best trial's own test value: one training, its own seed, its own search."""
    values = []
    slides = rng.normal(0, truth.slide, design.slides)
    for _ in range(2):
        noise = rng.normal(0, np.hypot(truth.rest_all, truth.family_slide), design.slides)
        values.append(
            chosen_quality(rng, truth, design) + rng.normal(0, truth.seed) + float((slides + noise).mean())
        )
    return values[0] - values[1]


def theory(degrees: float, size: float = 2.0) -> float:
    """Power of a t test at a true difference of `size` standard errors."""
    critical = distributions.t.ppf(0.975, degrees)
    beyond = distributions.nct.sf(critical, degrees, size) + distributions.nct.cdf(-critical, degrees, size)
    return float(beyond)


def binomial(rate: float, count: int) -> str:
    """A rate with its 95 % interval (Clopper and Pearson 1934)."""
    found = distributions.binomtest(round(rate * count), count).proportion_ci()
    return f"{100 * rate:.1f} % ({100 * found.low:.1f} to {100 * found.high:.1f})"


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the rates of equal families, of a planted difference, and of the naive comparison."""
    parser = OneLineParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sweeps", type=int, default=1000)
    parser.add_argument("--seeds", type=int, default=Design.seeds)
    parser.add_argument("--slides", type=int, default=Design.slides)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    truth, design = Truth(), Design(seeds=options.seeds, slides=options.slides)
    error = difference_error(truth, design)
    equal = simulate(options.sweeps, truth, design, 0.0, options.seed)
    planted = simulate(options.sweeps, truth, design, 2 * error, options.seed + 1)
    print(
        f"{options.sweeps} sweeps, {design.trials} trials a family, {design.seeds} seeds x {design.slides} slides"
    )
    print(f"true standard error of a difference: {error:.4f}")
    print(f"equal families called different:        {binomial(equal['different'], options.sweeps)}")
    print(
        f"  by the interval alone, by p alone:    {100 * equal['interval']:.1f} %, {100 * equal['p']:.1f} %"
    )
    print(f"interval of a difference covers:        {binomial(equal['covers'], options.sweeps)}")
    print(f"interval of a family's mean covers:     {binomial(equal['covers_mean'], options.sweeps)}")
    print(f"2 standard errors are found:            {binomial(planted['different'], options.sweeps)}")
    print(
        f"  theory, at {planted['degrees']:.1f} degrees of freedom:   {100 * theory(planted['degrees']):.1f} %"
    )
    print(
        f"naive: equal families more than 0.01 apart, and so a false winner: {binomial(equal['naive'], options.sweeps)}"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
