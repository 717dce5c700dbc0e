"""What is known of each slide of a data set: from its shards, its manifest and its donors; or from a catalogue."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np

from stclip.data.shards import raw_spots, read_manifest
from stclip.data.shards.donors import known_donors
from stclip.data.shards.spot import decode_text
from stclip.data.splitting.duplicates import Section
from stclip.errors import DataError, shorten
from stclip.files.regular_files import read_text


@dataclass(frozen=True)
class SlideRow:
    """One slide; None for what nobody says."""

    slide: str
    spots: int | None = None
    donor: str | None = None
    technology: str | None = None


def dataset_slides(dataset_dir: Path) -> list[SlideRow]:
    """Every folder with shards, sorted. Raises DataError when there is none."""
    names = sorted(
        {
            path.parent.name
            for path in dataset_dir.glob("*/*.tar")
            if not path.parent.name.startswith(".") and not path.name.startswith(".")
        }
    )
    if not names:
        raise DataError(
            f"{dataset_dir}: holds no slide with shards; bring slides in first, see data/README.md"
        )
    manifest = read_manifest(dataset_dir)
    donors = known_donors(dataset_dir)
    counted = _mapping(_mapping(manifest, "outputs"), "per_sample_spots")
    technologies = _mapping(manifest, "technology")
    return [
        SlideRow(
            slide,
            spots=counted.get(slide) if isinstance(counted.get(slide), int) else None,
            donor=donors.get(slide),
            technology=str(technologies[slide]) if slide in technologies else None,
        )
        for slide in names
    ]


def catalogue_slides(path: Path) -> list[SlideRow]:
    """The rows of a csv with the columns `id`, `donor` and, if known, `st_technology`. Raises DataError for another."""
    try:
        reader = csv.DictReader(StringIO(read_text(path, encoding="utf-8-sig"), newline=""))
        columns = list(reader.fieldnames or ())
        rows = list(reader)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(
            f"{path}: cannot be read as CSV ({error}); write the columns id,donor,st_technology"
        ) from None
    for column in ("id", "donor"):
        if column not in columns:
            got = shorten(", ".join(columns), 100) or "nothing"
            raise DataError(
                f"{path}: has no column '{column}', got {got}; write the columns id,donor,st_technology"
            )
    found: dict[str, SlideRow] = {}
    for number, row in enumerate(rows, 2):
        slide, donor = (row["id"] or "").strip(), (row["donor"] or "").strip()
        if not slide or not donor or slide in found:
            wrong = f"names '{slide}' a second time" if slide in found else "lacks its id or its donor"
            raise DataError(f"{path}: line {number} {wrong}; give every slide one line with both")
        found[slide] = SlideRow(
            slide, donor=donor, technology=(row.get("st_technology") or "").strip() or None
        )
    return list(found.values())


def read_section(dataset_dir: Path, slide: str) -> Section:
    """Coordinates, sentences and names of a slide, without its tiles. Raises DataError for a spot that cannot be read."""
    spots = [(*decode_text(raw), raw.spot) for raw in raw_spots(dataset_dir, slide)]
    xy = np.array([spot[:2] for spot in spots], dtype=np.float64).reshape(-1, 2)
    return Section(xy, [spot[2] for spot in spots], [spot[3] for spot in spots])


def _mapping(tree: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = tree.get(key)
    return value if isinstance(value, dict) else {}
