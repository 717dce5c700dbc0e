"""The rungs at which a family's trials are compared: successive halving on the family's study, with a lag (`sweeps.search.lag`).

Li et al. 2020, "A System for Massively Parallel Hyperparameter Tuning". With trials one after another and a lag of 1 the
rule is Optuna's `SuccessiveHalvingPruner` (the tests compare the two), but it remembers nothing: a decision follows from
the values that the study holds, so one that a kill cut off is made again, the same, and the rungs of a resumed sweep are
those of the sweep before. It follows from trials that had ended before the trial began, so the order of ends is nothing to it.
"""

from __future__ import annotations

from optuna import Study
from optuna.pruners import BasePruner, NopPruner
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial

from sweeps.search.lag import known_trials
from sweeps.search.space import EarlyStopping


def halving_pruner(rule: EarlyStopping | None, lag: int) -> BasePruner:
    """Rungs at `first_rung · factor^i` epochs; None never prunes.

    A trial is compared with those of its family that it knows (`lag` or more before it) and that have reached the rung.
    It passes when it is among the best 1/factor of them and itself, or the best of fewer than `factor`.
    """
    return NopPruner() if rule is None else FamilyHalving(rule, lag)


class FamilyHalving(BasePruner):
    """Optuna hook. A pruner's step is our epoch, counted from 1; trials of one study are those of one family."""

    def __init__(self, rule: EarlyStopping, lag: int) -> None:
        self._rule = rule
        self._lag = lag

    def prune(self, study: Study, trial: FrozenTrial) -> bool:
        """Is the trial's newest epoch a rung that it does not pass?"""
        epoch = trial.last_step
        if epoch is None or not is_rung(epoch, self._rule):
            return False
        value = trial.intermediate_values[epoch]
        known = study.get_trials(deepcopy=False)[: known_trials(trial.number, self._lag)]
        reached = [value, *(t.intermediate_values[epoch] for t in known if epoch in t.intermediate_values)]
        best_first = sorted(reached, reverse=study.direction == StudyDirection.MAXIMIZE)
        last_to_pass = best_first[max(1, len(reached) // self._rule.factor) - 1]
        if study.direction == StudyDirection.MAXIMIZE:
            return value < last_to_pass
        return value > last_to_pass


def is_rung(epoch: int, rule: EarlyStopping) -> bool:
    """Is `epoch` one of `first_rung · factor^i`?"""
    rung = rule.first_rung
    while rung < epoch:
        rung *= rule.factor
    return rung == epoch
