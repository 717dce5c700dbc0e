"""The search: budgets, order, reproducibility, resuming, and how trials end. No Ray process is started."""

from __future__ import annotations

import math
import random
import threading
from collections import Counter
from pathlib import Path
from statistics import median
from typing import Any

import optuna
import pytest
from optuna.storages import BaseStorage, InMemoryStorage
from ray.tune.search import Searcher

from stclip.errors import ConfigError
from sweeps.parameter import Parameter
from sweeps.records import read_records
from sweeps.search import FamilySearch, training_seed
from sweeps.space import EarlyStopping, Family, SearchSpace
from sweeps.startup import startup_points
from sweeps.study_file import study_storage

optuna.logging.set_verbosity(optuna.logging.WARNING)
METRIC = "val/R@10"
TEMPERATURE = Parameter(type="float", low=0.02, high=0.5, log=True)
FAMILIES = {
    "spatial": Family(
        loss={"name": "spatial"},
        parameters={
            "model.temperature": TEMPERATURE,
            "loss.neighbor_alpha_scale": Parameter(type="float", low=0.0, high=2.0),
            "model.image.name": Parameter(type="choice", values=("stain", "cnn")),
        },
        first=(
            {"model.temperature": 0.07, "loss.neighbor_alpha_scale": 0.5, "model.image.name": "stain"},
            {"model.temperature": 0.07, "loss.neighbor_alpha_scale": 1.5, "model.image.name": "cnn"},
        ),
    ),
    "clip": Family(loss={"name": "clip"}, parameters={"model.temperature": TEMPERATURE}),
}


def make_space(
    trials: int = 13, epochs: int = 3, rule: EarlyStopping | None = None, **families: Family
) -> SearchSpace:
    return SearchSpace(
        name="tiny",
        experiment="sweep_base",
        metric=METRIC,
        mode="max",
        trials=trials,
        epochs=epochs,
        early_stopping=rule,
        families=families or FAMILIES,
    )


def score(params: dict[str, Any], epoch: int) -> float:
    """A smooth objective in (0, 1] that grows with the epochs; best at temperature 0.1."""
    return math.exp(-abs(math.log(params.get("model.temperature", 0.1) / 0.1))) * (1 - 0.5**epoch)


def train(search: FamilySearch, trial_id: str, config: dict[str, Any], epochs: int) -> bool:
    """Report up to `epochs` epochs; True when the search stopped the trial."""
    return any(
        search.report(trial_id, epoch, {METRIC: score(config["params"], epoch), "val/loss": 1.0}, 0.5 * epoch)
        for epoch in range(1, epochs + 1)
    )


def run(search: FamilySearch, count: int = 10**6, epochs: int = 3) -> list[dict[str, Any]]:
    """One trial at a time, until `count` or the end; what was suggested, in order."""
    suggested: list[dict[str, Any]] = []
    while len(suggested) < count:
        trial_id = f"tune-{random.random()}"
        config = search.suggest(trial_id)
        if config == Searcher.FINISHED:
            break
        suggested.append(config)
        train(search, trial_id, config, epochs)
        search.on_trial_complete(trial_id, {"done": True})
    return suggested


@pytest.fixture
def storage(tmp_path: Path) -> BaseStorage:
    return study_storage(tmp_path / "study.db")


def test_every_family_gets_its_budget_in_turn_and_no_more() -> None:
    search = FamilySearch(make_space(trials=4), InMemoryStorage(), seed=0)
    suggested = run(search)
    assert [s["name"] for s in suggested] == [f"{f}-{n:04d}" for n in range(4) for f in FAMILIES]
    assert search.suggest("more") == Searcher.FINISHED
    assert Counter(r.state for r in search.snapshot()) == {"COMPLETE": 8}


def test_published_settings_come_first_then_points_that_spread() -> None:
    search = FamilySearch(make_space(), InMemoryStorage(), seed=0)
    spatial = [s["params"] for s in run(search) if s["family"] == "spatial"]
    assert tuple(spatial[:2]) == FAMILIES["spatial"].first
    spread = spatial[2:10]
    halves = Counter(p["loss.neighbor_alpha_scale"] < 1.0 for p in spread)
    assert halves == {
        True: 4,
        False: 4,
    }  # a Sobol net; independent draws would rarely balance in every coordinate
    assert Counter(p["model.temperature"] < 0.1 for p in spread) == {True: 4, False: 4}
    assert Counter(p["model.image.name"] for p in spread) == {"stain": 4, "cnn": 4}
    assert all(0.02 <= p["model.temperature"] <= 0.5 for p in spatial)


