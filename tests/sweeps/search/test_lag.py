"""What a trial knows of its family, and how many trials a search keeps busy."""

import pytest
from optuna.distributions import FloatDistribution
from optuna.storages import InMemoryStorage
from optuna.trial import TrialState, create_trial

from sweeps.results.records import Chosen
from sweeps.search.confirm_search import ConfirmSearch
from sweeps.search.lag import busy_at_most, known_trials, seen_history
from sweeps.search.space import EarlyStopping
from tests.sweeps.made_up import record
from tests.sweeps.searches import FAMILIES, make_space

X = FloatDistribution(0.0, 1.0)
RULE = EarlyStopping(first_rung=1, factor=2)


def test_a_trial_knows_the_trials_from_the_first_to_lag_before_it():
    assert [known_trials(number, lag=1) for number in range(4)] == [0, 1, 2, 3]
    assert [known_trials(number, lag=3) for number in range(5)] == [0, 0, 0, 1, 2]


def family(*states):
    trials = []
    for number, state in enumerate(states):
        value = 0.5 if state == TrialState.COMPLETE else None
        trial = create_trial(state=state, value=value, params={"x": number / 10}, distributions={"x": X},
                             intermediate_values={1: 0.5})  # fmt: skip
        trial.number = number
        trials.append(trial)
    return trials


def test_later_trials_are_running_whether_they_have_ended_or_not():
    trials = family(
        TrialState.COMPLETE, TrialState.FAIL, TrialState.PRUNED, TrialState.COMPLETE, TrialState.RUNNING
    )
    seen = seen_history(trials, lag=3)  # as trial 5 sees them
    assert seen[:3] == trials[:3]
    assert [(one.state.name, one.params, one.values, one.intermediate_values) for one in seen[3:]] == [
        ("RUNNING", {"x": 0.3}, None, {}),
        ("RUNNING", {"x": 0.4}, None, {}),
    ]


def test_an_early_trial_that_still_runs_has_no_values_yet():
    """An older version began trials without waiting for it."""
    seen = seen_history(family(TrialState.RUNNING, TrialState.COMPLETE, TrialState.COMPLETE), lag=1)
    assert [(one.state.name, one.intermediate_values) for one in seen] == [
        ("RUNNING", {}),
        ("COMPLETE", {1: 0.5}),
        ("COMPLETE", {1: 0.5}),
    ]


@pytest.mark.parametrize(
    ("space", "most"),
    [
        (make_space(trials=20, rule=RULE, lag=4), 8),
        (make_space(trials=20, lag=4), 8),
        (make_space(trials=20, lag=4, clip=FAMILIES["clip"]), 4),
        (make_space(trials=3, rule=RULE, lag=4), 6),
        (make_space(trials=10, lag=4), 20),  # startup points only, and no rungs: none waits for another
    ],
)
def test_families_times_lag_are_kept_busy(space, most):
    assert busy_at_most(space) == most


def test_the_trainings_of_a_confirmation_wait_for_no_other():
    winners = {family: [Chosen(record(family, 1), 1.0)] for family in FAMILIES}
    search = ConfirmSearch(make_space(rule=RULE, lag=1), winners, 5, InMemoryStorage(), seed=0)
    names = [search.suggest(str(number))["name"] for number in range(10)]
    assert names == [f"{family}-0001-confirm-{seed}" for seed in range(5) for family in FAMILIES]
