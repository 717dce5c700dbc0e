"""A whole sweep with a confirmation: what is trained, what reads the test slides, what is said of whom."""

import json
import shutil

import pytest

from stclip.config import Experiment
from stclip.config.load import validate
from stclip.config.strict_yaml import read_yaml
from stclip.evaluation.evaluate import evaluate
from sweeps.search.confirm_search import confirm_seed
from tests.whole_sweeps.kept import plain
from tests.whole_sweeps.sweep_runner import CLIP, rows_of

pytestmark = pytest.mark.slow
CONFIGS, SEEDS = 3, 4  # enough on one slide for a difference as large as that between the pairs to be shown
# Two pairs of equal families: one loss under two names, at a rate that learns fast and at one that learns slowly. The fast
# rate is high, so that two temperatures give two models.
FAST = {**CLIP, "overrides": {"optimizer": {"lr": 1e-2}}}
SLOW = {**CLIP, "overrides": {"optimizer": {"lr": 2e-5}}}
FAMILIES = {"fast": FAST, "fast_too": FAST, "slow": SLOW, "slow_too": SLOW}
DONORS = {"T1": "p1", "T2": "p2", "T3": "p3", "T4": "p4", "V1": "p5", "E1": "p1"}


@pytest.fixture(scope="module")
def confirmed(runner, shared_tiny_dataset):
    data = shutil.copytree(shared_tiny_dataset, runner.folder / "d", ignore=shutil.ignore_patterns(".store"))
    (data / "donors.csv").write_text("slide,donor\n" + "".join(f"{s},{d}\n" for s, d in DONORS.items()))
    space = runner.space("confirmed", FAMILIES, trials=4, epochs=8)
    flags = (
        "--confirm-configs",
        str(CONFIGS),
        "--confirm-seeds",
        str(SEEDS),
        "--seed",
        "5",
        "--max-concurrent",
        "1",
        "--data",
        str(data),
    )
    return runner.run(space, "confirmed", *flags)


def test_the_best_of_each_family_are_trained_again_with_the_same_fresh_seeds(confirmed):
    assert (confirmed.err, confirmed.left) == ("", [])
    rows = rows_of(confirmed.folder / "confirm.csv")
    families = confirmed.summary()["families"]
    assert families.keys() == FAMILIES.keys()
    for family, entry in families.items():
        own = [row for row in rows if row["family"] == family]
        done = [row for row in confirmed.rows() if row["family"] == family and row["state"] == "COMPLETE"]
        done.sort(key=lambda row: -float(row["val/R@10"]))
        best = [row["name"] for row in done[:CONFIGS]]
        assert [one["name"] for one in entry["confirm"]["configurations"]] == best and best[0] == entry[
            "best"
        ]["name"]
        names = [f"{name}-confirm-{i}" for i in range(SEEDS) for name in best]
        assert sorted(row["name"] for row in own) == sorted(names)
        assert {row["name"]: int(row["seed"]) for row in own} == {
            f"{name}-confirm-{i}": confirm_seed(5, i) for i in range(SEEDS) for name in best
        }
        assert {(row["state"], row["epochs"]) for row in own} == {("COMPLETE", "8")}
        temperatures = {row["name"]: row["config_temperature"] for row in done}
        assert all(
            row["config_temperature"] == temperatures[row["name"].partition("-confirm-")[0]] for row in own
        )
        assert (entry["confirm"]["seeds"], entry["confirm"]["failed"]) == (SEEDS, [])
    heading = f"confirming: the best {CONFIGS} configurations of each family again with {SEEDS} fresh seeds"
    assert heading in confirmed.out


def test_only_the_confirmation_reads_the_test_slides(confirmed):
    assert not [name for row in confirmed.rows() for name in row if name.startswith("test/")]
    rows = rows_of(confirmed.folder / "test_slides.csv")
    count = {who: sum(row["who"] == who for row in rows) for who in {row["who"] for row in rows}}
    own = dict.fromkeys(FAMILIES, CONFIGS * SEEDS)
    assert count == {**own, "cca": 1, "untrained": SEEDS}  # of the one test slide


def test_what_was_read_is_what_the_checkpoints_give(confirmed):
    rows = rows_of(confirmed.folder / "test_slides.csv")
    row = next(row for row in rows if row["who"] == "fast")
    [checkpoint] = (confirmed.folder / "ray").glob(f"*/{row['name']}/checkpoint_*/checkpoint.ckpt")
    settings = read_yaml(confirmed.folder / "trials" / row["name"] / "config.yaml")
    found = evaluate(validate(Experiment, settings, "test"), checkpoint, "test")
    for name in ("R@1", "R@10", "median_rank"):
        assert float(row[name]) == pytest.approx(found.slides["E1"][name])
    untrained = next(r for r in rows if r["who"] == "untrained")
    assert int(untrained["seed"]) == confirm_seed(5, 0)


def test_equal_families_are_not_told_apart_and_different_ones_are(confirmed):
    """Of the same sweep: the pairs that differ are told apart, so the equal ones could have been."""
    summary = confirmed.summary()
    verdict = summary["verdict"]
    outcomes = {(c["a"], c["b"]): c["metrics"]["R@10"]["outcome"] for c in summary["comparisons"]}
    for equal in (("fast", "fast_too"), ("slow", "slow_too")):
        assert outcomes[equal] in ("undecided", "equivalent")
    different = [(a, b) for a in ("fast", "fast_too") for b in ("slow", "slow_too")]
    assert {outcomes[pair] for pair in different} == {"better"}
    assert (
        "fast retrieves better than slow on the test slides, by more than the margin of 0.01: R@10 +"
        in verdict
    )
    assert (
        f"{CONFIGS} configurations x {SEEDS} seeds x 1 slide (so the interval covers other seeds, not other slides)"
        in verdict
    )
    differences = {(c["a"], c["b"]): c["metrics"]["R@10"]["difference"] for c in summary["comparisons"]}
    assert differences["fast", "fast_too"] != 0 != differences["slow", "slow_too"]
    pairs = [(c["a"], c["b"]) for c in summary["comparisons"] if c["kind"] == "families"]
    assert pairs == [
        ("fast", "fast_too"),
        *[p for p in different if p[0] == "fast"],
        *[p for p in different if p[0] == "fast_too"],
        ("slow", "slow_too"),
    ]
    assert len(summary["comparisons"]) == 6 + 2 * 4  # each family stands beside both baselines


def test_the_report_says_what_the_summary_says(confirmed):
    verdict = confirmed.summary()["verdict"]
    assert verdict in " ".join(confirmed.out.split())
    assert verdict in plain(confirmed.report())
    assert "## Comparisons on the test slides" in confirmed.report()
    retrieval = json.loads((confirmed.folder / "retrieval.json").read_text())
    assert [one["slide"] for one in retrieval["maps"]] == ["E1"]
    assert len(retrieval["maps"][0]["image_to_gene"]) == 28
    queries = [
        query
        for direction in ("image_to_gene", "gene_to_image")
        for query in retrieval["examples"][direction]
    ]
    assert queries
    for query in queries:
        hits = [answer["hit"] for answer in query["top"]]
        assert len(hits) == 5 and any(hits) == (query["rank"] <= 5)


def test_a_patient_on_both_sides_is_warned_about(confirmed):
    assert {row["donor"] for row in rows_of(confirmed.folder / "test_slides.csv")} == {"p1"}
    warnings = [text for text in confirmed.summary()["warnings"] if "of donors that also gave" in text]
    assert len(warnings) == 1 and warnings[0].startswith("1 of 1 test slide is of donors that also gave")
    assert "E1 (p1)" in plain(confirmed.report())
