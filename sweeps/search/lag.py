"""The lag of a search: trial n of a family knows the trials up to n - lag, ended, and nothing of what came of the later ones.

Which of several trials ends first depends on the machine. Whatever is decided about a trial therefore rests on a part of its
family's history that is the same on every machine: trial n waits until all trials up to n - lag have ended, and takes those
after them for running, also where they have ended already.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from sweeps.search.first_points import STARTUP_TRIALS
from sweeps.search.space import SearchSpace

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial


def known_trials(number: int, lag: int) -> int:
    """How many of a family's first trials trial `number` knows the ends of."""
    return max(0, number - lag + 1)


def seen_history(trials: Sequence[FrozenTrial], lag: int) -> list[FrozenTrial]:
    """A family's trials as the next one sees them.

    Args:
        trials: all there are, by number.
        lag: of the search.

    Returns:
        As many trials: first those whose end is known, as they are, then the others as RUNNING, with parameters and
        without values. A trial that has not ended is RUNNING too, which only a sweep of an older version has among the first.
    """
    from optuna.trial import TrialState, create_trial

    known = known_trials(len(trials), lag)
    return [
        trial
        if trial.number < known and trial.state.is_finished()
        else create_trial(state=TrialState.RUNNING, params=trial.params, distributions=trial.distributions)
        for trial in trials
    ]


def busy_at_most(space: SearchSpace) -> int:
    """How many trials a search keeps running at once, however many there is room for."""
    free = space.early_stopping is None and space.trials <= STARTUP_TRIALS  # no trial waits for another
    return len(space.families) * space.searches * (space.trials if free else min(space.lag, space.trials))
