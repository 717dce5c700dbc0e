"""The rungs at which a family's trials are compared: asynchronous successive halving on the family's study.

Li et al. 2020, "A System for Massively Parallel Hyperparameter Tuning". The rule is Optuna's `SuccessiveHalvingPruner`
(the tests compare the two), but it remembers nothing: a decision follows from the values that the study holds, so one
that a kill cut off is made again, the same, and the rungs of a resumed sweep are those of the sweep before.
"""

from __future__ import annotations

from optuna import Study
from optuna.pruners import BasePruner, NopPruner
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial

from sweeps.space import EarlyStopping


def halving_pruner(rule: EarlyStopping | None) -> BasePruner:
    """Rungs at `first_rung · factor^i` epochs; None never prunes.

    A trial passes a rung when it is among the best 1/factor of the family's trials that have reached it so
    far, or the best while fewer than `factor` have.
    """
    return NopPruner() if rule is None else FamilyHalving(rule)


class FamilyHalving(BasePruner):
    """Optuna hook. A pruner's step is our epoch, counted from 1; trials of one study are those of one family."""

    def __init__(self, rule: EarlyStopping) -> None:
        self._rule = rule

    def prune(self, study: Study, trial: FrozenTrial) -> bool:
        """Is the trial's newest epoch a rung that it does not pass?"""
        epoch = trial.last_step
        if epoch is None or not is_rung(epoch, self._rule):
            return False
        reached = [
            t.intermediate_values[epoch]
            for t in study.get_trials(deepcopy=False)
            if epoch in t.intermediate_values
        ]
        best_first = sorted(reached, reverse=study.direction == StudyDirection.MAXIMIZE)
        last_to_pass = best_first[max(1, len(reached) // self._rule.factor) - 1]
        value = trial.intermediate_values[epoch]
        if study.direction == StudyDirection.MAXIMIZE:
            return value < last_to_pass
        return value > last_to_pass


def is_rung(epoch: int, rule: EarlyStopping) -> bool:
    """Is `epoch` one of `first_rung · factor^i`?"""
    rung = rule.first_rung
    while rung < epoch:
        rung *= rule.factor
    return rung == epoch
