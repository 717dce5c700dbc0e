"""A trial of a family's study: asked for, and after a kill asked for again, or ended as it would have been."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.storages import InMemoryStorage
from optuna.trial import FrozenTrial, TrialState

from sweeps.results.records import TrialRecord
from sweeps.search.lag import seen_history
from sweeps.search.parameter import Scalar
from sweeps.search.space import SearchSpace
from sweeps.search.studies import sampler


def ask_next(
    study: optuna.Study, space: SearchSpace, family: str, startup: Sequence[Mapping[str, Scalar]], seed: int
) -> optuna.Trial:
    """The family's next trial: a point of `startup` while there are some, then what TPE asks for.

    Its parameters are in the study before it is. So a kill at any moment leaves nothing, or a trial that waits with
    them, or one that lacks some which `ask_again` finds there.
    """
    trials = study.get_trials(deepcopy=False)
    if all(trial.state != TrialState.WAITING for trial in trials):
        number = len(trials)
        point = (
            dict(startup[number])
            if number < len(startup)
            else next_point(
                seen_history(trials, space.lag),
                sampler(seed, family, number),
                study,
                space.distributions(family),
            )
        )
        study.enqueue_trial(point)
    return study.ask(space.distributions(family))


def ask_again(study: optuna.Study, space: SearchSpace, family: str, number: int) -> optuna.Trial:
    """A trial that a kill has cut off, once more, as the same trial."""
    trial = optuna.Trial(study, study.get_trials(deepcopy=False)[number]._trial_id)
    for key, distribution in space.distributions(family).items():
        trial._suggest(key, distribution)
    return trial


def end_cut_off(
    trial: optuna.Trial, record: TrialRecord, epochs: int, lacking: str | None
) -> tuple[TrialState, float | None] | None:
    """The end that a kill kept from being told; None for a trial that has to go on.

    Args:
        trial: that the study says is running.
        record: of it.
        epochs: of a whole training.
        lacking: what it lacks to be COMPLETE once it has ended (`FamilySearch._lacks`).
    """
    if record.error is not None:
        return TrialState.FAIL, None
    values = trial.storage.get_trial(trial._trial_id).intermediate_values
    if epochs in values and lacking is None:
        return TrialState.COMPLETE, values[epochs]
    if epochs not in values and trial.should_prune():
        return TrialState.PRUNED, None
    return None


def next_point(
    seen: Sequence[FrozenTrial],
    sampler: BaseSampler,
    study: optuna.Study,
    distributions: Mapping[str, BaseDistribution],
) -> dict[str, Any]:
    """The parameters that a sampler asks for after the trials that are `seen`.

    It is asked on a copy in memory: the study itself knows more, by then, than the trial may rest on.
    """
    copy = optuna.create_study(storage=InMemoryStorage(), sampler=sampler, direction=study.direction)
    copy.add_trials(seen)
    return copy.ask(dict(distributions)).params