def test_a_small_budget_takes_the_front_of_the_same_points() -> None:
    chosen = FAMILIES["spatial"]
    all_points = startup_points(chosen.parameters, chosen.first, 40, seed=3, family="spatial")
    assert len(all_points) == 10
    for trials in (1, 2, 5):
        assert startup_points(chosen.parameters, chosen.first, trials, 3, "spatial") == all_points[:trials]
    assert startup_points(chosen.parameters, chosen.first, 40, 4, "spatial")[2:] != all_points[2:]
    assert startup_points(chosen.parameters, chosen.first, 40, 3, "other")[2:] != all_points[2:]


def test_the_first_ten_suggestions_do_not_depend_on_completion_order() -> None:
    one_by_one = run(FamilySearch(make_space(trials=10), InMemoryStorage(), seed=5))
    search = FamilySearch(make_space(trials=10), InMemoryStorage(), seed=5)
    waiting: list[tuple[str, dict[str, Any]]] = []
    suggested = []
    for number in range(20):
        config = search.suggest(str(number))
        assert config is not None
        suggested.append(config)
        waiting.append((str(number), config))
        if len(waiting) == 5:
            for trial_id, running in reversed(waiting):
                train(search, trial_id, running, epochs=3)
                search.on_trial_complete(trial_id, {})
            waiting = []
    assert suggested == one_by_one


def test_more_trials_at_once_than_startup_points_still_get_suggestions() -> None:
    search = FamilySearch(make_space(trials=14), InMemoryStorage(), seed=5)
    configs = [search.suggest(str(i)) for i in range(28)]
    assert all(isinstance(config, dict) for config in configs)
    assert search.suggest("28") == Searcher.FINISHED


def test_other_seeds_suggest_otherwise_and_seeds_pair_the_families() -> None:
    first, second = (run(FamilySearch(make_space(), InMemoryStorage(), seed=s)) for s in (0, 1))
    assert all(a["params"] != b["params"] for a, b in zip(first[4:], second[4:], strict=True))
    for config in first:
        assert config["seed"] == training_seed(0, config["number"])
    assert len({config["seed"] for config in first}) == 13


def test_tpe_concentrates_where_the_family_does_well() -> None:
    suggested = run(FamilySearch(make_space(trials=30, clip=FAMILIES["clip"]), InMemoryStorage(), seed=0))
    distance = [abs(math.log(s["params"]["model.temperature"] / 0.1)) for s in suggested]
    assert median(distance[20:]) < 0.5 * median(distance[:10])


def test_a_search_opened_again_goes_on_as_if_never_closed(tmp_path: Path) -> None:
    unbroken = run(FamilySearch(make_space(), InMemoryStorage(), seed=2))
    path = tmp_path / "study.db"
    first = run(FamilySearch(make_space(), study_storage(path), seed=2), count=23)
    second = FamilySearch(make_space(), study_storage(path), seed=2)
    assert second.adopt() == []
    assert first + run(second) == unbroken
    assert len(unbroken) == 26


@pytest.mark.parametrize("cut", [3, 22])  # among the startup points, and among those of TPE
def test_an_interrupted_trial_is_taken_up_first_as_the_same_trial(storage: BaseStorage, cut: int) -> None:
    unbroken = run(FamilySearch(make_space(), InMemoryStorage(), seed=2))
    search = FamilySearch(make_space(), storage, seed=2)
    run(search, count=cut)
    config = search.suggest("cut off")
    assert config is not None
    train(search, "cut off", config, epochs=1)  # the driver is killed here

    again = FamilySearch(make_space(), storage, seed=2)
    assert [r.name for r in again.adopt()] == [config["name"]]
    rest = run(again)
    assert rest[0].pop("epochs") == 1 and config.pop("epochs") == unbroken[cut].pop("epochs") == 0
    assert rest[0] == config and rest == unbroken[cut:]
    assert Counter(r.state for r in again.snapshot()) == {"COMPLETE": 26}
    assert (
        next(r for r in again.snapshot() if r.name == config["name"]).seconds == 0.5 + 1.5
    )  # both runs' time


