"""summary.json: winners, their confirmation, reasons, baselines, best-of-n curves."""

from __future__ import annotations

import json

import numpy as np
import pytest

from sweeps.analysis.choice import choose
from sweeps.results.folder import ResultsFolder, plain
from tests.sweeps.made_up import confirmed, levels, record, scores, slide_rows, summary

AGAIN = [[0.30, 0.40], [0.32, 0.42], [0.34, 0.48]]


def read_back(tmp_path, made):
    ResultsFolder(tmp_path).write_summary(made)
    return ResultsFolder(tmp_path).read_summary()


def test_summary_names_each_familys_winner(tmp_path):
    records = [
        record(number=0, metrics=scores(0.20)),
        record(number=1, metrics=scores(0.30), params={"loss.neighbor_alpha_scale": 2.0}),
        record(number=2, metrics=scores(0.90), state="PRUNED"),
        record(number=3, metrics={}, state="RUNNING"),
        record("clip", number=0, metrics=scores(0.25)),
    ]
    made = summary(records, {"spatial": 20, "clip": 10}, (), {"cca": ({"R@10": 0.1}, {})})
    read = read_back(tmp_path, made)
    spatial = read["families"]["spatial"]
    assert spatial["trials"] == {"budget": 20, "complete": 2, "pruned": 1, "failed": 0, "running": 1}
    assert spatial["best"]["trial"] == 1 and spatial["best"]["params"] == {"loss.neighbor_alpha_scale": 2.0}
    assert spatial["best"]["val"] == {"R@10": 0.30, "chance_R@10": 0.05}
    assert spatial["best"]["test"] == {} and spatial["confirm"] is None and spatial["test_intervals"] == {}
    assert read["baselines"] == {
        "cca": {"val": {"R@10": 0.1}, "test": {}, "params": {}, "test_intervals": {}}
    }
    assert read["comparisons"] == [] and read["confirmation"] is None
    assert (read["status"], read["metric"], read["mode"], read["seconds"]) == (
        "complete",
        "val/R@10",
        "max",
        65.3,
    )
    assert read["versions"] == {"torch": "2.13.0"} and read["verdict"]


def test_summary_of_a_confirmation(tmp_path):
    donors = ("p1", "p1")
    rows = slide_rows("spatial", AGAIN, donors=donors) + slide_rows("clip", AGAIN[:2], donors=donors)
    again = confirmed("spatial", AGAIN, val=0.28) + confirmed("clip", AGAIN, failed=(2,))
    records = [record(metrics=levels("val", 0.3)), record("clip", metrics=levels("val", 0.3))]
    read = read_back(tmp_path, summary(records, {"spatial": 1, "clip": 1}, rows, {}, again, seeds=3))
    assert read["confirmation"] == {
        "configurations": 1,
        "seeds": 3,
        "to_go": 0,
        "slides": 2,
        "clusters": 1,
        "donors_known": True,
        "seconds": 67.5,
    }
    spatial, clip = read["families"]["spatial"], read["families"]["clip"]
    assert spatial["best"]["val"]["R@10"] == 0.3
    assert spatial["best"]["test"]["R@10"] == pytest.approx(np.mean(AGAIN))
    assert spatial["test_intervals"]["R@10"]["value"] == pytest.approx(np.mean(AGAIN))
    assert spatial["test_intervals"]["R@1"]["value"] == pytest.approx(np.mean(AGAIN) / 4)
    assert spatial["confirm"]["trials"] == [f"spatial-0000-confirm-{i}" for i in range(3)]
    assert spatial["confirm"]["val"]["R@10"] == pytest.approx(0.28)
    assert spatial["confirm"]["val_sd"]["R@10"] == pytest.approx(0.01)
    assert (spatial["confirm"]["seeds"], spatial["confirm"]["failed"]) == (3, [])
    assert clip["confirm"]["seeds"] == 2
    assert clip["best"]["test"]["R@10"] == pytest.approx(np.mean(AGAIN[:2]))
    assert clip["confirm"]["failed"] == [{"name": "clip-0000-confirm-2", "reason": "MemoryError: out"}]
    (pair,) = read["comparisons"]
    assert (pair["a"], pair["b"], pair["kind"]) == ("spatial", "clip", "families")
    assert (pair["seeds"], pair["slides"], pair["clusters"]) == (2, 2, 1)  # the seeds that both have
    assert pair["metrics"]["R@10"]["difference"] == pytest.approx(0)


