"""What of Optuna is private, or may change: each test says in a sentence what rests on it."""

import optuna
import pytest

from sweeps.results.study_file import study_storage
from tests.sweeps.foreign import found, takes


@pytest.fixture(params=["memory", "file"])
def study(request, tmp_path):
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    store = None if request.param == "memory" else study_storage(tmp_path / "study.db")
    return optuna.create_study(storage=store, direction="maximize")


def test_a_trial_of_optuna_is_opened_again_by_its_id(study):
    rests = "sweeps/search/family_search.py rests on it to go on with a trial that was cut off"
    found("optuna:Trial._suggest", rests)
    asked = study.ask()
    value = asked.suggest_float("a", 0.0, 1.0)
    frozen = study.get_trials(deepcopy=False)[0]
    for one in (asked, frozen):
        assert hasattr(one, "_trial_id"), f"optuna's {type(one).__name__} no longer has _trial_id: {rests}"
    takes(optuna.Trial.__init__, ["study", "trial_id"], rests)
    again = optuna.Trial(study, frozen._trial_id)
    assert again.number == asked.number, f"optuna.Trial(study, id) is another trial: {rests}"
    distribution = optuna.distributions.FloatDistribution(0.0, 1.0)
    assert again._suggest("a", distribution) == value, f"_suggest draws a known parameter anew: {rests}"
    assert 0.0 <= again._suggest("b", distribution) <= 1.0, f"_suggest draws no new parameter: {rests}"
    again.report(0.5, 1)
    assert study.get_trials(deepcopy=False)[0].intermediate_values == {1: 0.5}, rests
    assert again.storage.get_trial(again._trial_id).intermediate_values == {1: 0.5}, rests


def test_a_trial_of_optuna_knows_itself_without_asking_the_file(study):
    rests = "sweeps/search/family_search.py rests on it to make a trial's record"
    trial = study.ask({"a": optuna.distributions.FloatDistribution(0.0, 1.0)})
    assert hasattr(trial, "_cached_frozen_trial"), f"optuna.Trial no longer has _cached_frozen_trial: {rests}"
    trial.set_user_attr("name", "clip-0001")
    trial.report(0.5, 3)
    cached = trial._cached_frozen_trial
    assert cached.user_attrs == {"name": "clip-0001"}, f"it is behind with what was noted: {rests}"
    assert cached.params == trial.params and cached.number == 0, f"it lacks the parameters: {rests}"
    assert study.get_trials(deepcopy=False)[0].last_step == 3, f"last_step is not the newest: {rests}"


def test_optunas_sampler_may_be_another_for_each_trial(study):
    rests = "sweeps/search/family_search.py sets the study's sampler for each trial, so that a resumed sweep draws the same"
    drawn = []
    for _ in range(2):
        study.sampler = optuna.samplers.RandomSampler(seed=3)
        drawn.append(study.ask({"a": optuna.distributions.FloatDistribution(0.0, 1.0)}).params)
    assert drawn[0] == drawn[1], f"a sampler that is set is not used: {rests}"
    takes(
        optuna.samplers.TPESampler, ["seed", "n_startup_trials", "constant_liar"], "sweeps/search/studies.py"
    )


def test_optuna_opens_a_file_without_writing_to_it():
    rests = "sweeps/reporting/search_figures.py rests on it, since a report only reads"
    storage = optuna.storages.RDBStorage
    takes(storage, ["skip_compatibility_check", "skip_table_creation", "engine_kwargs"], rests)
    takes(
        optuna.get_all_study_summaries, ["include_best_trial"], "sweeps/results/records.py reads studies so"
    )
