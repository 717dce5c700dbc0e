"""A results folder that cannot be written: found before a sweep goes on in it, and behind whatever error it causes later."""

from __future__ import annotations

import os
from tempfile import TemporaryFile

from stclip.errors import InputError
from sweeps.results.folder import ResultsFolder
from sweeps.results.no_space import is_no_space

NO_ROOM = "no space left to write results"


def check_writable(folder: ResultsFolder, place: str) -> None:
    """Raise InputError unless a driver can go on in the folder of a sweep: its folders and study.db can be written."""
    reason = _not_writable(folder)
    if reason is not None:
        raise InputError(
            f"results {place}: cannot be written ({reason}); give yourself the right to write there, or copy the folder to a "
            "place of yours and --resume it there"
        )


def results_fault(folder: ResultsFolder, error: BaseException) -> str | None:
    """What is wrong with the results, where that is behind an error; None where they are well.

    A folder that is gone or closed shows itself in errors of many kinds: of the system, of SQLite, Optuna, pyarrow and Tune.
    So it is the folder that is asked.
    """
    if is_no_space(error):
        return NO_ROOM
    if not folder.sweep_yaml.is_file():
        return "the results folder is gone: it was moved or deleted while the sweep ran"
    reason = _not_writable(folder)
    return None if reason is None else f"the results folder cannot be written any more ({reason})"


def _not_writable(folder: ResultsFolder) -> str | None:
    places = (
        folder.path,
        folder.runs_dir,
        folder.trials_dir,
        folder.ray_dir,
        folder.path / "best",
        folder.study_db,
    )
    for place in places:
        needed = os.W_OK if place == folder.study_db else os.W_OK | os.X_OK
        if place.exists() and not os.access(place, needed):
            return f"no permission to write {place.name}"
    try:
        with TemporaryFile(dir=folder.path):  # rights alone do not tell of a disk that is mounted for reading
            return None
    except OSError as error:
        return error.strerror or type(error).__name__
