"""A report as one HTML file that needs nothing else: no network, no server, no data set.

Text is escaped by the template, figures by themselves, and the page's own policy forbids every request and every script
but the two that are in it.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from stclip.errors import printable
from sweeps.figures import Shown, best_of_n_figure, map_figure, slides_figure
from sweeps.report_sections import Block, Bullets, Report, Table
from sweeps.results import ResultsFolder
from sweeps.slide_table import read_slide_rows
from sweeps.study_figures import open_studies, study_figures

# Before the figures; the rest follows them.
FIRST = ("Verdict", "Warnings", "Families", "Comparisons on the test slides", "What was compared")
TEMPLATE = "report.html.jinja"
SCRIPT = "report.js"


def html_text(report: Report, summary: Mapping[str, Any], folder: ResultsFolder) -> str:
    """The content of report.html. What the folder does not hold is said in a sentence in its place.

    Raises InputError when test_slides.csv cannot be read.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from plotly.offline import get_plotlyjs

    here = Path(__file__).parent
    environment = Environment(
        loader=FileSystemLoader(here),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["shown"] = lambda value: printable(str(value))
    environment.globals["kind"] = _kind
    by_title = {section.title: section for section in report.sections}
    retrieval = _retrieval(folder)
    tested = [slides_figure(read_slide_rows(folder.test_slides_csv), list(summary["families"]))]
    tested.append(best_of_n_figure(summary["families"], summary["metric"]))
    searched, without = _searched(folder, summary)
    scripts = [get_plotlyjs().replace("</script", "<\\/script"), (here / SCRIPT).read_text(encoding="utf-8")]
    return environment.get_template(TEMPLATE).render(
        report=report,
        first=[by_title[title] for title in FIRST if title in by_title],
        rest=[section for section in report.sections if section.title not in FIRST],
        tested=[one for one in map(_page_figure, tested) if one],
        searched={family: [_page_figure(shown) for shown in figures] for family, figures in searched.items()},
        without=without,
        retrieval=retrieval,
        maps=[_page_figure(map_figure(one)) for one in retrieval.get("maps") or []],
        scripts=scripts,
        policy=" ".join(f"'{_digest(script)}'" for script in scripts),
    )


def _page_figure(shown: Shown | None) -> dict[str, Any] | None:
    if shown is None:
        return None
    figure = shown.figure.to_plotly_json()
    figure["layout"].pop("template", None)
    drawn = json.loads(shown.figure.__class__(figure).to_json())
    drawn["layout"].pop("template", None)
    return {"title": shown.title, "alt": shown.alt, "figure": drawn}


def _retrieval(folder: ResultsFolder) -> dict[str, Any]:
    """retrieval.json; empty without one that can be read."""
    try:
        found = json.loads(folder.retrieval_json.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _searched(folder: ResultsFolder, summary: Mapping[str, Any]) -> tuple[dict[str, Sequence[Shown]], str]:
    """Family -> figures of its search, and why there are none where that is so."""
    if not folder.study_db.is_file():
        return {}, "The folder holds no study.db, so the search cannot be drawn."
    from optuna.exceptions import OptunaError
    from sqlalchemy.exc import SQLAlchemyError

    try:
        studies = open_studies(str(folder.study_db), list(summary["families"]))
        return {name: study_figures(name, study, summary["metric"]) for name, study in studies.items()}, ""
    except (OptunaError, SQLAlchemyError, KeyError, ValueError) as error:
        return {}, f"study.db cannot be read ({type(error).__name__}), so the search cannot be drawn."


def _kind(block: Block) -> str:
    return "table" if isinstance(block, Table) else "bullets" if isinstance(block, Bullets) else "text"


def _digest(script: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
