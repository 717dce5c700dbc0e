"""Small files of text and JSON, of a data set or a model: written whole or not at all, read with one line for what is wrong."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from stclip.errors import DataError
from stclip.files.guarded_folder import write_below
from stclip.files.regular_files import check_stays_inside, read_text


def write_whole(path: Path, text: str) -> None:
    """Write a file under another name and give it its own when it is complete. Raises OSError, and LinkError for a link."""
    write_below(path.parent, path.name, text)


def is_there(path: Path) -> bool:
    """Whether anything has this name, were it a pipe or a link to nothing: what is there is read, or refused, not passed over."""
    try:
        return os.path.lexists(path)
    except ValueError:
        return False


def read_own_text(path: Path, encoding: str = "utf-8") -> str:
    """The text of a small file of a data set: a list, a table, a manifest.

    Raises OSError: no such file; a pipe, a device; above 64 MB; a link that leads out of the file's folder, since what it
    shows (and messages quote) is no part of the data set. Raises UnicodeDecodeError for what is no text.
    """
    check_stays_inside(path, path.parent)
    return read_text(path, encoding=encoding)


def read_own_json(path: Path) -> dict[str, Any]:
    """A JSON object of a data set. Raises DataError: it cannot be read (see `read_own_text`), or is anything else."""
    try:
        check_stays_inside(path, path.parent)
    except OSError as error:
        raise DataError(f"{path}: {error}") from None
    return read_json_object(path)


def read_json_object(path: Path) -> dict[str, Any]:
    """A JSON object in a regular file. Raises DataError: it cannot be read, or is anything else."""
    try:
        tree = json.loads(read_text(path))
        if not isinstance(tree, dict):
            raise ValueError(f"an object is needed, got {type(tree).__name__}")
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{path}: not valid JSON ({error}); put it right or remove the file") from None
    return tree
