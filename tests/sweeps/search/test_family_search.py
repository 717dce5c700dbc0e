"""The search: budgets, order, reproducibility, and how trials end. No Ray process is started."""

from __future__ import annotations

import math
import threading
from collections import Counter
from pathlib import Path
from statistics import median
from typing import Any

import optuna
import pytest
from optuna.storages import BaseStorage, InMemoryStorage
from ray.tune.search import Searcher

from sweeps.results.records import read_records
from sweeps.results.study_file import study_storage
from sweeps.search.family_search import FamilySearch
from sweeps.search.first_points import startup_points
from sweeps.search.space import Family
from sweeps.search.studies import training_seed
from tests.sweeps.searches import FAMILIES, METRIC, make_space, run, train

optuna.logging.set_verbosity(optuna.logging.WARNING)


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
    # A Sobol net; independent draws would rarely balance in every coordinate.
    assert halves == {
        True: 4,
        False: 4,
    }
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


def test_where_nothing_is_stopped_early_only_the_startup_points_wait_for_no_trial() -> None:
    search = FamilySearch(make_space(trials=14, lag=2), InMemoryStorage(), seed=5)
    configs = [search.suggest(str(i)) for i in range(20)]
    assert Counter(config["family"] for config in configs) == {"spatial": 10, "clip": 10}
    assert search.suggest("20") is None
    for number, config in enumerate(configs[:16]):  # of each family the first eight
        train(search, str(number), config, epochs=3)
        search.on_trial_complete(str(number), {})
    assert search.suggest("21") is None  # number 10 of a family is to know number 8
    train(search, "17", configs[17], epochs=3)
    search.on_trial_complete("17", {})
    assert search.suggest("22")["name"] == "clip-0010"
    train(search, "16", configs[16], epochs=3)
    search.on_trial_complete("16", {})
    found = [search.suggest(str(i)) for i in range(23, 26)]
    assert [config and config["name"] for config in found] == ["spatial-0010", None, None]


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


def test_the_other_metrics_of_such_an_epoch_are_kept() -> None:
    search = FamilySearch(make_space(), InMemoryStorage(), seed=0)
    search.suggest("a")
    search.report("a", 1, {METRIC: math.nan, "val/loss": 1.0}, seconds=2.0)
    (record,) = search.snapshot()
    assert (record.metrics, record.seconds, record.epochs) == ({"val/loss": 1.0}, 2.0, 0)


def test_of_an_epoch_that_is_repeated_only_the_time_counts() -> None:
    search = FamilySearch(make_space(), InMemoryStorage(), seed=0)
    search.suggest("a")
    search.report("a", 1, {METRIC: 0.5}, seconds=2.0)
    assert search.report("a", 1, {METRIC: 0.9}, seconds=5.0) is False
    assert search.report("a", 1, {METRIC: math.nan}, seconds=6.0) is False
    (record,) = search.snapshot()
    assert (record.metrics, record.seconds, record.state) == ({METRIC: 0.5}, 6.0, "RUNNING")


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


def test_a_long_reason_is_cut_to_500_characters() -> None:
    search = FamilySearch(make_space(), InMemoryStorage(), seed=0)
    search.suggest("a")
    search.fail("a", "x" * 600)
    assert search.snapshot()[0].error == "x" * 500


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


def test_snapshot_and_studies_can_be_read_from_another_thread_meanwhile(storage: BaseStorage) -> None:
    search = FamilySearch(make_space(trials=6), storage, seed=0)
    stop, seen, errors = threading.Event(), [], []

    def look() -> None:
        over = False
        while not over:
            over = stop.is_set()  # one look more afterwards, which sees all of them
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
    assert not errors and seen == sorted(seen) and seen[-1] == 12
    key = {name: i for i, name in enumerate(FAMILIES)}
    assert sorted(search.snapshot(), key=lambda r: (key[r.family], r.number)) == read_records(
        storage, FAMILIES
    )


def test_tune_can_pickle_the_search(storage: BaseStorage) -> None:
    from ray import cloudpickle  # Tuner writes its configuration, searcher included, before it starts

    search = FamilySearch(make_space(), storage, seed=0)
    search.suggest("a")
    # Nothing that could be taken for the record.
    assert vars(cloudpickle.loads(cloudpickle.dumps(search))) == {}
    assert search.metric is None  # see FamilyEarlyStopping
