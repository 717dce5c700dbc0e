"""The rungs at which a family's trials are compared: asynchronous successive halving, kept in the family's study.

Li et al. 2020, "A System for Massively Parallel Hyperparameter Tuning". Optuna's pruner keeps a trial's value at each
rung in the trial itself, so that the rungs of a resumed sweep are those of the sweep before. It compares trials of one
study, so of one family.
"""

from __future__ import annotations

from optuna.pruners import BasePruner, NopPruner, SuccessiveHalvingPruner

from sweeps.space import EarlyStopping


def halving_pruner(rule: EarlyStopping | None) -> BasePruner:
    """Rungs at `first_rung · factor^i` epochs; None never prunes.

    A trial passes a rung when it is among the best 1/factor of the family's trials that have reached it so
    far, or the best while fewer than `factor` have.
    """
    if rule is None:
        return NopPruner()
    # The pruner's step is our epoch, counted from 1. `bootstrap_count` stays 0: it stops the first trials
    # at a rung, it does not spare them.
    return SuccessiveHalvingPruner(min_resource=rule.first_rung, reduction_factor=rule.factor)
