"""report.md and report.html, written from the files of a results folder alone."""

from __future__ import annotations

import shlex
from pathlib import Path

from stclip.errors import InputError
from sweeps.reporting.html_page import html_text
from sweeps.reporting.markdown import markdown_text
from sweeps.reporting.sections import report_of
from sweeps.results.folder import ResultsFolder


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
