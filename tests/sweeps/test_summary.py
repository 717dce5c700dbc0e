"""summary.json and the verdict: winners, reasons, what is claimed and what is not."""

from __future__ import annotations

import json

import numpy as np
import pytest

from sweeps.results import ResultsFolder, plain
from sweeps.summary import lift
from tests.sweeps.made_up import record, scores, summary


def test_summary_names_each_familys_winner(tmp_path):
    records = [
        record(number=0, metrics=scores(0.20)),
        record(number=1, metrics=scores(0.30), params={"loss.neighbor_alpha_scale": 2.0}),
        record(number=2, metrics=scores(0.90), state="PRUNED"),
        record(number=3, metrics={}, state="RUNNING"),
        record("clip", number=0, metrics=scores(0.25)),
    ]
    tests = {"spatial": {**scores(0.28, split="test"), "val/R@10": 0.30}}
    made = summary(records, {"spatial": 20, "clip": 10}, tests, {"cca": {"val": {"R@10": 0.1}, "test": {}}})
    ResultsFolder(tmp_path).write_summary(made)
    read = ResultsFolder(tmp_path).read_summary()
    spatial = read["families"]["spatial"]
    assert spatial["trials"] == {"budget": 20, "complete": 2, "pruned": 1, "failed": 0, "running": 1}
    assert spatial["best"]["trial"] == 1 and spatial["best"]["params"] == {"loss.neighbor_alpha_scale": 2.0}
    assert spatial["best"]["val"] == {"R@10": 0.30, "chance_R@10": 0.05}
    assert spatial["best"]["test"] == {"R@10": 0.28, "chance_R@10": 0.05}
    assert read["families"]["clip"]["best"]["test"] == {}
    assert read["baselines"] == {"cca": {"val": {"R@10": 0.1}, "test": {}}}
    assert (read["status"], read["metric"], read["mode"], read["seconds"]) == (
        "complete",
        "val/R@10",
        "max",
        61.3,
    )
    assert read["versions"] == {"torch": "2.13.0"} and read["verdict"]


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
    assert plain({1: np.int64(3), "b": np.bool_(True), "c": {2}, "d": np.array([0.5, np.nan]).tolist()}) == {
        "1": 3,
        "b": True,
        "c": [2],
        "d": [0.5, None],
    }


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


def test_lift_is_known_only_above_a_chance_level():
    assert lift({"R@1": 0.3, "chance_R@1": 0.1}, "R@1") == pytest.approx(3.0)
    for metrics in (
        {},
        {"R@1": 0.3},
        {"R@1": 0.3, "chance_R@1": 0.0},
        {"R@1": float("nan"), "chance_R@1": 0.1},
    ):
        assert lift(metrics, "R@1") is None


# -- the verdict


def verdict_of(spatial, clip, cca):
    records = [record("spatial", metrics=scores(0.3)), record("clip", metrics=scores(0.3))]
    tests = {f: scores(v, split="test") for f, v in (("spatial", spatial), ("clip", clip)) if v is not None}
    baselines = {"cca": {"val": {}, "test": scores(cca, split="test")}} if cca is not None else {}
    return summary(records, {"spatial": 1, "clip": 1}, tests, baselines)["verdict"]


def test_the_verdict_gives_every_number_with_chance_and_claims_no_difference():
    text = verdict_of(0.31, 0.30, 0.35)
    assert "spatial 0.310 (chance 0.050, lift 6.2x)" in text
    assert "clip 0.300 (chance 0.050, lift 6.0x)" in text
    assert "the CCA baseline 0.350 (chance 0.050, lift 7.0x)" in text
    assert "No claim of a difference: one training seed per family." in text
    assert "No family beats the CCA baseline" in text


def test_the_verdict_names_the_families_above_cca():
    text = verdict_of(0.31, 0.30, 0.305)
    assert "Above the CCA baseline: spatial (one seed each" in text
    assert "No family beats" not in text
    assert "No family beats the CCA baseline" in verdict_of(0.31, 0.30, 0.31)  # a tie is not a win


def test_the_verdict_says_what_was_not_measured():
    assert "CCA baseline was not run" in verdict_of(0.31, 0.30, None)
    assert "Without a test result: clip." in verdict_of(0.31, None, 0.1)
    assert verdict_of(None, None, 0.1).startswith("No verdict")
