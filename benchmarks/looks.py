"""How often do equal families end up called different, when somebody looks again and again?

    python benchmarks/looks.py                    # 2,000 persons of each kind, up to 10 looks, a few minutes
    python benchmarks/looks.py --persons 200

A simulated person reads the test slides, and goes on until the verdict is "different" or ten looks are over. Two kinds:
one adds three seeds a look to the same winners, the other adds trials until both families have new winners. The families are
equal, so every "different" is wrong. Told without any correction, and with that of `sweeps.analysis.looks`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from typing import Literal

import numpy as np
from scipy import stats as distributions

from benchmarks.calibration import Design, Truth
from stclip.terminal.parser import OneLineParser
from sweeps.analysis.looks import LEVEL, looks_factor, looks_level
from sweeps.analysis.stats import estimate, p_value, sampling_part

Kind = Literal["seeds", "trials"]
SLIDES = 10  # of test
KINDS: dict[Kind, str] = {"seeds": "three more seeds a look", "trials": "new winners at each look"}


def differences(
    rng: np.random.Generator, truth: Truth, design: Design, kind: Kind, looks: int
) -> Iterator[np.ndarray]:
    """The table [seeds, slides] of differences between two equal families at each look, paired by seed and slide."""
    pair = np.sqrt(2)

    def winners() -> np.ndarray:
        return rng.normal(0, pair * truth.family_slide, (1, SLIDES))

    def trainings() -> np.ndarray:
        alike = rng.normal(0, pair * truth.seed, (design.seeds, 1))
        return alike + rng.normal(0, pair * truth.rest, (design.seeds, SLIDES))

    chosen, read = winners(), trainings()
    for _ in range(looks):
        yield chosen + read
        if kind == "seeds":
            read = np.vstack([read, trainings()])
        else:
            chosen, read = winners(), trainings()


def is_different(table: np.ndarray, look: int) -> bool:
    """What the verdict of this look would say: p times its factor below 5 %, and its interval without 0."""
    part, mean = sampling_part(table, np.arange(table.shape[1])), float(table.mean())
    found, p = estimate(mean, part, looks_level(look)), p_value(mean, part)
    assert found.low is not None and found.high is not None and p is not None
    return (found.low > 0 or found.high < 0) and p * looks_factor(look) < LEVEL


def simulate(persons: int, kind: Kind, looks: int, seed: int) -> dict[str, list[float]]:
    """Share of persons who have been told "different" by each look: `plain` without a correction, `corrected` with it."""
    rng = np.random.default_rng(seed)
    first = {"plain": np.full(persons, looks), "corrected": np.full(persons, looks)}
    for person in range(persons):
        for look, table in enumerate(differences(rng, Truth(), Design(), kind, looks)):
            for rule, as_look in (("plain", 1), ("corrected", look + 1)):
                if first[rule][person] == looks and is_different(table, as_look):
                    first[rule][person] = look
    return {rule: [float((at <= look).mean()) for look in range(looks)] for rule, at in first.items()}


def binomial(rate: float, count: int) -> str:
    """A rate with its 95 % interval (Clopper and Pearson 1934)."""
    found = distributions.binomtest(round(rate * count), count).proportion_ci()
    return f"{100 * rate:.1f} % ({100 * found.low:.1f} to {100 * found.high:.1f})"


def main(arguments: Sequence[str] | None = None) -> int:
    """Print how many are told "different" at the first look, and by the last one."""
    parser = OneLineParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--persons", type=int, default=2000)
    parser.add_argument("--looks", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    print(f"{options.persons} persons, equal families, up to {options.looks} looks; told 'different':")
    for kind, words in KINDS.items():
        found = simulate(options.persons, kind, options.looks, options.seed)
        print(f"{words}: at the first look {binomial(found['plain'][0], options.persons)}")
        print(f"  by the last, without a correction:  {binomial(found['plain'][-1], options.persons)}")
        print(f"  by the last, p corrected for looks: {binomial(found['corrected'][-1], options.persons)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
