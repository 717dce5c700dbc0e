"""The numbers that Prometheus reads of a sweep."""

import pytest

from sweeps.reporting.prometheus import NEWEST, best_recalls, spots_per_second, trial_counts
from sweeps.results.records import TrialRecord, trial_name


def record(family="spatial", number=0, state="COMPLETE", epochs=4, seconds=2.0, metrics=None):
    return TrialRecord(
        family, number, trial_name(family, number), state, {}, metrics or {}, epochs, seconds, None, 0
    )


def test_trials_are_counted_by_family_and_state():
    counts = trial_counts([record(), record(number=1), record("clip", state="FAIL")])
    assert counts == {("spatial", "COMPLETE"): 2, ("clip", "FAIL"): 1}
    assert counts["clip", "RUNNING"] == 0


def test_the_best_trials_recalls_are_those_it_has():
    assert best_recalls(record(metrics={"val/R@1": 0.1, "val/R@10": 0.5, "val/loss": 3.0})) == {
        1: 0.1,
        10: 0.5,
    }
    assert best_recalls(None) == {}


def test_speed_is_epochs_times_spots_over_seconds_of_the_familys_trials():
    records = [
        record(epochs=4, seconds=2.0),
        record(number=1, state="RUNNING", epochs=2, seconds=4.0),
        record("clip"),
    ]
    assert spots_per_second(records, "spatial", train_spots=100) == pytest.approx((4 + 2) * 100 / (2.0 + 4.0))


def test_speed_follows_the_newest_trials():
    old = [record(number=n, epochs=1, seconds=100.0) for n in range(5)]
    new = [record(number=10 + n, epochs=10, seconds=1.0) for n in range(NEWEST)]
    assert spots_per_second(new + old, "spatial", train_spots=7) == pytest.approx(70)


def test_speed_is_unknown_until_an_epoch_has_ended():
    assert spots_per_second([record(state="RUNNING", epochs=0, seconds=0.0)], "spatial", 100) is None
