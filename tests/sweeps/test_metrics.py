"""What Prometheus reads of a sweep: the numbers, and that a real one's endpoint shows them."""

import json
import math
import signal
import time
import urllib.request
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from sweeps.metrics import KS, LABELS, NEWEST, SECONDS, best_recalls, spots_per_second, trial_counts
from sweeps.records import TrialRecord, trial_name
from tests.conftest import TINY_SLIDES, TINY_SPLITS
from tests.sweeps.sweep_runner import CLIP, SPATIAL

FAMILIES = ("spatial", "clip")
PATIENCE = 120  # seconds
TRAIN_SPOTS = sum(TINY_SLIDES[slide] for slide in TINY_SPLITS.train)


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


@pytest.mark.slow
@pytest.mark.long
def test_a_running_sweeps_numbers_are_at_the_prometheus_endpoint(runner, monkeypatch):
    monkeypatch.setenv("RAY_metrics_report_interval_ms", "1000")  # ten times as often as it is
    space = runner.space("watched", {"spatial": SPATIAL, "clip": CLIP}, trials=20, epochs=40)
    process = runner.start(space, "watched", "--max-concurrent", "1")
    try:
        scrapes = _scrape_until_ended(process, Path(runner.tmp) / "ray", ended=3)
    finally:
        process.send_signal(signal.SIGINT)
        over = runner.end(process, "watched")
    rows = over.rows()
    # Ray may read the numbers in the middle of an update, so one of the last few has to agree, not each.
    assert min((_differences(scrape, rows) for scrape in scrapes[-5:]), key=len) == []


def _scrape_until_ended(process, ray_folder, ended):
    """Every scrape with all four metrics in it, until each family has `ended` trials; at least five of them."""
    found = []
    until = time.monotonic() + PATIENCE
    while not found or len(found) < 5 or min(_ended(found[-1], family) for family in FAMILIES) < ended:
        assert process.poll() is None, "the sweep ended before its numbers were seen"
        assert time.monotonic() < until, found[-1:]
        samples = _scrape(ray_folder)
        if {name.removesuffix("_count") for name, _ in samples} >= {f"ray_{name}" for name in LABELS}:
            found.append(samples)
        time.sleep(0.5)
    return found


def _scrape(ray_folder):
    """(name, labels without Ray's own) -> value of the sweep's metrics, where Ray tells Prometheus to look."""
    discovery = ray_folder / "prom_metrics_service_discovery.json"
    if not discovery.exists():
        return {}
    samples = {}
    for target in json.loads(discovery.read_text())[0]["targets"]:
        try:
            with urllib.request.urlopen(f"http://{target}/metrics", timeout=5) as answer:
                text = answer.read().decode()
        except OSError:
            continue  # not listening yet
        for metric in text_string_to_metric_families(text):
            name = metric.name.removeprefix("ray_")
            for sample in metric.samples if name in LABELS else []:
                labels = frozenset(
                    (key, sample.labels[key]) for key in (*LABELS[name], "le") if key in sample.labels
                )
                samples[sample.name, labels] = sample.value
    return samples


def _value(samples, name, family, **labels):
    key = frozenset({"sweep": "watched", "family": family, **labels}.items())
    return samples.get((f"ray_stclip_{name}", key), math.nan)


def _ended(samples, family):
    return sum(_value(samples, "trials", family, state=state) for state in ("COMPLETE", "PRUNED", "FAIL"))


def _differences(samples, rows):
    """What a scrape says otherwise than trials.csv. One trial runs at a time, so the first by number had ended then."""
    found = []
    for family in FAMILIES:
        mine = sorted((row for row in rows if row["family"] == family), key=lambda row: int(row["trial"]))
        done = mine[: int(_ended(samples, family))]
        best = max(done, key=lambda row: float(row["val/R@10"]))
        seconds = [float(row["seconds"]) for row in done]
        expected = {("trials", "state", "COMPLETE"): sum(row["state"] == "COMPLETE" for row in done)}
        expected |= {("best_recall", "k", str(k)): float(best[f"val/R@{k}"]) for k in KS}
        expected |= {
            ("trial_seconds_bucket", "le", str(top)): sum(s <= top for s in seconds) for top in SECONDS
        }
        for (name, label, value), number in expected.items():
            state = {"state": "COMPLETE"} if name == "trial_seconds_bucket" else {}
            seen = _value(samples, name, family, **{label: value}, **state)
            if seen != pytest.approx(number):
                found.append(f"{family} {name} {value}: {seen}, not {number}")
        speeds = [int(row["epochs"]) / float(row["seconds"]) * TRAIN_SPOTS for row in done[-NEWEST:]]
        speed = _value(samples, "spots_per_second", family)
        # A trial that runs counts too, so the speed is near that of the ended ones, not equal to it.
        if not min(speeds) / 3 < speed < max(speeds) * 3:
            found.append(f"{family} spots_per_second: {speed}, not near {speeds}")
    return found
