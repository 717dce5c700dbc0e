"""The studies in the storage: whose they are, and which way is up."""

from __future__ import annotations

from pathlib import Path

import optuna
import pytest
from optuna.samplers import TPESampler
from optuna.storages import BaseStorage, InMemoryStorage
from optuna.trial import TrialState, create_trial

from stclip.errors import ConfigError
from sweeps.results.study_file import study_storage
from sweeps.search.family_search import FamilySearch
from sweeps.search.space import EarlyStopping, SearchSpace
from sweeps.search.studies import sampler, training_seed
from tests.sweeps.searches import FAMILIES, make_space, run

optuna.logging.set_verbosity(optuna.logging.WARNING)


@pytest.fixture
def storage(tmp_path: Path) -> BaseStorage:
    return study_storage(tmp_path / "study.db")


@pytest.mark.parametrize(
    ("space", "seed", "message"),
    [
        (make_space(epochs=4), 2, "started with epochs 3, got 4"),
        (make_space(), 3, "started with seed 2, got 3"),
        (make_space(rule=EarlyStopping(first_rung=1, factor=2)), 2, "started with early_stopping None"),
        (make_space(spatial=FAMILIES["clip"]), 2, "started with parameters"),
        (
            make_space().model_copy(update={"metric": "val/R@5"}),
            2,
            "started with metric val/R@10, got val/R@5",
        ),
        (make_space(lag=4), 2, "started with lag 3, got 4; keep space, epochs, lag and seed of the sweep"),
        (make_space().model_copy(update={"mode": "min"}), 2, "started with mode max, got min"),
    ],
)
def test_a_storage_of_another_sweep_is_refused(
    storage: BaseStorage, space: SearchSpace, seed: int, message: str
) -> None:
    FamilySearch(make_space(), storage, seed=2)
    with pytest.raises(ConfigError, match=message):
        FamilySearch(space, storage, seed)


def test_studies_of_an_older_version_go_on_with_a_lag_and_keep_it(storage: BaseStorage) -> None:
    before = run(FamilySearch(make_space(), storage, seed=2), count=22)
    for name in FAMILIES:
        study = optuna.load_study(study_name=name, storage=storage)
        without = {key: value for key, value in study.user_attrs["sweep"].items() if key != "lag"}
        study.set_user_attr("sweep", without)
    after = run(FamilySearch(make_space(lag=2), storage, seed=2))
    assert len(before) + len(after) == 26
    with pytest.raises(ConfigError, match="started with lag 2, got 3"):
        FamilySearch(make_space(), storage, seed=2)


@pytest.mark.parametrize(("mode", "direction"), [("min", "MINIMIZE"), ("max", "MAXIMIZE")])
def test_the_studies_know_the_mode(mode: str, direction: str) -> None:
    storage = InMemoryStorage()
    FamilySearch(make_space().model_copy(update={"mode": mode}), storage, seed=0)
    assert {s.direction.name for s in optuna.get_all_study_summaries(storage)} == {direction}


X = optuna.distributions.FloatDistribution(0.0, 1.0)


def suggested(of: TPESampler, running: float | None = None) -> float:
    """The next x of a study of nine trials that did the better the nearer they were to 0.8."""
    study = optuna.create_study(direction="maximize", sampler=of)
    tried = [0.05, 0.15, 0.25, 0.35, 0.45, 0.55, 0.78, 0.8, 0.82]
    study.add_trials(
        [create_trial(params={"x": x}, distributions={"x": X}, value=-abs(x - 0.8)) for x in tried]
    )
    if running is not None:
        study.add_trial(create_trial(params={"x": running}, distributions={"x": X}, state=TrialState.RUNNING))
    return study.ask({"x": X}).params["x"]


def test_a_suggestion_follows_from_seed_family_and_number() -> None:
    asked = [(0, "clip", 3), (1, "clip", 3), (0, "spatial", 3), (0, "clip", 4)]
    found = [suggested(sampler(*one)) for one in asked]
    assert len(set(found)) == 4
    assert [suggested(sampler(*one)) for one in asked] == found


def test_every_trial_that_is_asked_for_follows_those_before_it() -> None:
    """The first points are not drawn, so none of these draws is a random start, though the trials are few."""
    assert sum(suggested(sampler(seed, "clip", 9)) > 0.5 for seed in range(20)) == 20


def test_what_runs_now_moves_the_next_suggestion_away() -> None:
    alone = [suggested(sampler(seed, "clip", 9)) for seed in range(20)]
    beside = [suggested(sampler(seed, "clip", 9), running=0.8) for seed in range(20)]
    assert alone != beside


def test_trainings_of_other_sweeps_and_numbers_have_other_seeds() -> None:
    assert len({training_seed(seed, number) for seed in range(10) for number in range(50)}) == 500
