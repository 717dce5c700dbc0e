"""The studies in the storage: whose they are, and which way is up."""

from __future__ import annotations

from pathlib import Path

import optuna
import pytest
from optuna.storages import BaseStorage, InMemoryStorage

from stclip.errors import ConfigError
from sweeps.search import FamilySearch
from sweeps.space import EarlyStopping, SearchSpace
from sweeps.study_file import study_storage
from tests.sweeps.searches import FAMILIES, make_space

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
        (make_space().model_copy(update={"mode": "min"}), 2, "started with mode max, got min"),
    ],
)
def test_a_storage_of_another_sweep_is_refused(
    storage: BaseStorage, space: SearchSpace, seed: int, message: str
) -> None:
    FamilySearch(make_space(), storage, seed=2)
    with pytest.raises(ConfigError, match=message):
        FamilySearch(space, storage, seed)


@pytest.mark.parametrize(("mode", "direction"), [("min", "MINIMIZE"), ("max", "MAXIMIZE")])
def test_the_studies_know_the_mode(mode: str, direction: str) -> None:
    storage = InMemoryStorage()
    FamilySearch(make_space().model_copy(update={"mode": mode}), storage, seed=0)
    assert {s.direction.name for s in optuna.get_all_study_summaries(storage)} == {direction}
