"""Early stopping: the rule against a slow reference, families apart, rungs across a resume, errors."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import optuna
import pytest
from optuna.pruners import SuccessiveHalvingPruner
from optuna.storages import InMemoryStorage
from ray.tune.schedulers import TrialScheduler

from sweeps.driver.scheduler import FamilyEarlyStopping, logged_metrics
from sweeps.results.study_file import study_storage
from sweeps.search.halving import halving_pruner
from sweeps.search.space import EarlyStopping
from sweeps.trial.run_trial import FAILURE
from tests.sweeps.fake_tune import Tune, make_search
from tests.sweeps.tune_cases import METRIC

optuna.logging.set_verbosity(optuna.logging.WARNING)


def reference(curves: np.ndarray, first_rung: int, factor: int, sign: float, lag: int) -> list[int]:
    """The last epoch of each trial: the rule of the paper, written out, for trials that know those `lag` before them."""
    epochs = curves.shape[1]
    last: list[int] = []
    for number, curve in enumerate(curves * sign):
        end = epochs
        rung = first_rung
        while rung < epochs:
            known = [n for n in range(number) if n <= number - lag and last[n] >= rung]
            better = sum(sign * curves[n, rung - 1] > curve[rung - 1] for n in known)
            if better >= max((len(known) + 1) // factor, 1):
                end = rung
                break
            rung *= factor
        last.append(end)
    return last


@pytest.mark.parametrize(
    ("first_rung", "factor", "epochs"), [(1, 2, 9), (2, 3, 12), (3, 2, 6), (4, 3, 12), (5, 2, 5)]
)
@pytest.mark.parametrize(("mode", "sign"), [("max", 1.0), ("min", -1.0)])
@pytest.mark.parametrize("lag", [1, 2, 5])
def test_trials_stop_where_the_rule_says(
    first_rung: int, factor: int, epochs: int, mode: str, sign: float, lag: int
) -> None:
    curves = np.random.default_rng(first_rung).integers(0, 9, (40, epochs)).astype(float)  # with ties
    rule = EarlyStopping(first_rung=first_rung, factor=factor)
    tune = Tune(make_search(InMemoryStorage(), rule, epochs, mode=mode, lag=lag))
    ends = []
    for number, curve in enumerate(curves.tolist()):
        tune.search.suggest(str(number))
        ends.append(tune.train(str(number), curve))
    assert ends == reference(curves, first_rung, factor, sign, lag)
    states = ["COMPLETE" if end == epochs else "PRUNED" for end in ends]
    assert [r.state for r in tune.search.snapshot()] == states
    assert [r.epochs for r in tune.search.snapshot()] == ends


@pytest.mark.parametrize("mode", ["maximize", "minimize"])
@pytest.mark.parametrize(("first_rung", "factor"), [(1, 2), (2, 3), (3, 2)])
def test_one_after_another_with_a_lag_of_one_the_rule_is_optunas(
    first_rung: int, factor: int, mode: str
) -> None:
    rng = np.random.default_rng(first_rung * factor)
    ours, theirs = (
        optuna.create_study(direction=mode, pruner=pruner)
        for pruner in (
            halving_pruner(EarlyStopping(first_rung=first_rung, factor=factor), lag=1),
            SuccessiveHalvingPruner(min_resource=first_rung, reduction_factor=factor),
        )
    )
    pruned = 0
    for _ in range(30):
        pair = (ours.ask(), theirs.ask())
        for epoch in range(1, 13):
            value = float(rng.integers(0, 9))
            for trial in pair:
                trial.report(value, epoch)
            decisions = [trial.should_prune() for trial in pair]
            assert decisions[0] == decisions[1]
            if decisions[0]:
                pruned += 1
                break
    assert pruned > 10


def test_side_by_side_a_rung_looks_only_at_trials_that_the_trial_knows() -> None:
    """Trial 2 is worse than trial 1, which it does not know, and better than trial 0, which it knows."""
    rule = EarlyStopping(first_rung=1, factor=2)
    tune = Tune(make_search(InMemoryStorage(), rule, epochs=2, trials=4, lag=2))
    tune.search.suggest("0")
    tune.search.suggest("1")
    assert tune.search.suggest("2") is None
    assert tune.train("0", [0.5, 0.5]) == 2
    tune.search.suggest("2")
    assert tune.train("1", [0.9, 0.9]) == 2
    assert tune.train("2", [0.6, 0.6]) == 2
    tune.search.suggest("3")
    assert tune.train("3", [0.8, 0.8]) == 1  # it knows trial 1


def test_the_last_epoch_is_never_pruned() -> None:
    tune = Tune(make_search(InMemoryStorage(), EarlyStopping(first_rung=3, factor=2), epochs=3))
    for number in range(10):
        tune.search.suggest(str(number))
        assert tune.train(str(number), [1.0 - 0.1 * number] * 3) == 3
    assert {r.state for r in tune.search.snapshot()} == {"COMPLETE"}


def test_without_a_rule_every_trial_runs_to_the_end() -> None:
    tune = Tune(make_search(InMemoryStorage(), None, epochs=4))
    for number in range(10):
        tune.search.suggest(str(number))
        assert tune.train(str(number), [1.0 - 0.1 * number] * 4) == 4


def test_a_trial_is_compared_with_its_own_family_only() -> None:
    tune = Tune(make_search(InMemoryStorage(), EarlyStopping(first_rung=1, factor=2), epochs=4, families=2))
    ends: dict[str, list[int]] = {"family0": [], "family1": []}
    for number in range(12):  # family0 is far better, and both get better from trial to trial
        config = tune.search.suggest(str(number))
        assert config is not None
        level = number + (100.0 if config["family"] == "family0" else 0.0)
        ends[config["family"]].append(tune.train(str(number), [level] * 4))
    assert ends == {"family0": [4] * 6, "family1": [4] * 6}


@pytest.mark.parametrize("done", [0, 1, 2, 5])  # epochs that the cut-off trial had reported
def test_rungs_survive_a_resume(tmp_path: Path, done: int) -> None:
    rule, epochs = EarlyStopping(first_rung=2, factor=2), 6
    curves = np.random.default_rng(7).random((14, epochs)).tolist()

    def run(tune: Tune, numbers: range, start: Callable[[int], int] = lambda number: 1) -> list[int]:
        ends = []
        for number in numbers:
            tune.search.suggest(str(number))
            ends.append(tune.train(str(number), curves[number], start(number)))
        return ends

    unbroken = run(Tune(make_search(InMemoryStorage(), rule, epochs, trials=14)), range(14))
    assert set(unbroken) == {2, 4, 6}
    trial = unbroken.index(6, 5)  # cut off one that goes through, with some before it
    storage = study_storage(tmp_path / "study.db")
    first = Tune(make_search(storage, rule, epochs, trials=14))
    ends = run(first, range(trial))
    first.search.suggest(str(trial))
    for epoch in range(1, done + 1):
        first.result(str(trial), {METRIC: curves[trial][epoch - 1], "epoch": epoch})

    again = Tune(make_search(storage, rule, epochs, trials=14))
    again.search.adopt()
    ends += run(again, range(trial, 14), lambda number: done + 1 if number == trial else 1)
    assert ends == unbroken


def test_a_failure_report_and_a_nan_stop_the_trial_with_their_reason() -> None:
    rule = EarlyStopping(first_rung=1, factor=2)
    tune = Tune(make_search(InMemoryStorage(), rule, epochs=4, lag=2))
    for name in ("failed", "nan"):
        tune.search.suggest(name)
    assert tune.result("failed", {FAILURE: "ValueError: no such slide"}) == TrialScheduler.STOP
    assert tune.result("nan", {METRIC: math.nan, "epoch": 1}) == TrialScheduler.STOP
    assert [(r.state, r.error) for r in tune.search.snapshot()] == [
        ("FAIL", "ValueError: no such slide"),
        ("FAIL", "val/R@10 is nan after epoch 1"),
    ]


def test_an_error_is_the_reason_only_when_no_retry_saved_the_trial(tmp_path: Path) -> None:
    tune = Tune(make_search(InMemoryStorage(), None, epochs=2))
    file = tmp_path / "error.txt"
    file.write_text("Failure # 1 (occurred at ...)\nThe worker died unexpectedly.\n\n")
    errors = {"saved": file, "lost": file, "gone": tmp_path / "absent.txt", "none": None}
    for name, error_file in errors.items():
        tune.search.suggest(name)
        trial = SimpleNamespace(
            trial_id=name, error_file=error_file, run_metadata=SimpleNamespace(num_failures=3)
        )
        tune.scheduler.on_trial_error(None, trial)
    assert tune.train("saved", [0.1, 0.2]) == 2
    for name in ("lost", "gone", "none"):
        tune.search.on_trial_complete(name, error=True)
    assert [(r.state, r.error) for r in tune.search.snapshot()] == [
        ("COMPLETE", None),
        (
            "FAIL",
            "the trial's process died (it exited, was killed, or crashed in native code); started 3 times",
        ),
        ("FAIL", "the trial's process died or raised; started 3 times"),
        ("FAIL", "the trial's process died or raised; started 3 times"),
    ]


def test_the_scheduler_names_no_metric_so_that_tune_never_raises_for_a_missing_one() -> None:
    scheduler = FamilyEarlyStopping(make_search(InMemoryStorage(), None, epochs=2), print)
    assert scheduler.set_search_properties("val/R@10", "max") is True
    assert scheduler.metric is None
    assert not scheduler.supports_buffered_results


def test_logged_metrics_are_the_numbers_under_a_split() -> None:
    result = {
        "val/R@10": np.float32(0.5),
        "train/loss": 2,
        "val/loss": math.nan,
        "test/R@1": 0.25,
        "val/flag": True,
        "val/name": "x",
        "config/seed": 3,
        "epoch": 4,
        "time_total_s": 1.5,
    }
    metrics = logged_metrics(result)
    assert math.isnan(metrics.pop("val/loss"))
    assert metrics == {"val/R@10": 0.5, "train/loss": 2.0, "test/R@1": 0.25}
