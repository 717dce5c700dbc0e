"""Whose tissue each slide is, where the data set says so: slides of one donor are not independent of each other.

donors.csv      columns `slide` and `donor` (further ones are ignored), a row a slide; or, where there is none,
manifest.json   `donor`: {slide: donor}
"""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from io import StringIO
from pathlib import Path

from stclip.data.shards.splits import Splits
from stclip.errors import DataError, shorten
from stclip.files.whole_files import is_there, read_own_text, write_whole

DONORS = "donors.csv"


def read_donors(dataset_dir: Path, splits: Splits) -> dict[str, str]:
    """Slide -> donor, for every slide of the splits; empty when the data set does not say.

    Raises DataError: a file that cannot be read, or that lacks a column or a slide, or names two donors of one slide.
    """
    slides = (*splits.train, *splits.val, *splits.test)
    path = dataset_dir / DONORS
    known = known_donors(dataset_dir)
    if not known:
        return {}
    missing = [slide for slide in slides if slide not in known]
    if missing:
        source = path if is_there(path) else dataset_dir / "manifest.json"
        raise DataError(
            f"{source}: names no donor for {len(missing)} of {len(slides)} slides (such as {missing[0]}); give every slide "
            "one, or remove the donors"
        )
    return {slide: known[slide] for slide in slides}


def known_donors(dataset_dir: Path) -> dict[str, str]:
    """Slide -> donor, for the slides of which donors.csv, or else the manifest, says it. Raises DataError as `read_donors`."""
    path = dataset_dir / DONORS
    return read_csv_donors(path) if is_there(path) else _from_manifest(dataset_dir / "manifest.json")


def read_csv_donors(path: Path) -> dict[str, str]:
    """Slide -> donor as a donors.csv has it. Raises DataError: no CSV, a column or a cell is missing, two donors of a slide."""
    try:
        reader = csv.DictReader(StringIO(read_own_text(path, "utf-8-sig"), newline=""))
        columns: Sequence[str] = reader.fieldnames or ()
        rows = list(reader)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: cannot be read as CSV ({error}); write the columns slide,donor") from None
    for column in ("slide", "donor"):
        if column not in columns:
            got = shorten(", ".join(map(str, columns)), 100) or "nothing"
            raise DataError(f"{path}: has no column '{column}', got {got}; write the columns slide,donor")
    found: dict[str, str] = {}
    for number, row in enumerate(rows, 2):
        slide, donor = (row["slide"] or "").strip(), (row["donor"] or "").strip()
        if not slide or not donor:
            raise DataError(
                f"{path}: line {number} lacks its slide or its donor; fill it in, or remove the line"
            )
        if found.setdefault(slide, donor) != donor:
            raise DataError(
                f"{path}: line {number} says that slide '{slide}' is of '{donor}', a line before of '{found[slide]}'; "
                "leave one of them"
            )
    return found


def write_csv_donors(path: Path, donors: Mapping[str, str]) -> None:
    """Write a donors.csv: slide -> donor, in the order given. Raises OSError."""
    text = StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["slide", "donor"])
    writer.writerows(donors.items())
    write_whole(path, text.getvalue())


def _from_manifest(path: Path) -> dict[str, str]:
    try:
        tree = json.loads(read_own_text(path))
    except (OSError, ValueError, RecursionError):
        return {}  # optional, and nothing else of it is needed to train
    donors = tree.get("donor") if isinstance(tree, dict) else None
    if donors is None:
        return {}
    if not isinstance(donors, dict) or not all(isinstance(d, str) and d for d in donors.values()):
        raise DataError(
            f"{path}: `donor` must map each slide to its donor's name, got {shorten(str(donors), 100)}"
        )
    return {str(slide): donor for slide, donor in donors.items()}
