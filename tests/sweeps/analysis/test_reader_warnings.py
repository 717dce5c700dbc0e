"""What a reader of the numbers is warned about, computed from a results folder's files."""

from __future__ import annotations

import pytest

from sweeps.analysis.reader_warnings import edge_of, find_warnings
from tests.sweeps import made_up
from tests.sweeps.made_up import levels, slide_rows
from tests.sweeps.results_folders import SWEEP, folder_of, many, record


def warnings_of(path, records, **options):
    folder = folder_of(path, records, **options)
    return find_warnings(folder.read_sweep(), folder.read_trials(), folder.read_summary())


def test_low_neighbour_coverage_is_warned_about_in_spatial_loss_trials_only(tmp_path):
    low = {**levels("val", 0.3), "train/neighbor_coverage": 0.0002}
    high = {**levels("val", 0.3), "train/neighbor_coverage": 0.4}
    other = {**low, "train/neighbor_coverage": 0.03}
    records = [record(number=i, metrics=m) for i, m in enumerate((high, low, other, low))]
    clip = [record("clip", i, metrics=low) for i in range(4)]
    (text,) = warnings_of(tmp_path / "a", records + clip)
    assert text.startswith(
        "Neighbour coverage was below 0.05 in 3 of 4 trials whose loss reads neighbours (lowest 0.0002, first soft-0001)"
    )
    assert "the neighbour term had nothing to act on; try data.batching: neighborhood" in text
    just = {**levels("val", 0.3), "train/neighbor_coverage": 0.05}
    assert (
        warnings_of(tmp_path / "b", [*many(metrics=high), record(number=4, metrics=just), record("clip", 4)])
        == []
    )


def test_a_best_value_at_the_edge_of_its_range_is_warned_about(tmp_path):
    (text,) = warnings_of(tmp_path / "a", many(params={"model.temperature": 0.95, "data.batching": "random"}))
    assert text == (
        "The best model.temperature of soft, 0.95, is at the upper end of its range (0.01 to 1): "
        "a better value may lie outside; widen the range."
    )
    (text,) = warnings_of(tmp_path / "b", many(params={"loss.neighbor_alpha_scale": 0.01}))
    assert "lower end of its range (0 to 2): 0 switches it off" in text
    assert warnings_of(tmp_path / "c", many(params={"model.temperature": 0.5})) == []
    (text,) = warnings_of(tmp_path / "d", many(params={"model.temperature": 0.0101}))
    assert text.endswith(
        "at the lower end of its range (0.01 to 1): a better value may lie outside; widen the range."
    )


@pytest.mark.parametrize(
    ("value", "low", "high", "log", "side"),
    [
        (0.02, 0.0, 1.0, False, "lower"),
        (0.021, 0.0, 1.0, False, None),
        (0.981, 0.0, 1.0, False, "upper"),
        (0.979, 0.0, 1.0, False, None),
        (1.09, 1.0, 100.0, True, "lower"),  # 100 ** 0.02 = 1.096
        (1.11, 1.0, 100.0, True, None),
        (91.5, 1.0, 100.0, True, "upper"),  # 100 ** 0.98 = 91.2
        (91.0, 1.0, 100.0, True, None),
        (True, 0, 1, False, None),
        ("random", None, None, False, None),
        (0.5, None, None, False, None),
    ],
)
def test_the_edge_is_two_percent_of_the_range(value, low, high, log, side):
    assert edge_of(value, {"low": low, "high": high, "log": log}) == side


