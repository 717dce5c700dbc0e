"""Small files of text and JSON: written whole or not at all, read with one line for what is wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from stclip.errors import DataError


def write_whole(path: Path, text: str) -> None:
    """Write a file under another name and give it its own when it is complete. Raises OSError."""
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)


def read_json_object(path: Path) -> dict[str, Any]:
    """A JSON object. Raises DataError: it cannot be read, or is anything else."""
    try:
        tree = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(tree, dict):
            raise ValueError(f"an object is needed, got {type(tree).__name__}")
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{path}: not valid JSON ({error}); put it right or remove the file") from None
    return tree
