"""A sweep's numbers for Prometheus, through Ray's own metrics: what Grafana and alerts read.

Ray's endpoint (`MetricsExportPort` of each node) shows them some ten seconds later with the prefix `ray_`; the dashboard
file that draws them is configs/cluster/grafana.json. Every one has the labels `sweep` (its name) and `family`.

stclip_trials{state}           gauge: started trials that are COMPLETE, PRUNED, FAIL or RUNNING
stclip_best_recall{k}          gauge, 0 to 1: val R@1, R@5 and R@10 of the family's best complete trial so far, chosen by the
                               sweep's metric, as in the table
stclip_trial_seconds{state}    histogram: training seconds of each trial that ended; its buckets are exact, its sum is not,
                               since Ray counts each trial with the middle of its bucket
stclip_spots_per_second        gauge: see `spots_per_second`
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Literal, get_args

from stclip.config.schema import KS
from sweeps.results.records import State, TrialRecord, best_record

STATES: tuple[State, ...] = get_args(State)
NEWEST = 4  # ended trials that still count for a family's speed
# A trial of the smoke space takes a second, one on real slides hours; each is about twice the one before.
SECONDS = [0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 45.0, 90.0, 180.0, 300.0, 600.0, 1200.0, 1800.0, 3600.0, 7200.0, 14400.0,
           43200.0]  # fmt: skip

TRIALS = "stclip_trials"
BEST_RECALL = "stclip_best_recall"
TRIAL_SECONDS = "stclip_trial_seconds"
SPOTS_PER_SECOND = "stclip_spots_per_second"
LABELS = {  # of each metric, besides those that Ray adds (Component, JobId, NodeAddress, SessionName, WorkerId, ...)
    TRIALS: ("sweep", "family", "state"),
    BEST_RECALL: ("sweep", "family", "k"),
    TRIAL_SECONDS: ("sweep", "family", "state"),
    SPOTS_PER_SECOND: ("sweep", "family"),
}


class SweepMetrics:
    """Exports a sweep's metrics from the driver. Make it after `ray.init`.

    Args:
        sweep: the sweep's name.
        families: every family, also those without a trial yet.
        train_spots: spots of the train split, which an epoch reads once.
        metric, mode: what chooses a family's best trial.
        before: trials that ended in an earlier run of a resumed sweep; Prometheus has counted them in its histogram.
    """

    def __init__(
        self,
        sweep: str,
        families: Sequence[str],
        train_spots: int,
        metric: str,
        mode: Literal["max", "min"],
        before: Iterable[TrialRecord] = (),
    ) -> None:
        from ray.util.metrics import Gauge, Histogram

        self._sweep = sweep
        self._families = tuple(families)
        self._train_spots = train_spots
        self._metric, self._mode = metric, mode
        self._observed = {record.name for record in before if record.state != "RUNNING"}
        self._trials = Gauge(TRIALS, "Started trials", LABELS[TRIALS])
        self._recall = Gauge(BEST_RECALL, "Validation recall of the best complete trial", LABELS[BEST_RECALL])
        self._seconds = Histogram(
            TRIAL_SECONDS, "Training seconds of a trial", SECONDS, LABELS[TRIAL_SECONDS]
        )
        self._speed = Gauge(
            SPOTS_PER_SECOND, "Training spots a second of one trial", LABELS[SPOTS_PER_SECOND]
        )

    def update(self, records: Sequence[TrialRecord]) -> None:
        """Export where the sweep stands. Called again with the same records it changes nothing."""
        counts = trial_counts(records)
        for family in self._families:
            for state in STATES:
                self._trials.set(counts[family, state], self._tags(family, state=state))
            best = best_record(records, family, self._metric, self._mode)
            for k, recall in best_recalls(best).items():
                self._recall.set(recall, self._tags(family, k=str(k)))
            speed = spots_per_second(records, family, self._train_spots)
            self._speed.set(speed, self._tags(family))  # None, not known yet, sets nothing
        for record in records:
            if record.state != "RUNNING" and record.name not in self._observed:
                self._observed.add(record.name)
                self._seconds.observe(record.seconds, self._tags(record.family, state=record.state))

    def _tags(self, family: str, **more: str) -> dict[str, str]:
        return {"sweep": self._sweep, "family": family, **more}


def trial_counts(records: Iterable[TrialRecord]) -> Counter[tuple[str, str]]:
    """(family, state) -> number of trials; 0 for what is not there."""
    return Counter((record.family, record.state) for record in records)


def best_recalls(best: TrialRecord | None) -> dict[int, float]:
    """K -> `val/R@K` of a trial, for the K that it has."""
    metrics = best.metrics if best else {}
    return {k: metrics[f"val/R@{k}"] for k in KS if f"val/R@{k}" in metrics}


def spots_per_second(records: Iterable[TrialRecord], family: str, train_spots: int) -> float | None:
    """How fast one trial of a family trains: epochs * train_spots / seconds, validation and start included.

    Summed over its running trials and the NEWEST (by number) of its ended ones, so it follows what is tried now and
    does not jump with each report. Times the number of running trials it is the family's throughput. None until an
    epoch has ended.
    """
    timed = [r for r in records if r.family == family and r.epochs > 0 and r.seconds > 0]
    running = [r for r in timed if r.state == "RUNNING"]
    ended = sorted((r for r in timed if r.state != "RUNNING"), key=lambda r: r.number)[-NEWEST:]
    seconds = sum(r.seconds for r in running + ended)
    return sum(r.epochs for r in running + ended) * train_spots / seconds if seconds else None
