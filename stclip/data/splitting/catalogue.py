"""What a catalogue alone cannot tell: whether two of its ids are one section. It can say which pairs look like it."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from io import StringIO
from itertools import combinations
from pathlib import Path

from stclip.files.regular_files import read_text
from stclip.terminal.text import many

# Share by which numbers of spots, and sizes of pixels, of one section differ between publications.
NEAR = 0.01
SHOWN = 5  # pairs
SPOTS, ORGAN, PIXEL = "spots_under_tissue", "organ", "pixel_size_um_estimated"


@dataclass(frozen=True)
class _Row:
    slide: str
    spots: float | None
    organ: str
    pixel: float | None


def unchecked_sections(path: Path, donors: Mapping[str, str]) -> str:
    """What to say of sections in a catalogue: that they were not compared, and which pairs to look at.

    These are slides of different donors with one organ, nearly as many spots under tissue, and nearly the same pixel size (where
    both are known). The catalogue is one that `catalogue_slides` has read.
    """
    rows, missing = _rows(path)
    pairs = [pair for pair in combinations(rows, 2) if _look_like_one(*pair, donors)]
    said = (
        "a catalogue does not say whether two ids are one section (that takes spots, places and expression): split the folder of "
        "the slides, or the data set once it is there, or run check on it"
    )
    if missing:
        return f"{said}; without the column{'s' if len(missing) > 1 else ''} {', '.join(missing)} it cannot be guessed either"
    if not pairs:
        return f"{said}; no two slides of different donors look like it by {SPOTS}, {ORGAN} and {PIXEL}"
    shown = "; ".join(
        f"{a.slide} and {b.slide} ({a.organ}, {a.spots:.0f} and {b.spots:.0f} spots)"
        for a, b in pairs[:SHOWN]
    )
    more = f" and {len(pairs) - SHOWN} more" if len(pairs) > SHOWN else ""
    return f"{said}; cannot be checked, but look alike by {SPOTS} and {ORGAN}: {many(len(pairs), 'pair')}: {shown}{more}"


def _rows(path: Path) -> tuple[list[_Row], list[str]]:
    """The slides, and which of the columns are missing."""
    reader = csv.DictReader(StringIO(read_text(path, encoding="utf-8-sig"), newline=""))
    missing = [column for column in (SPOTS, ORGAN) if column not in (reader.fieldnames or ())]
    slides = [
        _Row(_text(row, "id"), _number(row, SPOTS), _text(row, ORGAN), _number(row, PIXEL)) for row in reader
    ]
    return slides, missing


def _look_like_one(a: _Row, b: _Row, donors: Mapping[str, str]) -> bool:
    if donors.get(a.slide) == donors.get(b.slide) or a.organ.lower() != b.organ.lower():
        return False
    if a.spots is None or b.spots is None:
        return False
    return _near(a.spots, b.spots) and (a.pixel is None or b.pixel is None or _near(a.pixel, b.pixel))


def _near(one: float, other: float) -> bool:
    return abs(one - other) <= NEAR * max(one, other)


def _text(row: Mapping[str, str | None], column: str) -> str:
    return (row.get(column) or "").strip()


def _number(row: Mapping[str, str | None], column: str) -> float | None:
    try:
        value = float(_text(row, column))
    except ValueError:
        return None
    return value if 0 < value < float("inf") else None