def test_a_family_is_the_weighted_mean_of_its_configurations(tmp_path):
    """The winner keeps numbers of its own."""
    records = [record(number=n, metrics=levels("val", 0.3 + n / 100), params={"x": n}) for n in range(3)]
    tests = {2: [[0.3, 0.4], [0.34, 0.4]], 1: [[0.2, 0.4], [0.2, 0.3]]}
    weights = {one.record.number: one.weight for one in choose(records, "spatial", "val/R@10", "max", 2)}
    rows = [
        row for n, r10 in tests.items() for row in slide_rows("spatial", r10, number=n, weight=weights[n])
    ]
    again = [one for n, r10 in tests.items() for one in confirmed("spatial", r10, number=n)]
    made = summary(records, {"spatial": 3}, rows, {}, again, seeds=2, source="one search", configurations=2)
    entry = read_back(tmp_path, made)["families"]["spatial"]
    means = {n: np.mean(r10) for n, r10 in tests.items()}
    value = sum(weights[n] * means[n] for n in tests)
    assert entry["test"]["R@10"] == pytest.approx(value) == entry["test_intervals"]["R@10"]["value"]
    assert (entry["best"]["trial"], entry["best"]["test"]["R@10"]) == (2, pytest.approx(means[2]))
    first, second = entry["confirm"]["configurations"]
    assert (first["name"], first["seeds"], first["params"]) == ("spatial-0002", 2, {"x": 2})
    assert second["test"]["R@10"] == pytest.approx(means[1]) and second["weight"] == pytest.approx(weights[1])
    assert len(entry["confirm"]["trials"]) == 4 and entry["confirm"]["seeds"] == 2


def test_a_configuration_without_a_confirmed_training_does_not_count():
    records = [record(number=n, metrics=levels("val", 0.3 + n / 100), params={"x": n}) for n in range(2)]
    again = confirmed("spatial", AGAIN, number=1) + confirmed("spatial", AGAIN, number=0, failed=(0, 1, 2))
    made = summary(records, {"spatial": 2}, (), {}, again, 3, source="one search", configurations=2)
    entry = made["families"]["spatial"]
    assert entry["test"]["R@10"] == pytest.approx(np.mean(AGAIN))
    assert [one["seeds"] for one in entry["confirm"]["configurations"]] == [3, 0]


def test_a_winner_without_confirmation_has_no_test_metrics(tmp_path):
    read = read_back(tmp_path, summary([record(metrics=levels("val", 0.3))], {"spatial": 1}))
    assert read["families"]["spatial"]["best"]["test"] == {} and read["confirmation"] is None
    assert read["verdict"].startswith(
        "No verdict: the test slides were not read (--confirm-seeds 0); best val R@10"
    )


def test_the_readings_are_told_and_count_as_looks():
    rows = slide_rows("spatial", AGAIN) + slide_rows("clip", (np.array(AGAIN) - 0.1).tolist())
    again = confirmed("spatial", AGAIN) + confirmed("clip", AGAIN)
    records = [record(metrics=levels("val", 0.3)), record("clip", metrics=levels("val", 0.3))]
    reads = [{"number": n, "trials": {"spatial": 8 * n, "clip": 8 * n}, "seeds": 3} for n in (1, 2)]

    def made(reads):
        return summary(records, {"spatial": 1, "clip": 1}, rows, {}, again, seeds=3, reads=reads)

    one, two = made(reads[:1]), made(reads)
    assert (one["test_reads"], two["test_reads"]) == (reads[:1], reads)
    before, after = (found["comparisons"][0]["metrics"]["R@10"] for found in (one, two))
    assert before["p_holm"] == before["p"] == after["p"] < 0.01
    assert after["p_holm"] == pytest.approx(10 * after["p"])
    assert "read for the 2nd time" in two["verdict"] and "2nd time" not in one["verdict"]


def test_slides_are_those_of_the_families_and_one_known_donor_is_enough_to_speak_of_donors(tmp_path):
    rows = slide_rows("spatial", [[0.3, 0.5]], donors=("p1", ""))
    rows += slide_rows("spatial", [[0.9, 0.9, 0.9]], "baseline")  # even one of a family's name
    made = summary(
        [record(metrics=levels("val", 0.3))], {"spatial": 1}, rows, {}, confirmed("spatial", AGAIN[:1]), 1
    )
    about = read_back(tmp_path, made)["confirmation"]
    assert (about["slides"], about["donors_known"]) == (2, True)


def test_one_seed_has_no_spread():
    again = confirmed("spatial", AGAIN[:1], val=0.28)
    made = summary([record(metrics=levels("val", 0.3))], {"spatial": 1}, (), {}, again, seeds=1)
    confirm = made["families"]["spatial"]["confirm"]
    assert confirm["val"]["R@10"] == pytest.approx(0.28) and confirm["val_sd"] == {}


