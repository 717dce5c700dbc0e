"""The console that all output with colours, tables or bars goes to."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

_SIZES = ("COLUMNS", "LINES")
_SIZE = re.compile(r"[1-9]\d{0,3}", re.ASCII)


def make_console(width: int | None = None) -> Console:
    """One of rich's, on standard output; `width` in characters, None for the terminal's.

    rich takes `²` and numbers of a thousand digits for a width, and raises. So a COLUMNS or LINES that is no size is removed from
    the environment, as if it were not set.
    """
    from rich.console import Console

    for name in _SIZES:
        if not _SIZE.fullmatch(os.environ.get(name, "1")):
            del os.environ[name]
    return Console(width=width)
