"""What a person is told of the readings: the report's section, and words. The verdict's sentences: test_verdict.py."""

import pytest

from sweeps.analysis.readings_told import level_text, looks_note, looks_of, looks_sentence, ordinal
from sweeps.reporting.readings import readings_section


def read(number, trials=24, seeds=2, run=1):
    return {
        "number": number,
        "when": "2026-11-24T10:00:00Z",
        "run": run,
        "trials": trials if isinstance(trials, dict) else {"spatial": trials, "clip": trials},
        "budget": 40,
        "seeds": seeds,
        "models": {
            "spatial": [f"spatial-0003-confirm-{i}" for i in range(seeds)],
            "clip": [f"clip-0001-confirm-{i}" for i in range(seeds)],
        },
    }


def test_the_section_has_a_row_a_reading():
    table, note = readings_section({"test_reads": [read(1, seeds=1, run=None), read(2, {"a": 23, "b": 24})]})
    first, second = table.rows
    assert first == ["1", "2026-11-24T10:00:00Z", "-", "24 of 40", "1",
                     "spatial: spatial-0003-confirm-0; clip: clip-0001-confirm-0", "1"]  # fmt: skip
    assert second[2:] == ["1", "23 to 24 of 40", "2",
                          "spatial: spatial-0003-confirm-0 to 1; clip: clip-0001-confirm-0 to 1", "10"]  # fmt: skip
    assert "5 % for the first, and 1 % for all later ones together" in note


@pytest.mark.parametrize("summary", [{}, {"test_reads": []}])
def test_without_a_reading_nothing_is_said(summary):
    assert readings_section(summary) == [] and looks_sentence(summary) == "" and looks_of(summary) == 1


def test_seeds_and_many_readings_are_told_in_turn():
    text = looks_sentence({"test_reads": [read(1, 24, 5), read(2, 24, 10)]})
    assert "after 24 and then 24 trials a family, with 5 and then 10 seeds; p is" in text
    six = {"test_reads": [read(number, 8 * number, 1) for number in range(1, 7)]}
    assert (
        "read for the 6th time, after 8, 16, 24, ... and then 48 trials a family, with 1 seed; "
        in looks_sentence(six)
    )
    assert "6 looks (times 160)" in looks_sentence(six) and looks_of(six) == 6


def test_words_for_looks():
    assert [ordinal(n) for n in (1, 2, 3, 4, 11, 12, 13, 21, 22)] == [
        "1st", "2nd", "3rd", "4th", "11th", "12th", "13th", "21st", "22nd"]  # fmt: skip
    assert [level_text(look) for look in (1, 2, 4)] == ["95 %", "99.5 %", "99.875 %"]
    assert looks_note(1) == ""
    assert looks_note(2) == "; before it p is multiplied by 10, for the 2nd reading"
