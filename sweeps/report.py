"""report.md and report.html from a results folder's files alone: `python sweeps/report.py results/NAME` writes them again."""

from __future__ import annotations

import shlex
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from stclip.errors import InputError
from stclip.guarded_folder import check_no_links
from stclip.one_line_parser import OneLineParser
from stclip.output import run_command
from stclip.remote import is_address
from sweeps.mirror import Mirror
from sweeps.report_html import NOT_AS_WRITTEN, html_text
from sweeps.report_markdown import markdown_text
from sweeps.report_sections import report_of
from sweeps.results import ResultsFolder
from sweeps.words import printable


def write_report(folder: ResultsFolder) -> Path:
    """Write report.md and report.html from the folder's files, and return the path of report.html.

    Raises InputError when sweep.yaml or summary.json is missing or broken, or of an older version.
    """
    sweep, rows, summary = folder.read_sweep(), folder.read_trials(), folder.read_summary()
    if "comparisons" in summary and "margin" not in summary:
        raise InputError(
            f"{folder.summary_json}: is of an older version, which compared two trials and not families, so its report cannot be "
            "written by this one; the report.md and report.html beside it stay as they are, and to compare the families: python "
            f"sweeps/run.py --resume {shlex.quote(str(folder.path))} (it trains their best configurations again, and reads "
            "the test slides once more)"
        )
    report = report_of(sweep, rows, summary, folder)
    folder.write_report(markdown_text(report), html_text(report, summary, folder))
    return folder.report_html


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
    if not is_address(place):
        return str(_written(ResultsFolder(Path(place))))
    with tempfile.TemporaryDirectory(prefix="stclip-") as folder:
        mirror = Mirror(place, Path(folder) / "sweep")
        mirror.fetch()
        with mirror.named():
            report = _written(ResultsFolder(Path(folder) / "sweep"))
        for name in ("report.md", report.name):
            mirror.replace(name)
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