def test_a_winner_among_few_complete_trials_is_warned_about(tmp_path):
    records = [record(number=i) for i in range(4)] + [record("clip", i) for i in range(2)]
    records += [record("clip", 2, "PRUNED"), record("clip", 3, "FAIL", error="x")]
    (text,) = warnings_of(tmp_path / "a", records)
    assert text == (
        "The winner of clip was chosen among 2 complete trials of 4 (1 pruned and 1 failed), fewer than 4: better settings are "
        "easily missed; raise --trials."
    )
    (text,) = warnings_of(
        tmp_path / "b", [record(), *(record("clip", i) for i in range(4))], budgets={"soft": 1}
    )
    assert text.startswith("The winner of soft was chosen among 1 complete trial, fewer than 4: ")
    # Without a winner there is none that was chosen among few.
    assert (
        warnings_of(tmp_path / "c", [record(number=i, state="FAIL") for i in range(4)], budgets={"soft": 4})
        == []
    )


def test_a_search_of_which_half_failed_is_warned_about(tmp_path):
    def ended(*states):
        return [record(f, i, state) for f in ("soft", "clip") for i, state in enumerate(states)]

    half = ended(*["COMPLETE"] * 4, *["PRUNED"] * 2, *["FAIL"] * 6)
    texts = warnings_of(tmp_path / "a", half)
    assert texts == [
        f"The winner of {family} was chosen among 4 complete trials of 12 (2 pruned and 6 failed): what the failed ones would "
        "have given is not known; see Failures."
        for family in ("soft", "clip")
    ]
    less = ended(*["COMPLETE"] * 4, *["PRUNED"] * 3, *["FAIL"] * 6)
    assert warnings_of(tmp_path / "b", less) == []
    assert warnings_of(tmp_path / "c", ended(*["COMPLETE"] * 4, *["PRUNED"] * 30)) == []


def test_a_small_gallery_is_warned_about(tmp_path):
    small = levels("val", 0.5, chance_1=1 / 29)
    records = [record(number=i, metrics=small) for i in range(4)]
    (text,) = warnings_of(tmp_path / "a", records + [record("clip", i, metrics=small) for i in range(4)])
    assert text.startswith("The smallest gallery has 29 spots (val), under 30")
    edge = levels("val", 0.5, chance_1=1 / 31)
    fine = [record(f, i, metrics=edge) for f in ("soft", "clip") for i in range(4)]
    assert warnings_of(tmp_path / "b", fine) == []
    data = {"val": {"slides": 5, "smallest_gallery": 31}, "test": {"slides": 10, "smallest_gallery": 12}}
    (text,) = warnings_of(tmp_path / "c", fine, sweep={**SWEEP, "data": data})
    assert text.startswith("The smallest gallery has 12 spots (test), under 30")
    just = levels("val", 0.5, chance_1=1 / 30)
    mixed = [record(f, i, metrics=m) for f, m in (("soft", edge), ("clip", just)) for i in range(4)]
    assert warnings_of(tmp_path / "d", mixed) == []
    mixed = [record(f, i, metrics=m) for f, m in (("soft", edge), ("clip", small)) for i in range(4)]
    (text,) = warnings_of(tmp_path / "e", mixed)
    assert text.startswith("The smallest gallery has 29 spots (val)")
    (text,) = warnings_of(tmp_path / "f", fine, baselines={"cca": ({"R@1": 0.5, "chance_R@1": 1 / 29}, {})})
    assert text.startswith("The smallest gallery has 29 spots (val)")


def test_spots_that_were_left_out_are_added_up(tmp_path):
    (text,) = warnings_of(tmp_path, many(), sweep={**SWEEP, "data": {"skipped_spots": {"A": 2, "B": 3}}})
    assert text == "Broken spots were left out (data.on_bad_spot: skip), 5 in all (A: 2, B: 3)."


def test_unequal_numbers_of_trials_are_warned_about(tmp_path):
    (text,) = warnings_of(tmp_path / "a", [*many(), record("clip", 4, "FAIL", error="x")])
    assert (
        text == "The families did not have the same number of trials (soft 4, clip 5); go on with --resume."
    )


