"""Where the rungs of early stopping lie in a training: which are of use, and how they follow `--epochs`.

A decision late in a training saves nothing that counts: the trial has had most of its epochs, and stopped there it can win
nothing. So the last rung may lie at three quarters of a training at most. Then a trial that is stopped saves a quarter of
its epochs or more, and every `factor` still has a place for its last rung: it lies between `epochs / factor` and `epochs`.

A rung is a place in the whole training, since the learning rate falls over the whole training: epoch 4 of 12 and epoch 4 of
40 are not the same stage. With `--epochs`, the rungs of a space so keep their share of the training.
"""

from __future__ import annotations

from fractions import Fraction

LAST_SHARE = Fraction(3, 4)  # of a training, at which the last rung may lie


def rungs_before_the_end(first_rung: int, factor: int, epochs: int) -> list[int]:
    """The rungs at which something is decided: `first_rung · factor^i` below `epochs`; at the end nothing is stopped."""
    found, rung = [], first_rung
    while rung < epochs:
        found.append(rung)
        rung *= factor
    return found


def is_of_use(first_rung: int, factor: int, epochs: int) -> bool:
    """Does the last rung leave a quarter of the training? True where there is no rung before the end."""
    rungs = rungs_before_the_end(first_rung, factor, epochs)
    return not rungs or rungs[-1] <= LAST_SHARE * epochs


def what_is_wrong(first_rung: int, factor: int, epochs: int) -> str | None:
    """Rule, value and way out for rungs of which the last comes too late; None for rungs that are of use."""
    if is_of_use(first_rung, factor, epochs):
        return None
    last = rungs_before_the_end(first_rung, factor, epochs)[-1]
    first = nearest_first_rung(Fraction(first_rung), factor, epochs)
    other = _nearest_epochs(first_rung, factor, epochs)
    return (
        f"the last rung of early stopping must lie at {LAST_SHARE} of `epochs` or before, got rung {last} of {epochs} epochs "
        f"(first_rung {first_rung}, factor {factor}): a trial that is stopped there saves next to nothing; "
        f"write first_rung: {first} or epochs: {other}"
    )


def moved_first_rung(first_rung: int, factor: int, epochs: int, new_epochs: int) -> int:
    """The `first_rung` for another number of epochs: at the same share of the training, or as near as is of use."""
    if epochs == new_epochs:
        return first_rung
    return nearest_first_rung(Fraction(first_rung * new_epochs, epochs), factor, new_epochs)


def nearest_first_rung(wanted: Fraction, factor: int, epochs: int) -> int:
    """The whole number nearest to `wanted`, of two as near the larger, with which all rungs are of use.

    A rule that stops trials goes on doing so: its first rung stays before the end.
    """
    if wanted >= epochs:
        return int(wanted)
    fine = (rung for rung in range(1, max(2, epochs)) if is_of_use(rung, factor, epochs))
    return min(fine, key=lambda rung: (abs(rung - wanted), -rung))


def _nearest_epochs(first_rung: int, factor: int, epochs: int) -> int:
    """The number of epochs nearest to `epochs`, of two as near the larger, for which these rungs are of use."""
    near = range(epochs - epochs // 2, 2 * epochs)
    fine = (count for count in near if is_of_use(first_rung, factor, count))
    return min(fine, key=lambda count: (abs(count - epochs), -count))
