"""report.md and report.html from a results folder's files alone: `python sweeps/report.py results/NAME` writes them again."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from stclip.errors import InputError
from stclip.files.guarded_folder import check_no_links
from stclip.terminal.output import run_command
from stclip.terminal.parser import OneLineParser
from sweeps.reporting.html_page import NOT_AS_WRITTEN
from sweeps.reporting.write import write_report
from sweeps.results.folder import ResultsFolder
from sweeps.results.record import SweepRecord
from sweeps.text import printable


def _written(folder: ResultsFolder) -> Path:
    """`write_report` for a folder of somebody else. Raises InputError for files that were edited, and for links."""
    check_no_links(folder.path)
    try:
        return write_report(folder)
    except InputError:
        raise
    except OSError as error:
        raise InputError(
            f"{folder.path}: the report cannot be written ({error.strerror or error}); give yourself the right to write there, "
            "or copy the folder to a place of yours"
        ) from None
    except NOT_AS_WRITTEN as error:
        raise InputError(
            f"{folder.path}: its sweep.yaml, trials.csv, summary.json or retrieval.json is not as a sweep writes it "
            f"({type(error).__name__}: {printable(str(error))[:200]}); "
            f"write them again by: python sweeps/run.py --resume {shlex.quote(str(folder.path))}"
        ) from error


def _rewrite(place: str) -> str:
    """Write the report of the sweep at this place again; returns where it is."""
    with SweepRecord.for_report(place) as folder:
        report = _written(folder)
    return f"{place}/{report.name}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Rebuild one report; 0 when written, 2 when the folder cannot be used."""
    parser = OneLineParser(
        prog="python sweeps/report.py",
        description="Write report.md and report.html of a sweep again, from the files in its results folder.",
    )
    parser.add_argument("results", help="the sweep's folder or address, such as results/spatial")
    try:
        print(printable(_rewrite(parser.parse_args(arguments).results.rstrip("/"))))
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    run_command(main)
