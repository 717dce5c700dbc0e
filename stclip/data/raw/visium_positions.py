"""Space Ranger's tissue positions and scale factors: where each spot lies, and how large a pixel is."""

from __future__ import annotations

import csv
import sys
from collections.abc import Mapping, Sequence
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np

from stclip.data.shards.spot import LARGEST_PLACE
from stclip.errors import DataError, shorten
from stclip.files.regular_files import read_text
from stclip.files.whole_files import read_json_object

PITCH = 100.0  # µm from spot to spot
POSITIONS = ("tissue_positions.csv", "tissue_positions_list.csv", "tissue_positions.parquet")
COLUMNS = ("barcode", "in_tissue", "array_row", "array_col", "pxl_row_in_fullres", "pxl_col_in_fullres")
NEEDED = ("barcode", "in_tissue", "pxl_row_in_fullres", "pxl_col_in_fullres")
DELIMITERS = (",", ";", "\t")  # Space Ranger's, and what spreadsheets make of it
SCALES = "scalefactors_json.json"
LARGEST_TABLE = 2**31  # bytes; of positions as text: a place takes about 60
MOST_PLACES = (
    2**25
)  # of a Parquet file, which can say that it holds more than its size lets one think; 2 µm squares are 11 million


def positions_file(outs: Path, slide: str) -> Path:
    """The first of the three forms that is there. Raises DataError when none is."""
    for name in POSITIONS:
        if (outs / "spatial" / name).is_file():
            return outs / "spatial" / name
    raise DataError(
        f"slide '{slide}': {outs / 'spatial'} has none of {', '.join(POSITIONS)}; copy it from Space Ranger's outs"
    )


def read_positions(outs: Path, slide: str) -> tuple[list[str], np.ndarray]:
    """Barcodes under tissue and their centres, float64 [N, 2] as x, y in pixels of the full-resolution image.

    Raises DataError, naming the line, when it is not as Space Ranger writes it.
    """
    path = positions_file(outs, slide)
    where = f"slide '{slide}': {path}"
    rows = _parquet_rows(path, where) if path.suffix == ".parquet" else _csv_rows(path, where)
    under = [(line, row) for line, row in enumerate(rows, 1) if _number(row, "in_tissue", line, where)]
    places = [
        [_number(row, f"pxl_{axis}_in_fullres", line, where) for axis in ("col", "row")]
        for line, row in under
    ]
    xy = np.array(places, dtype=np.float64)
    if not len(xy) or not (np.abs(xy) < LARGEST_PLACE).all():
        raise DataError(f"{where}: no spot under tissue, or one without a place; copy it again")
    return [str(row["barcode"]) for _, row in under], xy


def microns_per_pixel(outs: Path, xy: np.ndarray, slide: str, pitch: float = PITCH) -> float:
    """As Space Ranger says (it does for Visium HD); else by the distance from spot to spot, which is `pitch` µm."""
    from scipy.spatial import cKDTree

    said = read_scales(outs).get("microns_per_pixel")
    if said is not None and 0 < said < float("inf"):
        return said
    nearest = np.asarray(cKDTree(xy).query(xy, k=2)[0])[:, 1] if len(xy) > 1 else np.zeros(1)
    distance = float(np.median(nearest))
    if not 0 < distance < float("inf"):
        raise DataError(
            f"slide '{slide}': its spots lie on one another, so no scale can be told; give {SCALES} with microns_per_pixel"
        )
    return pitch / distance


def read_scales(outs: Path) -> dict[str, float]:
    """The scale factors that are numbers; {} without the file. Raises DataError when it is no JSON object."""
    path = outs / "spatial" / SCALES
    if not path.is_file():
        return {}
    numbers = read_json_object(path).items()
    return {key: float(v) for key, v in numbers if type(v) in (int, float) and abs(v) <= sys.float_info.max}


def _number(row: Mapping[str, Any], column: str, line: int, where: str) -> float:
    try:
        return float(row[column])
    except (TypeError, ValueError):
        got = shorten(repr(row[column]), 60)
        raise DataError(f"{where}: spot {line}: {column} must be a number, got {got}; put it right") from None


def _csv_rows(path: Path, where: str) -> list[dict[str, Any]]:
    try:
        text = read_text(path, LARGEST_TABLE, "utf-8-sig")
        delimiter = max(DELIMITERS, key=text.partition("\n")[0].count)
        lines = [line for line in csv.reader(StringIO(text, newline=""), delimiter=delimiter) if line]
    except (OSError, ValueError, csv.Error) as error:
        raise DataError(f"{where}: cannot be read as CSV ({error}); copy it again") from None
    if (
        lines and len(lines[0]) == len(COLUMNS) and "barcode" not in lines[0]
    ):  # Space Ranger 1 names no columns
        lines = [list(COLUMNS), *lines]
    header = lines[0] if lines else []
    _check_columns(header, where)
    for number, line in enumerate(lines[1:], 2):
        if len(line) != len(header):
            raise DataError(
                f"{where}: line {number} has {len(line)} entries, the first has {len(header)}; copy it again"
            )
    return [dict(zip(header, line, strict=True)) for line in lines[1:]]


def _parquet_rows(path: Path, where: str) -> list[dict[str, Any]]:
    import pyarrow.parquet  # Ray brings it

    try:
        about = pyarrow.parquet.read_metadata(path)
        _check_columns(about.schema.to_arrow_schema().names, where)
        if about.num_rows > MOST_PLACES:
            raise ValueError(f"it says that it holds {about.num_rows} places, more than {MOST_PLACES}")
        return pyarrow.parquet.read_table(path, columns=list(NEEDED)).to_pylist()
    except DataError:
        raise
    except (
        Exception
    ) as error:  # texts that are none, lengths that cannot be: pyarrow raises what its parts raise
        raise DataError(f"{where}: cannot be read as Parquet ({error}); copy it again") from None


def _check_columns(found: Sequence[str], where: str) -> None:
    missing = [column for column in NEEDED if column not in found]
    if missing:
        got = shorten(", ".join(map(str, found)), 100) or "nothing"
        raise DataError(
            f"{where}: not as Space Ranger writes it: has no column {', '.join(missing)}, got {got}; "
            f"its columns are {', '.join(COLUMNS)}, with commas between them"
        )
