"""study.db: the SQLite file with one Optuna study a family, the record of truth of a sweep."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from stclip.errors import InputError
from stclip.files.paths import sqlite_url
from stclip.files.regular_files import open_regular
from sweeps.results.no_space import is_no_space

if TYPE_CHECKING:
    from optuna.storages import BaseStorage

# At the start of a journal, and at the end of one that names a further file.
_JOURNAL_MARK = bytes.fromhex("d9d505f920a163d7")


def study_storage(path: Path) -> BaseStorage:
    """The studies in an SQLite file: every write is a transaction, so a killed driver leaves a whole record.

    The folder must exist. The file opens in optuna-dashboard, also while the sweep runs.
    """
    from optuna.storages import RDBStorage, get_storage

    # A reader (optuna-dashboard) may hold the file for a moment: wait for it, do not fail.
    engine = {"connect_args": {"timeout": 60}}
    return get_storage(RDBStorage(study_url(path), engine_kwargs=engine))


def study_url(path: Path) -> str:
    """The file as Optuna wants it named: it puts its own version where braces stand."""
    return sqlite_url(path).replace("{", "{{").replace("}", "}}")


@contextmanager
def first_reading(path: Path) -> Iterator[None]:
    """Around the first reading of a file that somebody else may have written.

    Whatever Optuna, SQLAlchemy and json raise for what no sweep writes there becomes an InputError. A full disk is told as one
    elsewhere, so its error goes through.
    """
    try:
        yield
    except InputError:
        raise
    except Exception as error:  # of many kinds: each part of the file is decoded by another library
        if is_no_space(error):
            raise
        raise InputError(
            f"{path}: cannot be read as the studies of a sweep ({type(error).__name__}: {str(error)[:200]}); close what else "
            "uses it, put back a copy of the file, or start another sweep with --name"
        ) from error


def refuse_foreign_journal(path: Path) -> None:
    """Raise InputError for a journal beside the file that names a further file.

    SQLite goes back to the last whole state by what a journal says, and deletes the file that is named at its end. Only a
    transaction over several databases writes a name there, which a sweep never has: somebody else wrote this one.
    """
    journal = path.with_name(f"{path.name}-journal")
    try:
        with open_regular(journal) as file:
            file.seek(max(0, journal.stat().st_size - len(_JOURNAL_MARK)))
            end = file.read()
    except FileNotFoundError:
        return
    except OSError as error:
        raise InputError(f"{journal}: cannot be read ({error}); delete it") from None
    if end == _JOURNAL_MARK:
        raise InputError(
            f"{journal}: names a further file, which SQLite would delete; no sweep wrote it: delete {journal.name}, and take "
            "results only from people you trust"
        )


def check_study_file(path: Path) -> None:
    """Raise InputError when the file is there but is not a whole SQLite database. Rolls back what a kill cut off."""
    refuse_foreign_journal(path)
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
