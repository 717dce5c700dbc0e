"""The folder in which a driver works while the results are at an address; it goes away with the driver."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from stclip.files.paths import cache_dir

_USED = "in use"  # beside the folder of a driver that lives


def own_folder(name: str) -> Path:
    """A place for a driver's own folder; nothing is made yet. Each driver has another."""
    return cache_dir() / "sweeps" / uuid.uuid4().hex[:12] / name


@contextmanager
def lent_folder(folder: Path) -> Iterator[None]:
    """Hold an `own_folder` while the block runs and delete it afterwards, with what killed drivers left behind."""
    home = folder.parent
    home.mkdir(parents=True, exist_ok=True)
    with FileLock(home / _USED):
        for other in home.parent.iterdir():
            if other != home and not any(other.glob("*-not-copied")):
                _remove_if_unused(other)
        try:
            yield
        finally:
            shutil.rmtree(folder, ignore_errors=True)
            if not any(home.glob("*-not-copied")):
                shutil.rmtree(home, ignore_errors=True)


def _remove_if_unused(home: Path) -> None:
    with suppress(Timeout, OSError), FileLock(home / _USED, timeout=0):
        shutil.rmtree(home, ignore_errors=True)
