"""What Ray's Prometheus endpoints show of a sweep, beside what its records say."""

import json
import urllib.request

import pytest
from prometheus_client.parser import text_string_to_metric_families

from sweeps.reporting.prometheus import LABELS, SECONDS, STATES, best_recalls, spots_per_second, trial_counts
from sweeps.results.records import best_record
from tests.conftest import TINY_SLIDES, TINY_SPLITS

TRAIN_SPOTS = sum(TINY_SLIDES[slide] for slide in TINY_SPLITS.train)


def scrape(ray_folder):
    """(name, labels without Ray's own) -> value of the sweep's metrics, where Ray tells Prometheus to look."""
    discovery = ray_folder / "prom_metrics_service_discovery.json"
    if not discovery.exists():
        return {}
    samples = {}
    for target in json.loads(discovery.read_text())[0]["targets"]:
        try:
            with urllib.request.urlopen(f"http://{target}/metrics", timeout=60) as answer:
                text = answer.read().decode()
        except OSError:
            continue  # not listening yet
        for metric in text_string_to_metric_families(text):
            name = metric.name.removeprefix("ray_")
            for sample in metric.samples if name in LABELS else []:
                labels = {key: sample.labels[key] for key in (*LABELS[name], "le") if key in sample.labels}
                samples[sample.name.removeprefix("ray_stclip_"), frozenset(labels.items())] = sample.value
    return samples


def differences(samples, records, sweep, families):
    """What a scrape says otherwise than the sweep's records; it must have all four metrics of every family."""
    counts = trial_counts(records)
    found = []
    for family in families:
        expected = {("trials", ("state", state)): counts[family, state] for state in STATES}
        best = best_record(records, family, "val/R@10", "max")
        expected |= {("best_recall", ("k", str(k))): value for k, value in best_recalls(best).items()}
        expected["spots_per_second",] = spots_per_second(records, family, TRAIN_SPOTS)
        for state in {r.state for r in records if r.family == family} - {"RUNNING"}:
            seconds = [r.seconds for r in records if (r.family, r.state) == (family, state)]
            for top in SECONDS:
                key = ("trial_seconds_bucket", ("state", state), ("le", str(top)))
                expected[key] = sum(one <= top for one in seconds)
        for (name, *labels), value in expected.items():
            tags = {"sweep": sweep, "family": family, **dict(labels)}
            seen = samples.get((name, frozenset(tags.items())))
            if seen is None or seen != pytest.approx(value, rel=1e-3):
                found.append(f"{tags} {name}: {seen}, not {value}")
    return found
