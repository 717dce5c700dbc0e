"""What a person is told of the readings of the test slides: sentences of the verdict, and words.

All from summary.json's `test_reads` (see `sweeps.results.readings`), which a summary of an older sweep lacks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from stclip.terminal.text import many
from sweeps.analysis.looks import looks_factor, looks_level

Tree = Mapping[str, Any]
_NAMED = 4  # of more readings the sentence counts the first ones only


def looks_of(summary: Tree) -> int:
    """Which look at the test slides a summary's numbers are, from 1."""
    return max(1, len(summary.get("test_reads") or []))


def looks_sentence(summary: Tree) -> str:
    """That the verdict's numbers are not of the first reading, and what was done about it; "" for the first."""
    reads = summary.get("test_reads") or []
    if len(reads) < 2:
        return ""
    return (
        f"The test slides were read for the {ordinal(len(reads))} time, after {_history(reads)}; p is corrected for "
        f"{len(reads)} looks (times {looks_factor(len(reads)):g}), and the intervals of differences are "
        f"{level_text(len(reads))} ones."
    )


def earlier_sentence(summary: Tree) -> str:
    """For a verdict without test results: that there have been readings all the same; "" where there were none."""
    reads = summary.get("test_reads") or []
    before = reads if summary.get("confirmation") is None else reads[:-1]  # else the last is the one cut off
    if not before:
        return ""
    times = "once" if len(before) == 1 else f"{len(before)} times"
    return f"The test slides have been read {times} before, after {_history(before)}; the next verdict counts that."


def looks_note(look: int) -> str:
    """For the note on the comparisons: what was done before Holm's correction; "" at the first look."""
    return (
        ""
        if look == 1
        else f"; before it p is multiplied by {looks_factor(look):g}, for the {ordinal(look)} reading"
    )


def level_text(look: int) -> str:
    """`95 %`, `99.5 %`: the level of the intervals of differences."""
    return f"{100 * looks_level(look):.6g} %"


def ordinal(number: int) -> str:
    """`1st`, `2nd`, `11th`."""
    ending = "th" if number % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{ending}"


def _history(reads: Sequence[Tree]) -> str:
    """`24 and then 40 trials a family, with 5 and then 5 seeds`."""
    trials, seeds = [trials_text(one) for one in reads], [str(one["seeds"]) for one in reads]
    last_seeds = many(reads[-1]["seeds"], "seed")
    with_seeds = _in_turn([*seeds[:-1], last_seeds]) if len(set(seeds)) > 1 else last_seeds
    word = "trial" if trials[-1] == "1" else "trials"
    return f"{_in_turn(trials)} {word} a family, with {with_seeds}"


def _in_turn(words: Sequence[str]) -> str:
    if len(words) > _NAMED:
        words = [*words[: _NAMED - 1], "...", words[-1]]
    return f"{', '.join(words[:-1])} and then {words[-1]}" if len(words) > 1 else words[0]


def trials_text(reading: Tree) -> str:
    """How many trials of each family had ended: `24`, or `23 to 24`."""
    ended = reading["trials"].values()
    low, high = min(ended), max(ended)
    return str(low) if low == high else f"{low} to {high}"
