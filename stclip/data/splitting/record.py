"""split.json beside the three split files: how a split was made, for those who read the data set later."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stclip.files.whole_files import is_there, read_own_json, write_whole

SPLIT_RECORD = "split.json"


def write_split_record(folder: Path, record: Mapping[str, Any]) -> None:
    """Write split.json. Raises OSError."""
    write_whole(folder / SPLIT_RECORD, json.dumps(record, indent=2) + "\n")


def read_split_record(folder: Path) -> dict[str, Any]:
    """What split.json says; {} where there is none. Raises DataError when it is no JSON object."""
    path = folder / SPLIT_RECORD
    return read_own_json(path) if is_there(path) else {}
