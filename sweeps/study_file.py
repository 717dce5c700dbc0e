"""study.db: the SQLite file with one Optuna study a family, the record of truth of a sweep."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from stclip.errors import InputError

if TYPE_CHECKING:
    from optuna.storages import BaseStorage


def study_storage(path: Path) -> BaseStorage:
    """The studies in an SQLite file: every write is a transaction, so a killed driver leaves a whole record.

    The folder must exist. The file opens in optuna-dashboard, also while the sweep runs.
    """
    from optuna.storages import RDBStorage, get_storage

    # A reader (optuna-dashboard) may hold the file for a moment: wait for it, do not fail.
    engine = {"connect_args": {"timeout": 60}}
    return get_storage(RDBStorage(f"sqlite:///{path}", engine_kwargs=engine))


def check_study_file(path: Path) -> None:
    """Raise InputError when the file is there but is not a whole SQLite database. Rolls back what a kill cut off."""
    if not path.is_file():
        return
    try:
        with sqlite3.connect(f"file:{quote(str(path))}?mode=rw", uri=True, timeout=60) as connection:
            found = [row[0] for row in connection.execute("PRAGMA integrity_check(1)")]
        connection.close()
    except sqlite3.Error as error:
        found = [str(error)]
    if found != ["ok"]:
        raise InputError(
            f"{path}: the record of the trials is damaged ({' '.join(found[0].split())[:200]}); put back a copy of the file, "
            "or start another sweep with --name; trials.csv still shows what had finished"
        )
