"""metrics.csv of a run that goes on from a checkpoint: what came after the checkpoint is trained, and written, again."""

from __future__ import annotations

import csv
import re
from io import StringIO
from pathlib import Path

from stclip.files.guarded_folder import write_below
from stclip.files.regular_files import read_regular


def keep_epochs(path: Path, epochs: int) -> None:
    """Leave only the rows of the first `epochs` epochs in a run's metrics.csv, if there is one.

    A row that a kill cut short, and a file without a readable header, are dropped as well.
    """
    try:
        lines = list(csv.reader(StringIO(read_regular(path).decode(errors="replace"))))
    except FileNotFoundError:
        return
    header = lines[0] if lines else []
    if "epoch" not in header:
        path.unlink()
        return
    column = header.index("epoch")
    kept = [line for line in lines[1:] if len(line) == len(header) and _is_below(line[column], epochs)]
    text = StringIO(newline="")
    csv.writer(text).writerows([header, *kept])
    write_below(path.parent, path.name, text.getvalue())


def _is_below(text: str, epochs: int) -> bool:
    # The file may be somebody else's, with digits that are none to `int`, or more of them than it takes.
    return re.fullmatch(r"[0-9]{1,9}", text) is not None and int(text) < epochs