def test_many_interrupted_trials_come_back_in_order(storage: BaseStorage) -> None:
    search = FamilySearch(make_space(), storage, seed=2)
    cut = [search.suggest(str(i)) for i in range(5)]
    search.interrupt("0")
    search.on_trial_complete("1")  # Tune took it back before it ran
    again = FamilySearch(make_space(), storage, seed=2)
    assert [r.state for r in again.adopt()] == ["RUNNING"] * 5
    assert [again.suggest(f"again-{i}") for i in range(5)] == cut


@pytest.mark.parametrize("kept", [0, 1, 2])
def test_a_kill_in_the_middle_of_a_suggestion_changes_nothing(
    storage: BaseStorage, kept: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    unbroken = run(FamilySearch(make_space(), InMemoryStorage(), seed=2))
    search = FamilySearch(make_space(), storage, seed=2)
    run(search, count=22)
    real, calls = optuna.Trial._suggest, []

    def killed(self: optuna.Trial, name: str, distribution: Any) -> Any:
        calls.append(name)
        if len(calls) > kept:
            raise KeyboardInterrupt
        return real(self, name, distribution)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(optuna.Trial, "_suggest", killed)
        search.suggest("killed")
    again = FamilySearch(make_space(), storage, seed=2)
    again.adopt()
    assert run(again) == unbroken[22:]


def test_a_kill_between_queueing_a_first_point_and_asking_for_it_changes_nothing(
    storage: BaseStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    unbroken = run(FamilySearch(make_space(), InMemoryStorage(), seed=2), count=12)
    search = FamilySearch(make_space(), storage, seed=2)
    run(search, count=3)

    def killed(self: optuna.Study, *args: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(optuna.Study, "ask", killed)
        search.suggest("killed")
    again = FamilySearch(make_space(), storage, seed=2)
    again.adopt()
    assert run(again, count=9) == unbroken[3:]


def test_a_trial_cut_off_after_its_last_epoch_is_complete(storage: BaseStorage) -> None:
    search = FamilySearch(make_space(), storage, seed=2)
    config = search.suggest("a")
    assert config is not None
    train(search, "a", config, epochs=3)
    again = FamilySearch(make_space(), storage, seed=2)
    assert again.adopt() == []
    (record,) = again.snapshot()
    assert (record.state, record.epochs) == ("COMPLETE", 3)
    assert read_records(storage, ["spatial"]) == [record]


def test_a_repeated_epoch_of_a_resumed_trial_is_accepted(storage: BaseStorage) -> None:
    search = FamilySearch(make_space(), storage, seed=2)
    config = search.suggest("a")
    assert config is not None
    train(search, "a", config, epochs=2)
    again = FamilySearch(make_space(), storage, seed=2)
    again.adopt()
    assert run(again, count=1)[0] == {**config, "epochs": 2}  # from its first epoch
    assert again.snapshot()[0].state == "COMPLETE"


def test_a_larger_budget_keeps_what_is_there(storage: BaseStorage) -> None:
    first = run(FamilySearch(make_space(trials=3), storage, seed=2))
    rest = run(FamilySearch(make_space(trials=12), storage, seed=2))
    assert first + rest == run(FamilySearch(make_space(trials=12), InMemoryStorage(), seed=2))


@pytest.mark.parametrize(
    ("space", "seed", "message"),
    [
        (make_space(epochs=4), 2, "started with epochs 3, got 4"),
        (make_space(), 3, "started with seed 2, got 3"),
        (make_space(rule=EarlyStopping(first_rung=1, factor=2)), 2, "started with early_stopping None"),
        (make_space(spatial=FAMILIES["clip"]), 2, "started with parameters"),
    ],
)
def test_a_storage_of_another_sweep_is_refused(
    storage: BaseStorage, space: SearchSpace, seed: int, message: str
) -> None:
    FamilySearch(make_space(), storage, seed=2)
    with pytest.raises(ConfigError, match=message):
        FamilySearch(space, storage, seed)


@pytest.mark.parametrize(
    ("metrics", "reason"),
    [
        ({METRIC: math.nan}, "val/R@10 is nan after epoch 2"),
        ({METRIC: -math.inf, "val/loss": 1.0}, "val/R@10 is -inf after epoch 2"),
        ({"val/loss": 1.0}, "val/R@10 is missing after epoch 2"),
    ],
)
def test_a_metric_that_is_no_number_fails_the_trial_at_once(
    storage: BaseStorage, metrics: dict[str, float], reason: str
) -> None:
    search = FamilySearch(make_space(), storage, seed=0)
    search.suggest("a")
    assert search.report("a", 1, {METRIC: 0.5}) is False
    assert search.report("a", 2, metrics) is True
    search.on_trial_complete("a", dict(metrics))  # what Tune says after STOP
    (record,) = read_records(storage, ["spatial"])
    assert (record.state, record.error) == ("FAIL", reason)
    assert all(math.isfinite(value) for value in record.metrics.values())
    assert search.snapshot() == [record]


def test_the_ends_of_a_trial() -> None:
    space = make_space()
    search = FamilySearch(space, InMemoryStorage(), seed=0)
    for name in ("error", "noted", "short", "silent", "told", "done"):
        search.suggest(name)
    search.on_trial_complete("error", error=True)
    search.note("noted", "CUDA out of memory")
    search.on_trial_complete("noted", error=True)
    search.report("short", 1, {METRIC: 0.5})
    search.on_trial_complete("short", {METRIC: 0.5})
    search.on_trial_complete("silent", {"done": True})
    search.fail("told", "ValueError:\n  broken\n")
    search.on_trial_complete("told", {"done": True})
    for epoch in (1, 2, 3):
        search.report("done", epoch, {METRIC: 0.1 * epoch, "val/loss": 3.0})
    search.on_trial_complete("done", {"done": True})
    search.on_trial_complete("never seen", error=True)
    assert search.report("never seen", 1, {METRIC: 1.0}) is True
    assert [(r.state, r.error) for r in search.snapshot()] == [
        ("FAIL", "the trial's process died or raised; see error.txt in its folder"),
        ("FAIL", "CUDA out of memory"),
        ("FAIL", "ended after 1 of 3 epochs without an error"),
        ("FAIL", "ended after 0 of 3 epochs without an error"),
        ("FAIL", "ValueError: broken"),
        ("COMPLETE", None),
    ]
    assert search.snapshot()[-1].metrics == {METRIC: pytest.approx(0.3), "val/loss": 3.0}


def test_failed_trials_count_and_do_not_stop_the_search() -> None:
    search = FamilySearch(make_space(), InMemoryStorage(), seed=0)
    for number in range(26):
        assert isinstance(search.suggest(str(number)), dict)
        search.on_trial_complete(str(number), error=True)
    assert search.suggest("more") == Searcher.FINISHED


def test_a_family_of_one_point_differs_by_seed_only(storage: BaseStorage) -> None:
    space = make_space(trials=12, point=Family(loss={"name": "clip"}))
    suggested = run(FamilySearch(space, storage, seed=0))
    assert [s["params"] for s in suggested] == [{}] * 12
    assert len({s["seed"] for s in suggested}) == 12


@pytest.mark.parametrize(("mode", "direction"), [("min", "MINIMIZE"), ("max", "MAXIMIZE")])
def test_the_studies_know_the_mode(mode: str, direction: str) -> None:
    storage = InMemoryStorage()
    FamilySearch(make_space().model_copy(update={"mode": mode}), storage, seed=0)
    assert {s.direction.name for s in optuna.get_all_study_summaries(storage)} == {direction}


def test_snapshot_and_studies_can_be_read_from_another_thread_meanwhile(storage: BaseStorage) -> None:
    search = FamilySearch(make_space(trials=6), storage, seed=0)
    stop, seen, errors = threading.Event(), [], []

    def look() -> None:
        while not stop.is_set():
            try:
                seen.append(len(search.snapshot()))
                read_records(storage, FAMILIES)
            except Exception as error:
                errors.append(error)

    watcher = threading.Thread(target=look)
    watcher.start()
    run(search)
    stop.set()
    watcher.join()
    assert not errors and seen == sorted(seen) and seen[-1] > 0
    key = {name: i for i, name in enumerate(FAMILIES)}
    assert sorted(search.snapshot(), key=lambda r: (key[r.family], r.number)) == read_records(
        storage, FAMILIES
    )


def test_tune_can_pickle_the_search(storage: BaseStorage) -> None:
    from ray import cloudpickle  # Tuner writes its configuration, searcher included, before it starts

    search = FamilySearch(make_space(), storage, seed=0)
    search.suggest("a")
    assert (
        vars(cloudpickle.loads(cloudpickle.dumps(search))) == {}
    )  # nothing that could be taken for the record
    assert search.metric is None  # see FamilyEarlyStopping
