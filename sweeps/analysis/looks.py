"""What another look at the test slides costs: the rule by which p-values and intervals count the looks.

A person may go on after any look (more trials, more seeds, which read the test slides again) and stop at the first one
that shows a difference. How many looks there will be is not known at any of them. Holm's correction over the looks made so
far would not do: the first verdict would be made at the full level, and each later one would get a share of the same level
once more. So each look has a share of its own, fixed beforehand (alpha spending, after Lan and DeMets 1983): look k may be
wrong in LEVEL / looks_factor(k) of sweeps with equal families.

    look             1      2      3      4      5    ...
    factor           1     10     20     40     80    ...
    share of wrong   5 %    0.5    0.25   0.125  ...      all looks after the first: 1 %

The first look keeps the whole 5 %: a sweep that is read once is not punished for what it does not do. All later looks
share 1 %, half of what is left each. So whoever stops at the first look is wrong in 5 % at most, and whoever goes on for
as long as they like in 6 % at most. This bound adds the shares up, so it holds however the looks depend on one another.
`benchmarks/looks.py` measures the rates.
"""

from __future__ import annotations

from collections.abc import Sequence

LEVEL = 0.05  # how often equal families may be called different at the first look
_SECOND = 10.0  # the second look's factor; it doubles at each look after that


def looks_factor(look: int) -> float:
    """What the p-values of this look at the test slides (1 for the first) are multiplied by.

    Raises ValueError for a look below 1.
    """
    if look < 1:
        raise ValueError(f"look must be 1 or more, got {look}")
    return 1.0 if look == 1 else _SECOND * 2.0 ** (look - 2)


def looks_level(look: int) -> float:
    """The level of the intervals of this look's differences: 0.95, then 0.995, ...

    Such an interval leaves out 0 where p times the factor is below LEVEL, so the two say the same.
    """
    return 1 - LEVEL / looks_factor(look)


def corrected_for_looks(p_values: Sequence[float | None], look: int) -> list[float | None]:
    """p-values of this look times its factor, 1 at most; None stays None. Before Holm's correction over pairs."""
    factor = looks_factor(look)
    return [None if p is None else min(1.0, factor * p) for p in p_values]
