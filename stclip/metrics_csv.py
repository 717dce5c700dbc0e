"""metrics.csv of a run that goes on from a checkpoint: what came after the checkpoint is trained, and written, again."""

from __future__ import annotations

import csv
from io import StringIO
from pathlib import Path


def keep_epochs(path: Path, epochs: int) -> None:
    """Leave only the rows of the first `epochs` epochs in a run's metrics.csv, if there is one.

    A row that a kill cut short, and a file without a readable header, are dropped as well.
    """
    try:
        lines = list(csv.reader(StringIO(path.read_text(encoding="utf-8", errors="replace"))))
    except FileNotFoundError:
        return
    header = lines[0] if lines else []
    if "epoch" not in header:
        path.unlink()
        return
    column = header.index("epoch")
    kept = [line for line in lines[1:] if len(line) == len(header) and _is_below(line[column], epochs)]
    draft = path.with_name(f".{path.name}.draft")
    with draft.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *kept])
    draft.replace(path)


def _is_below(text: str, epochs: int) -> bool:
    return text.isdigit() and int(text) < epochs
