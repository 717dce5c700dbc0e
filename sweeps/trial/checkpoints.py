"""Which checkpoint a trial goes on from, or is kept by: the newest whole one of its own, whatever run of the sweep wrote it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from stclip.config import Experiment
from stclip.files.addresses import is_address, open_address
from stclip.files.paths import is_file, is_folder
from stclip.training.checkpoint_content import said_config
from stclip.training.checkpoint_file import CHECKPOINT, is_whole, read_checkpoint

_RUN, _NUMBER = re.compile("[0-9]+"), re.compile("checkpoint_([0-9]+)")  # names of folders
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
    top = Path(ray_dir)
    for run, name in _newest_first(_subfolders(top), lambda run: _subfolders(top / run / trial)):
        path = top / run / trial / name / CHECKPOINT
        if is_file(path):
            yield path


def _at_address(ray_dir: str, trial: str, into: Path) -> Iterator[Path]:
    """Newest first, each copied when it is asked for, in place of the one before."""
    remote = open_address(ray_dir)
    for run, name in _newest_first(remote.folders(), lambda run: remote.folders(f"{run}/{trial}")):
        if remote.exists(f"{run}/{trial}/{name}/{CHECKPOINT}"):
            remote.download(f"{run}/{trial}/{name}/{CHECKPOINT}", into / CHECKPOINT)
            yield into / CHECKPOINT


def _subfolders(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if is_folder(path)] if is_folder(folder) else []


def _newest_first(runs: Iterable[str], names: Callable[[str], Iterable[str]]) -> list[tuple[str, str]]:
    """Run and checkpoint, of all that bear names as Tune gives them; `names` has what lies in a run's folder of the trial."""
    places = [
        (run, name) for run in runs if _RUN.fullmatch(run) for name in names(run) if _NUMBER.fullmatch(name)
    ]
    return sorted(places, key=lambda place: (int(place[0]), int(place[1].rpartition("_")[2])), reverse=True)


def is_checkpoint_of(checkpoint: Path, config: Experiment) -> bool:
    """Is a whole file a checkpoint of this very trial: does all that it says of its configuration hold?

    Raises InputError for a file that is not safe to read, or whose configuration is malformed.
    """
    said = said_config(read_checkpoint(checkpoint, weights=False), checkpoint)
    return bool(said) and _holds(said, config.model_dump(mode="json"), ())


def _holds(said: Any, there: Any, path: tuple[str, ...]) -> bool:
    if path in _PLACES:
        return True
    if isinstance(said, Mapping) and isinstance(there, Mapping):
        return all(key in there and _holds(value, there[key], (*path, key)) for key, value in said.items())
    return bool(said == there)
