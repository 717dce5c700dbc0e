"""What a sweep says of its readings of the test slides."""

from tests.whole_sweeps.kept import section
from tests.whole_sweeps.sweep_runner import rows_of


def check_nothing_of_test_is_shown(ended):
    """A confirmation was cut off before its first three trainings: a report of the rest would be a look of its own."""
    summary = ended.summary()
    assert [one["number"] for one in summary["test_reads"]] == [1]
    told = "No verdict yet: the confirmation was cut off, 3 trainings before its end;"
    assert summary["verdict"].startswith(told)
    shown = [entry["best"] for entry in summary["families"].values()] + [*summary["baselines"].values()]
    assert [one["test"] for one in shown] == [{}] * 4  # two families, two baselines
    assert summary["comparisons"] == []
    assert rows_of(ended.folder / "test_slides.csv") == []


def check_second_reading(ended, before, trials, seeds):
    """The sweep went on to `trials` and `seeds`, one more of each than `before`, and run 2 read the test slides again."""
    summary, report = ended.summary(), ended.report()
    first, second = summary["test_reads"]
    assert [first] == before.summary()["test_reads"]
    assert (second["number"], second["run"], second["seeds"]) == (2, 2, seeds)
    assert second["trials"] == dict.fromkeys(summary["families"], trials)
    told = f"after {trials - 1} and then {trials} trials a family, with {seeds - 1} and then {seeds} seeds; p is corrected"
    assert f"The test slides were read for the 2nd time, {told} for 2 looks (times 10)" in summary["verdict"]
    found = [one for pair in summary["comparisons"] for one in pair["metrics"].values()]
    assert len(found) == 5 * 3  # one pair, two families beside two baselines
    assert all(one["p_holm"] >= min(1, 10 * one["p"]) for one in found)
    assert "for the 2nd reading" in section(report, "Comparisons on the test slides")
    rows = [
        line
        for line in section(report, "Readings of the test slides").splitlines()
        if "-confirm-0 to" in line
    ]
    assert len(rows) == 2