def test_trials_that_spread_no_more_than_seeds_are_warned_about_without_a_claim_of_equality(tmp_path):
    def with_spread(step):
        vals = [levels("val", 0.3 + step * i) for i in range(6)]
        return [record(f, i, metrics=val) for f in ("soft", "clip") for i, val in enumerate(vals)]

    values = [[0.35], [0.36], [0.34]]
    # A standard deviation of 0.01 from seed to seed.
    again = made_up.confirmed("soft", values, val_step=0.01, number=5)
    options = {"rows": slide_rows("soft", values), "confirmed": again, "seeds": 3}
    (text,) = warnings_of(tmp_path / "a", with_spread(0.002), **options)
    assert text == (
        "val/R@10 has a standard deviation of 0.004 among the 6 complete trials of soft, and of 0.010 among 3 seeds of its "
        "winner: seeds alone can spread so much (F test, 5 %). Which trial won may be luck, so read little into its parameters; "
        "that the settings are equally good is not shown."
    )
    assert warnings_of(tmp_path / "b", with_spread(0.1), **options) == []
    # Variances of 1 to 10 with 5 and 2 degrees of freedom: the F test's limit is 19.3, the other way round 5.8.
    within = with_spread(0.0169)
    unfinished = [record(f, 7, "PRUNED", metrics=levels("val", 5.0)) for f in ("soft", "clip")]
    folder = folder_of(tmp_path / "c", [*within, *unfinished], **options)
    rows = folder.read_trials()
    rows.append({"family": "soft", "state": "COMPLETE", "val/R@10": "nan"})  # a value that is none
    (text,) = find_warnings(folder.read_sweep(), rows, folder.read_summary())
    assert " among the 6 complete trials of soft, " in text
    few = [one for one in with_spread(0.002) if one.number > 2]
    texts = warnings_of(tmp_path / "d", few, **options)
    assert len(texts) == 2 and all("was chosen among 3 complete trials" in text for text in texts)


def test_a_confirmation_that_lost_seeds_is_warned_about(tmp_path):
    values = [[0.35, 0.3], [0.36, 0.3], [0.34, 0.3]]
    vals = [levels("val", 0.1 * i) for i in range(1, 6)]
    records = [record(f, i, metrics=val) for f in ("soft", "clip") for i, val in enumerate(vals)]
    again = made_up.confirmed("soft", values, val_step=0.001, failed=(1,), number=4)
    (text,) = warnings_of(tmp_path / "a", records, rows=slide_rows("soft", values), confirmed=again, seeds=3)
    assert text == "The confirmation of soft has 2 of 3 trainings (soft-0004-confirm-1: MemoryError: out)."
    (text,) = warnings_of(
        tmp_path / "b", records, rows=slide_rows("soft", values), confirmed=again[::2], seeds=3
    )
    assert text == "The confirmation of soft has 2 of 3 trainings; go on with --resume."


def test_a_test_slide_whose_donor_was_trained_on_is_warned_about(tmp_path):
    donors = {"train": {"A": "p1", "B": "p2"}, "val": {"C": "p1"}, "test": {"D": "p2", "E": "p3"}}
    (text,) = warnings_of(tmp_path / "a", many(), sweep={**SWEEP, "data": {"donors": donors}})
    assert text.startswith("1 of 2 test slides are of donors that also gave a training slide (D (p2)): ")
    donors["test"] |= dict.fromkeys("FGHI", "p1")
    (text,) = warnings_of(tmp_path / "five", many(), sweep={**SWEEP, "data": {"donors": donors}})
    assert text.startswith("5 of 6 test slides") and "I (p1)): the numbers" in text
    donors["test"]["J"] = "p1"
    (text,) = warnings_of(tmp_path / "six", many(), sweep={**SWEEP, "data": {"donors": donors}})
    assert text.startswith("6 of 7 test slides") and "I (p1), ...): the numbers" in text
    donors["test"] = {"D": "p4", "E": "p3"}
    assert warnings_of(tmp_path / "b", many(), sweep={**SWEEP, "data": {"donors": donors}}) == []
