"""Which checkpoint a trial goes on from, or is kept by: the newest whole one of its own, whatever run of the sweep wrote it."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from stclip.config import Experiment
from stclip.evaluate import read_checkpoint
from stclip.regular_files import open_regular
from stclip.remote import is_address, open_address
from stclip.train import CHECKPOINT

_NUMBER = re.compile(r"checkpoint_(\d+)")
# What may differ between a trial's runs without making it another trial: where its data lie, and on what it trains.
_PLACES = (("data", "root"), ("data", "dataset"), ("trainer",))


def newest_checkpoint(ray_dir: str, config: Experiment, into: Path) -> Path | None:
    """The newest checkpoint file of a trial that can be read to its end; None when there is none.

    Args:
        ray_dir: the `ray/` of the results, a folder or an address, with one folder for each run of the sweep (`0001`).
        config: the trial's configuration. A checkpoint of its name that says anything else is another trial's: a driver
            whose record lagged behind may have given the name twice.
        into: a folder that exists, for the copy of a checkpoint that lies at an address.
    """
    found = (
        _at_address(ray_dir, config.name, into) if is_address(ray_dir) else _in_folder(ray_dir, config.name)
    )
    return next((path for path in found if is_whole(path) and is_checkpoint_of(path, config)), None)


def _in_folder(ray_dir: str, trial: str) -> Iterator[Path]:
    """Newest first."""
    found = Path(ray_dir).glob(f"[0-9]*/{trial}/checkpoint_*/{CHECKPOINT}")
    yield from sorted(found, key=lambda path: _age(path.parents[2].name, path.parent.name), reverse=True)


def _at_address(ray_dir: str, trial: str, into: Path) -> Iterator[Path]:
    """Newest first, each copied when it is asked for, in place of the one before."""
    remote = open_address(ray_dir)
    runs = [run for run in remote.folders() if run.isdigit()]
    places = [
        (run, name) for run in runs for name in remote.folders(f"{run}/{trial}") if _NUMBER.fullmatch(name)
    ]
    for run, name in sorted(places, key=lambda place: _age(*place), reverse=True):
        if remote.exists(f"{run}/{trial}/{name}/{CHECKPOINT}"):
            remote.download(f"{run}/{trial}/{name}/{CHECKPOINT}", into / CHECKPOINT)
            yield into / CHECKPOINT


def _age(run: str, checkpoint: str) -> tuple[int, int]:
    """Run, then place within the run."""
    match = _NUMBER.fullmatch(checkpoint)
    return int(run) if run.isdigit() else 0, int(match[1]) if match else -1


def is_whole(checkpoint: Path) -> bool:
    """A file that torch wrote to its end: a zip archive whose members all have their checksum.

    A worker that is killed while it copies a checkpoint leaves a shorter file under the final name.
    """
    try:
        with open_regular(checkpoint) as file, zipfile.ZipFile(file) as archive:
            return archive.testzip() is None
    except (OSError, zipfile.BadZipFile, ValueError, NotImplementedError):
        return False


def is_checkpoint_of(checkpoint: Path, config: Experiment) -> bool:
    """Is a whole file a checkpoint of this very trial: does all that it says of its configuration hold?

    Raises InputError for a file that is not safe to read, or no checkpoint.
    """
    said = read_checkpoint(checkpoint).get("stclip", {}).get("config", {})
    return bool(said) and _holds(said, config.model_dump(mode="json"), ())


def _holds(said: Any, there: Any, path: tuple[str, ...]) -> bool:
    if path in _PLACES:
        return True
    if isinstance(said, Mapping) and isinstance(there, Mapping):
        return all(key in there and _holds(value, there[key], (*path, key)) for key, value in said.items())
    return bool(said == there)
