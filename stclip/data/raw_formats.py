"""The formats that slides are brought in from, told apart by what lies in the folder."""

from __future__ import annotations

from pathlib import Path

from stclip.data.hest import HestFolder
from stclip.data.raw_slide import Source
from stclip.errors import InputError
from stclip.paths import is_folder


def raw_source(folder: Path) -> Source:
    """The source that reads `folder`; exchanged coordinates are exchanged back. Raises InputError when it is of no format."""
    if is_folder(folder / "st") or is_folder(folder / "patches"):
        return HestFolder(folder, swap_xy=True)
    raise InputError(
        f"{folder}: no folder of slides: HEST-1k's layout has st and patches; give the folder that holds them"
    )
