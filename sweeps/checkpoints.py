"""Which checkpoint a trial goes on from, or is kept by: the newest whole one, whatever run of the sweep wrote it."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path

from stclip.evaluate import read_checkpoint
from stclip.train import CHECKPOINT

_NUMBER = re.compile(r"checkpoint_(\d+)")


def newest_checkpoint(ray_dir: Path, trial: str) -> Path | None:
    """The newest checkpoint file of a trial that can be read to its end; None when there is none.

    Args:
        ray_dir: the results folder's `ray/`, with one folder for each run of the sweep, numbered (`0001`).
        trial: the trial's name, `spatial-0007`.
    """
    found = ray_dir.glob(f"[0-9]*/{trial}/checkpoint_*/{CHECKPOINT}")
    return next((path for path in sorted(found, key=_age, reverse=True) if is_whole(path)), None)


def _age(path: Path) -> tuple[int, int]:
    """Run, then place within the run."""
    match = _NUMBER.fullmatch(path.parent.name)
    run = path.parents[2].name
    return int(run) if run.isdigit() else 0, int(match[1]) if match else -1


def is_whole(checkpoint: Path) -> bool:
    """A file that torch wrote to its end: a zip archive whose members all have their checksum.

    A worker that is killed while it copies a checkpoint leaves a shorter file under the final name.
    """
    try:
        with zipfile.ZipFile(checkpoint) as archive:
            return archive.testzip() is None
    except (OSError, zipfile.BadZipFile, ValueError, NotImplementedError):
        return False


def is_checkpoint_of(checkpoint: Path, trial: str) -> bool:
    """Does a whole checkpoint say that the run of this name wrote it?"""
    return bool(read_checkpoint(checkpoint).get("stclip", {}).get("config", {}).get("name") == trial)
