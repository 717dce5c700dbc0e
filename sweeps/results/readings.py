"""test_reads.json: every reading of the test slides, on record beside sweep.yaml.

A list, oldest first, of

    {number, when, run, trials: {<family>: ended}, budget, seeds, models: {<family>: [<name>, ...]}}

A *reading* is one confirmation as it was planned: these winners, trained again with so many seeds, and read on the test
slides. It is entered before its first training begins, so that a kill cannot hide it. These are the cases:

- A sweep that goes on with the same trials, winners and seeds makes no new reading. Nothing new is read, or the trainings that a
  cut-off left are finished.
- More trials, other winners or more seeds are a new reading, also where each model has been read before: the verdict is
  another one, since the weights of a family's configurations follow the number of its trials.
- A confirmation that was cut off (Ctrl-C, the clock, a fault, a kill) and goes on as planned is one reading. For that its
  report shows nothing of the test slides until every training has ended: no recall, no p-value, no verdict. The values are
  in confirm.csv and study.db as they come in, and a person can look at them there. That is no look in this sense: what will
  be tested is fixed, so knowing a part of it early cannot change the result. It could make the person turn to another
  plan, and that is a new reading, since this one is on record already.
- A reading is taken back only when the plan changes before any of its new trainings was through its last epoch: the test
  slides are read after that, so it has read nothing.
"""

from __future__ import annotations

import json
from collections.abc import Container, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import (
    AwareDatetime,
    BaseModel,
    ConfigDict,
    NonNegativeInt,
    PositiveInt,
    TypeAdapter,
    ValidationError,
)

from stclip.errors import InputError
from stclip.files.guarded_folder import write_below
from stclip.files.regular_files import read_text


class Reading(BaseModel):
    """One reading of the test slides.

    Attributes:
        number: 1 for the first.
        when: when it was entered, in UTC.
        run: the run of the driver (see `sweeps.results.run_log`); None where it is not known any more.
        trials: family -> trials of the search that had ended.
        budget: trials that were planned for each family.
        seeds: of the confirmation, for each family.
        models: family -> names of the trainings that read the test slides.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    number: PositiveInt
    when: AwareDatetime
    run: PositiveInt | None
    trials: dict[str, NonNegativeInt]
    budget: PositiveInt
    seeds: PositiveInt
    models: dict[str, list[str]]


_READINGS = TypeAdapter(list[Reading])
_WAY_OUT = "delete the file, and --resume writes it again from study.db"


def with_reading(
    readings: Sequence[Reading], planned: Reading, may_have_read: Container[str]
) -> list[Reading]:
    """The readings once the `planned` one begins; the same when it only goes on with the last. Its number is set here.

    Args:
        readings: those on record.
        planned: the confirmation that is to be run now.
        may_have_read: names of the trainings that were through their last epoch at least.
    """
    kept = list(readings)
    while kept and not _is_same(kept[-1], planned) and not _has_read(kept, may_have_read):
        kept.pop()
    if kept and _is_same(kept[-1], planned):
        return kept
    return [*kept, planned.model_copy(update={"number": len(kept) + 1})]


def _is_same(one: Reading, other: Reading) -> bool:
    """Whether both make the same verdict, from the same models with the same weights."""
    return one.models == other.models and one.trials == other.trials


def _has_read(readings: Sequence[Reading], may_have_read: Container[str]) -> bool:
    """Whether the last reading made a verdict, or read anything that those before it had not."""
    before = {name for reading in readings[:-1] for names in reading.models.values() for name in names}
    own = [name for names in readings[-1].models.values() for name in names]
    new = [name for name in own if name not in before]
    return any(name in may_have_read for name in new) or all(name in may_have_read for name in own)


def as_trees(readings: Sequence[Reading]) -> list[dict[str, Any]]:
    """The readings as JSON has them."""
    return [reading.model_dump(mode="json") for reading in readings]


def from_trees(trees: Sequence[Mapping[str, Any]], source: str, way_out: str) -> list[Reading]:
    """The same backwards. Raises InputError, which calls the place `source`."""
    return _parsed(json.dumps(list(trees)), source, way_out)


def read_readings(path: Path) -> list[Reading]:
    """The readings of test_reads.json; none when there is no such file. Raises InputError for a damaged one."""
    try:
        text = read_text(path)
    except FileNotFoundError:
        return []
    except (OSError, UnicodeDecodeError) as error:
        raise _damaged(str(path), str(error), _WAY_OUT) from None
    return _parsed(text, str(path), _WAY_OUT)


def write_readings(path: Path, readings: Sequence[Reading]) -> None:
    """Replace test_reads.json."""
    write_below(path.parent, path.name, json.dumps(as_trees(readings), indent=2) + "\n")


def _parsed(text: str, source: str, way_out: str) -> list[Reading]:
    try:
        readings = _READINGS.validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise _damaged(source, f"{place}: {first['msg']}" if place else first["msg"], way_out) from None
    numbers = [reading.number for reading in readings]
    if numbers != [*range(1, len(readings) + 1)]:
        raise _damaged(source, f"numbers must be 1, 2, ..., got {numbers}", way_out)
    return readings


def _damaged(source: str, what: str, way_out: str) -> InputError:
    return InputError(
        f"{source}: must be the list of readings of the test slides, as the sweep wrote it, got a damaged one "
        f"({' '.join(what.split())[:200]}); {way_out}"
    )
