"""What the view is told of a running sweep, and how often."""

from dataclasses import replace

import pytest

from sweeps.driver.snapshots import snapshots, throttled
from sweeps.results.records import TrialRecord


def record(family, number, state, value=None):
    metrics = {} if value is None else {"val/R@10": value}
    name = f"{family}-{number:04d}"
    return TrialRecord(family, number, name, state, {}, metrics, 3, 1.0, None, 0)


BUDGETS = {"spatial": 4, "clip": 3}


def test_a_snapshot_counts_states_and_reports_each_end_once(plan_of):
    records = [record("spatial", 0, "COMPLETE", 0.5), record("clip", 0, "RUNNING")]
    snapshot = snapshots(plan_of().space, BUDGETS, lambda: list(records))
    first = snapshot()
    assert first.events == []  # what had ended before (a resumed sweep) is no news
    spatial, clip = first.families.values()
    assert (spatial.budget, spatial.complete, spatial.running, spatial.best.number) == (4, 1, 0, 0)
    assert (clip.budget, clip.complete, clip.running, clip.best) == (3, 0, 1, None)

    records[1] = replace(records[1], state="FAIL")
    records += [record("spatial", 1, "PRUNED", 0.9), record("clip", 1, "RUNNING", 0.4)]
    second = snapshot()
    assert [r.name for r in second.events] == ["clip-0000", "spatial-0001"]
    spatial, clip = second.families.values()
    assert (spatial.complete, spatial.pruned, spatial.done) == (1, 1, 2)
    assert (clip.failed, clip.running, clip.best) == (1, 1, None)
    assert spatial.best.number == 0  # a pruned trial never wins
    assert snapshot().events == []


def test_repeats_show_their_mean(plan_of):
    records = [record("spatial", 0, "COMPLETE", 0.5), record("spatial", 1, "COMPLETE", 0.7)]
    records += [record("spatial", 2, "RUNNING", 0.9), record("clip", 0, "RUNNING", 0.4)]
    spatial, clip = snapshots(plan_of().space, BUDGETS, lambda: records, means=True)().families.values()
    assert (spatial.best.name, clip.best) == ("mean of 2 trainings", None)
    assert spatial.best.metrics == {"val/R@10": pytest.approx(0.6)}
    assert (
        snapshots(plan_of().space, BUDGETS, lambda: records[:1], means=True)().families["spatial"].best.name
        == "mean of 1 training"
    )


def test_csv_is_written_at_most_every_so_often():
    now = [50.0]
    calls = []
    perhaps = throttled(lambda: calls.append(now[0]), 2.0, now=lambda: now[0])
    for now[0] in (50.0, 51.9, 52.0, 53.0, 54.5):
        perhaps()
    assert calls == [50.0, 52.0, 54.5]


def test_a_snapshot_has_the_running_trials_and_the_epochs_to_go(plan_of):
    space = plan_of().space.model_copy(update={"epochs": 12})
    records = [replace(record("spatial", 0, "COMPLETE", 0.5), epochs=12, seconds=6.0)]
    records.append(replace(record("spatial", 1, "PRUNED", 0.1), epochs=4, seconds=2.0))
    records.append(replace(record("clip", 0, "RUNNING", 0.4), epochs=3, seconds=1.5))
    snap = snapshots(space, BUDGETS, lambda: records)()
    assert ([one.name for one in snap.running], snap.epochs) == (["clip-0000"], 12)
    # 2 of each family have not begun, which will take 8 epochs each, as those that ended did; 9 epochs are left of the one.
    assert (snap.effort.epochs, snap.effort.seconds, snap.effort.left) == (19, 9.5, 4 * 8 + 9)
