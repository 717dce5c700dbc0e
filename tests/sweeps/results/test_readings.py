"""test_reads.json: what counts as a reading of the test slides, and a file that is whole or an error."""

import json
import re
from datetime import UTC, datetime

import pytest

from stclip.errors import InputError
from sweeps.results.readings import Reading, as_trees, from_trees, read_readings, with_reading, write_readings

WHEN = datetime(2026, 11, 24, 10, 0, tzinfo=UTC)


def planned(clip="clip-0001", spatial="spatial-0003", seeds=2, run=1, trials=24):
    models = {"spatial": spatial, "clip": clip}
    return Reading(
        number=1,
        when=WHEN,
        run=run,
        trials=dict.fromkeys(models, trials),
        budget=trials,
        seeds=seeds,
        models={family: [f"{one}-confirm-{i}" for i in range(seeds)] for family, one in models.items()},
    )


def names_of(reading):
    return {name for names in reading.models.values() for name in names}


FIRST = planned()
ALL = names_of(FIRST)


def test_the_first_confirmation_is_reading_1():
    assert with_reading([], FIRST, set()) == [FIRST]


@pytest.mark.parametrize("through", [set(), {"clip-0001-confirm-0"}, ALL])
def test_what_goes_on_as_planned_is_the_same_reading(through):
    """Cut off before anything was read, after a part of it, or whole: in another run too."""
    assert with_reading([FIRST], planned(run=2), through) == [FIRST]


def test_more_trials_that_leave_the_winners_are_another_reading():
    """Its weights, and so p, are others. It is made at once, and no change of plan takes it back."""
    twice = with_reading([FIRST], planned(run=2, trials=40), ALL)
    assert [(one.number, one.trials["clip"]) for one in twice] == [(1, 24), (2, 40)]
    assert [one.number for one in with_reading(twice, planned(run=3, trials=60), ALL)] == [1, 2, 3]
    # cut off before anything was read, it takes the first one's place
    assert [one.trials["clip"] for one in with_reading([FIRST], planned(run=2, trials=40), set())] == [40]


@pytest.mark.parametrize("other", [planned(clip="clip-0030", run=2), planned(seeds=3, run=2)])
def test_other_winners_or_more_seeds_are_another_reading(other):
    numbered = other.model_copy(update={"number": 2})
    assert with_reading([FIRST], other, ALL) == [FIRST, numbered]
    assert with_reading([FIRST], other, {"clip-0001-confirm-0"}) == [FIRST, numbered]  # one model is enough


def test_a_reading_that_read_nothing_gives_its_place_to_the_next():
    other = planned(clip="clip-0030", run=2)
    assert with_reading([FIRST], other, set()) == [other]
    more = planned(seeds=3, run=2).model_copy(update={"number": 2})
    last = planned(seeds=4, run=3)
    assert with_reading([FIRST, more], last, ALL) == [FIRST, last.model_copy(update={"number": 2})]
    through = ALL | {"clip-0001-confirm-2"}  # of the second reading, one model
    assert [one.run for one in with_reading([FIRST, more], last, through)] == [1, 2, 3]


def test_back_to_the_plan_before_one_that_read_nothing_is_that_reading():
    unread = planned(clip="clip-0030", run=2).model_copy(update={"number": 2})
    assert with_reading([FIRST, unread], planned(run=3), ALL) == [FIRST]


def test_the_file_holds_what_was_written(tmp_path):
    path = tmp_path / "test_reads.json"
    assert read_readings(path) == []
    readings = with_reading([FIRST], planned(seeds=3, run=2), ALL)
    write_readings(path, readings)
    assert read_readings(path) == readings
    assert [one.name for one in tmp_path.iterdir()] == [path.name]
    tree = json.loads(path.read_text())[0]
    assert list(tree) == ["number", "when", "run", "trials", "budget", "seeds", "models"]
    assert tree["when"] == "2026-11-24T10:00:00Z"
    assert from_trees(as_trees(readings), "study.db", "none") == readings


def tree_with(**changes):
    return as_trees([FIRST])[0] | changes


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "Invalid JSON"),
        (json.dumps([tree_with()])[:-20], "Invalid JSON"),
        ("{}", "valid array"),
        ('["a"]', "0: "),
        (json.dumps([tree_with(run="1")]), "0.run: "),
        (json.dumps([tree_with(when="2026-11-24T10:00:00")]), "0.when: "),
        (json.dumps([tree_with(seen=True)]), "0.seen: "),
        (json.dumps([{k: v for k, v in tree_with().items() if k != "models"}]), "0.models: "),
        (json.dumps([tree_with(number=2)]), "numbers must be 1, 2, ..., got [2]"),
    ],
)
def test_a_damaged_file_is_one_line_with_the_way_out(tmp_path, text, told):
    path = tmp_path / "test_reads.json"
    path.write_text(text)
    with pytest.raises(InputError, match=re.escape(told)) as caught:
        read_readings(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: must be the list of readings") and "\n" not in message
    assert message.endswith("delete the file, and --resume writes it again from study.db")


def test_a_file_that_is_no_text_is_damaged_too(tmp_path):
    path = tmp_path / "test_reads.json"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="got a damaged one"):
        read_readings(path)