def test_metrics_of_one_split_hold_none_of_another():
    metrics = {**scores(0.3), "train/loss": 1.0, "batch/R@10": 0.9}
    (entry,) = summary([record(metrics=metrics)], {"spatial": 1})["families"].values()
    assert entry["best"]["val"] == {"R@10": 0.3, "chance_R@10": 0.05}


def test_best_of_n_counts_every_trial_of_the_budget():
    records = [record(number=i, metrics=scores(value)) for i, value in enumerate((0.1, 0.3, 0.2))]
    records += [record(number=3, metrics=scores(0.15), state="PRUNED")]
    records += [record(number=4, metrics=scores(0.8), state="FAIL", error="x")]  # counts as the worst
    records += [record(number=5, metrics=scores(0.9), state="RUNNING")]
    curve = summary(records, {"spatial": 6})["families"]["spatial"]["best_of_n"]
    assert curve["n"] == [1, 2, 3, 4, 5]
    assert curve["value"][0] == pytest.approx(np.mean([0.1, 0.3, 0.2, 0.15, 0.1]))
    assert curve["value"][-1] == pytest.approx(0.3)
    assert len(curve["low"]) == len(curve["high"]) == 5
    failed = summary([record(state="FAIL", error="x")], {"spatial": 1})["families"]["spatial"]
    assert failed["best_of_n"] is None


@pytest.mark.parametrize("odd", [np.nan, np.inf, -np.inf])
def test_a_value_that_is_no_finite_number_counts_as_the_worst(odd):
    records = [record(number=i, metrics=scores(value)) for i, value in enumerate((0.1, 0.3, odd))]
    curve = summary(records, {"spatial": 3})["families"]["spatial"]["best_of_n"]
    assert curve["n"] == [1, 2, 3] and curve["value"][0] == pytest.approx(np.mean([0.1, 0.3, 0.1]))
    alone = summary([record(metrics=scores(odd))], {"spatial": 1})["families"]["spatial"]
    assert alone["best_of_n"] is None


def test_summary_json_is_strict_json(tmp_path):
    folder = ResultsFolder(tmp_path)
    metrics = {
        **scores(0.3),
        "val/loss": float("nan"),
        "val/median_rank": np.float32(2.5),
        "val/x": float("inf"),
    }
    folder.write_summary(summary([record(metrics=metrics)], {"spatial": 1}))

    def refuse(constant):
        raise AssertionError(constant)

    val = json.loads(folder.summary_json.read_text(), parse_constant=refuse)["families"]["spatial"]["best"][
        "val"
    ]
    assert val["loss"] is None and val["x"] is None and val["median_rank"] == 2.5


def test_plain_turns_numpy_sets_and_flags_into_yaml_types():
    given = {1: np.int64(3), "b": np.bool_(True), "c": {2}, "d": np.array([0.5, np.nan]).tolist()}
    assert json.dumps(plain(given)) == '{"1": 3, "b": true, "c": [2], "d": [0.5, null]}'


def test_a_family_without_a_winner_says_why():
    oom = "Traceback (most recent call last):\n  ...\nMemoryError: out of memory\n"
    records = [record(number=i, state="FAIL", error=oom) for i in range(3)]
    records += [record(number=3, state="FAIL", error="loss is NaN"), record("clip", state="PRUNED")]
    families = summary(records, {"spatial": 5, "clip": 5, "late": 5})["families"]
    assert families["spatial"]["best"] is None
    assert families["spatial"]["reason"] == (
        "no trial gave a value (4 failed of 5); "
        "most common reason (3 of 4 failures): MemoryError: out of memory"
    )
    assert families["clip"]["reason"] == "no trial gave a value (1 pruned of 5)"
    assert families["late"]["reason"] == "none of its 5 trials was started"


def test_a_confirmation_that_was_cut_off_before_its_first_training_is_no_search_that_was():
    """Its search was over, and its one reading on record is the one that was cut off, of which nothing was seen."""
    reads = [
        {"number": 1, "when": "2026", "run": 1, "trials": {"soft": 1}, "budget": 1, "seeds": 3, "models": {}}
    ]
    records = [record("soft", metrics=levels("val", 0.3))]
    found = summary(records, {"soft": 1}, seeds=3, status="interrupted", reads=reads, to_go=3)
    assert found["confirmation"]["to_go"] == 3
    assert found["verdict"] == (
        "No verdict yet: the confirmation was cut off, 3 trainings before its end; nothing of the test slides is shown until "
        "then; go on with --resume."
    )
