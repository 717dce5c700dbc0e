"""A report as one HTML file that needs nothing else: no network, no server, no data set.

Text is escaped by the template, figures by themselves, and the page's own policy forbids every request and every script
but the two that are in it.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stclip.errors import printable
from stclip.files.regular_files import read_text
from sweeps.reporting.blocks import Block, Bullets, Report, Table
from sweeps.reporting.figures import Shown, best_of_n_figure, map_figure, slides_figure
from sweeps.reporting.search_figures import open_studies, study_figures
from sweeps.reporting.verdict_figure import verdict_figure
from sweeps.results.folder import LARGEST, ResultsFolder
from sweeps.results.slide_rows import read_slide_rows
from sweeps.text import recall_of

if TYPE_CHECKING:
    from jinja2 import Template
    from markupsafe import Markup

HERE = Path(__file__).parent
TEMPLATE = "report.html.jinja"
SCRIPT = "report.js"
LONGEST_WHOLE = 30  # characters: what is longer must be breakable, or a phone shows a part of it only
# What the code raises that meets a value of another kind, or a number that no float holds, in a file of somebody else.
NOT_AS_WRITTEN = (LookupError, TypeError, AttributeError, ValueError, ArithmeticError, RecursionError)
_UNITS = re.compile(r"(\([^()]*\)|\[[^][]*\]|\S+)")  # an interval is one


def html_text(report: Report, summary: Mapping[str, Any], folder: ResultsFolder) -> str:
    """The content of report.html. What the folder does not hold is said in a sentence in its place.

    Raises InputError when test_slides.csv cannot be read; KeyError, TypeError or ValueError when retrieval.json or
    summary.json lacks what a sweep writes there.
    """
    from jinja2 import UndefinedError
    from plotly.offline import get_plotlyjs

    retrieval = _retrieval(folder)
    tested = [
        slides_figure(
            read_slide_rows(folder.test_slides_csv), list(summary["families"]), recall_of(summary["metric"])
        ),
        best_of_n_figure(summary["families"], summary["metric"]),
    ]
    first = verdict_figure(summary)
    searched, without = _searched(folder, summary)
    own = (HERE / SCRIPT).read_text(encoding="utf-8")
    scripts = [get_plotlyjs().replace("</script", "<\\/script"), own]
    try:
        return _template().render(
            report=report,
            first=_drawn(first) if first else None,
            tested=[_drawn(shown) for shown in tested if shown],
            searched={family: [_drawn(shown) for shown in figures] for family, figures in searched.items()},
            without=without,
            retrieval=retrieval,
            maps=[_drawn(map_figure(one)) for one in retrieval.get("maps") or []],
            scripts=scripts,
            policy=" ".join(f"'{_digest(script)}'" for script in scripts),
        )
    except UndefinedError as error:
        raise KeyError(str(error)) from None


def _template() -> Template:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(HERE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["shown"] = lambda value: printable(str(value))
    environment.filters["cell"] = _cell
    environment.globals["kind"] = _kind
    return environment.get_template(TEMPLATE)


def _drawn(shown: Shown | str) -> dict[str, Any]:
    """A figure as the page draws it, in the page's colours and not in those of plotly's default template."""
    if isinstance(shown, str):
        return {"missing": shown}
    figure = json.loads(shown.figure.to_json())
    figure["layout"].pop("template", None)
    return {"title": shown.title, "alt": shown.alt, "figure": figure, "wide": shown.wide}


def _cell(value: Any) -> Markup:
    """A table cell in which no number and no interval is broken over lines, as `1e-06` and `(0.113 to 0.181)` would be."""
    from markupsafe import Markup

    parts = re.split(_UNITS, printable(str(value)))
    return Markup("").join(map(_unit, parts))


def _unit(part: str) -> Markup:
    from markupsafe import Markup

    if len(part) > LONGEST_WHOLE and " " not in part:
        return Markup('<span class="long">{}</span>').format(part)
    breaks = any(sign in part for sign in " -/") and any(map(str.isdigit, part))
    if part.strip() and breaks and len(part) <= LONGEST_WHOLE:
        return Markup('<span class="whole">{}</span>').format(part)
    return Markup("{}").format(part)


def _retrieval(folder: ResultsFolder) -> dict[str, Any]:
    """retrieval.json; empty without one that can be read."""
    try:
        found = json.loads(read_text(folder.retrieval_json, LARGEST))
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _searched(
    folder: ResultsFolder, summary: Mapping[str, Any]
) -> tuple[dict[str, Sequence[Shown | str]], str]:
    """Family -> figures of its search, and why there are none where that is so."""
    if not folder.study_db.is_file():
        return {}, "The folder holds no study.db, so the search cannot be drawn."
    from optuna.exceptions import OptunaError
    from sqlalchemy.exc import SQLAlchemyError

    try:
        studies = open_studies(folder.study_db, list(summary["families"]))
        return {name: study_figures(name, study, summary["metric"]) for name, study in studies.items()}, ""
    except (OptunaError, SQLAlchemyError, *NOT_AS_WRITTEN, RuntimeError) as error:
        return {}, f"study.db cannot be read ({type(error).__name__}), so the search cannot be drawn."


def _kind(block: Block) -> str:
    return "table" if isinstance(block, Table) else "bullets" if isinstance(block, Bullets) else "text"


def _digest(script: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
