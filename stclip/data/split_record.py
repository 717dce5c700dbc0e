"""split.json beside the three split files: how a split was made, for those who read the data set later."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stclip.errors import DataError
from stclip.paths import is_file

SPLIT_RECORD = "split.json"


def write_split_record(folder: Path, record: Mapping[str, Any]) -> None:
    """Write split.json, whole or not at all."""
    partial = folder / f".{SPLIT_RECORD}.partial"
    partial.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    partial.replace(folder / SPLIT_RECORD)


def read_split_record(folder: Path) -> dict[str, Any]:
    """What split.json says; {} where there is none. Raises DataError when it is no JSON object."""
    path = folder / SPLIT_RECORD
    if not is_file(path):
        return {}
    try:
        tree = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(tree, dict):
            raise ValueError(f"a {type(tree).__name__} instead of an object")
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{path}: not valid JSON ({error}); put it right or remove the file") from None
    return tree
