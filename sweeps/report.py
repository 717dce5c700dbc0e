"""report.md from a results folder's files alone: `python sweeps/report.py results/NAME` writes it again."""

from __future__ import annotations

import html
import re
import shlex
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from stclip.errors import InputError
from stclip.one_line_parser import OneLineParser
from stclip.remote import is_address
from sweeps.mirror import Mirror
from sweeps.results import ResultsFolder
from sweeps.summary import lift
from sweeps.table import baseline_title, chance_of
from sweeps.verdict import p_text, signed
from sweeps.warnings_found import find_warnings
from sweeps.words import RECALLS, duration, number, printable, value_text

Tree = Mapping[str, Any]
_MARKDOWN = re.compile(r"([\\`*\[\]|~#]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9]))")  # _ within a word is no markup


def write_report(folder: ResultsFolder) -> Path:
    """Write report.md from sweep.yaml, trials.csv and summary.json, and return its path.

    Raises InputError when sweep.yaml or summary.json is missing or broken.
    """
    sweep, rows, summary = folder.read_sweep(), folder.read_trials(), folder.read_summary()
    folder.write_report(report_text(sweep, rows, summary, folder))
    return folder.report_md


def report_text(sweep: Tree, rows: Sequence[Mapping[str, str]], summary: Tree, folder: ResultsFolder) -> str:
    """The report as Markdown. Every name and value from the files is escaped."""
    name = sweep.get("name") or folder.path.name
    status = f"{summary['status']} after {duration(summary['seconds'] or 0)}"
    chosen = f"winners chosen by {summary['metric']} ({summary['mode']})"
    warnings = find_warnings(sweep, rows, summary)
    interruptions, comparisons = _interruptions(summary), _comparisons(summary)
    sections = [
        f"# Sweep {md(name)}\n\n{md(status)}; {md(chosen)}.",
        f"## Verdict\n\n{md(summary['verdict'])}",
        f"## Families\n\n{_families(summary)}",
        *([f"## Comparisons on the test slides\n\n{comparisons}"] if comparisons else []),
        f"## Best parameters\n\n{_parameters(summary)}",
        f"## Warnings\n\n{_bullets(md(text) for text in warnings) or 'None.'}",
        f"## Failures\n\n{_failures(rows) or 'No trial failed.'}",
        *([f"## Interruptions\n\n{interruptions}"] if interruptions else []),
        f"## What was run\n\n{_what_was_run(sweep, summary)}",
        f"## Files\n\n{_files(folder, summary)}",
    ]
    return "\n\n".join(sections) + "\n"


def md(value: Any) -> str:
    """A value as inert Markdown text: one line, no markup, no table cell's end, no HTML."""
    return _MARKDOWN.sub(r"\\\1", html.escape(printable(str(value)), quote=False))


def _families(summary: Tree) -> str:
    scores = [
        "val R@10 (search)",
        "val R@10 (confirmed)",
        *(f"test {name} (95 %)" for name in RECALLS),
        "lift R@10",
    ]
    head = ["family", "complete", "pruned", "failed", "budget", *scores]
    rows = []
    for family, entry in summary["families"].items():
        trials = entry["trials"]
        counts = [str(trials[key]) for key in ("complete", "pruned", "failed", "budget")]
        rows.append([md(family), *counts, *_scores(entry["best"] or {}, entry)])
    for name, entry in summary["baselines"].items():
        if name != "chance":
            rows.append([md(baseline_title(name)), "", "", "", "", *_scores(entry, entry)])
    rows.append(["chance", "", "", "", "", *_scores(chance_of(summary), {})])
    reasons = [
        f"{md(family)} has no winner: {md(entry['reason'])}."
        for family, entry in summary["families"].items()
        if entry["best"] is None
    ]
    note = (
        "R@K: the share of spots whose partner is among the first K of the whole slide, both directions, "
        "mean over slides. Chance: the same for a random ranking. Lift: R@K over chance. "
        f"{_how_sure(summary)}"
    )
    return "\n\n".join([_table(head, rows), *([_bullets(reasons)] if reasons else []), note])


def _how_sure(summary: Tree) -> str:
    """Where the test numbers and their intervals come from."""
    about = summary.get("confirmation")
    if about is None:
        return "One training seed per family; intervals, where there are any, cover the slides only."
    donors = f" of {about['clusters']} donors" if about["donors_known"] else ""
    return (
        f"Test: the mean over {about['seeds']} trainings of each family's best configuration with fresh seeds (the same for "
        f"every family) and {about['slides']} slides{donors}; 95 % intervals by a bootstrap over both."
    )


def _scores(metrics: Tree, entry: Tree) -> list[str]:
    """Of a family's `best`, or a baseline; `entry` has its intervals and what the confirmation found on val."""
    val, test = metrics.get("val") or {}, metrics.get("test") or {}
    confirmed = ((entry.get("confirm") or {}).get("val") or {}).get("R@10")
    intervals = entry.get("test_intervals") or {}
    ratio = lift(test, "R@10")
    return [
        number(val.get("R@10")),
        number(confirmed),
        *(f"{number(test.get(name))}{_brackets(intervals.get(name))}" for name in RECALLS),
        "-" if ratio is None else f"{ratio:.1f}x",
    ]


def _brackets(found: Tree | None) -> str:
    if found is None or found["low"] is None:
        return ""
    return f" ({found['low']:.3f} to {found['high']:.3f})"


def _comparisons(summary: Tree) -> str:
    """Every comparison by every recall."""
    head = ["a", "b", "metric", "a - b (95 %)", "p", "p (Holm)", "could have shown", "seeds x slides"]
    body = []
    for one in summary.get("comparisons") or []:
        for name, found in one["metrics"].items():
            difference = f"{signed(found['difference'])}{_brackets(found)}"
            ps = ["-" if found[key] is None else p_text(found[key]) for key in ("p", "p_holm")]
            size = f"{one['seeds']} x {one['slides']}"
            if one["clusters"] < one["slides"]:
                size += f" ({one['clusters']} donors)"
            body.append(
                [md(one["a"]), md(one["b"]), name, difference, *ps, number(found["detectable"]), size]
            )
    if not body:
        return ""
    note = (
        "Differences are paired by seed and slide. p: sign-flip permutation test; Holm's correction is over the pairs of "
        "families, and by itself for each baseline. Could have shown: the smallest true difference found with 80 % power."
    )
    return f"{_table(head, body)}\n\n{note}"


def _parameters(summary: Tree) -> str:
    lines = []
    for family, entry in summary["families"].items():
        best = entry["best"]
        if best is None:
            lines.append(f"{md(family)}: no winner.")
            continue
        pairs = ", ".join(f"{md(key)} = {md(value_text(value))}" for key, value in best["params"].items())
        took = f"{best['epochs']} epochs in {duration(best['seconds'] or 0)}, seed {best['seed']}"
        lines.append(f"{md(family)} ({md(best['name'])}, {took}): {pairs or 'nothing was searched'}")
    return _bullets(lines)


def _failures(rows: Sequence[Mapping[str, str]]) -> str:
    failed = [row for row in rows if row["state"] == "FAIL"]
    counts = Counter((row["family"], row.get("error") or "no reason recorded") for row in failed)
    if not counts:
        return ""
    body = [
        [md(family), str(times), md(_cut(error)), md(_first(failed, family, error))]
        for (family, error), times in counts.most_common()
    ]
    return _table(["family", "trials", "reason", "first"], body)


def _first(failed: Sequence[Mapping[str, str]], family: str, error: str) -> str:
    same = (r for r in failed if r["family"] == family and (r.get("error") or "no reason recorded") == error)
    return next(same)["name"]


def _cut(text: str) -> str:
    return text if len(text) <= 300 else text[:297] + "..."


def _interruptions(summary: Tree) -> str:
    """The only place that tells a sweep that was resumed from one that ran in one go."""
    lines = [
        f"{md(one['ended'])}: {md(one['how'])}; went on at {md(one['resumed'])}"
        for one in summary.get("interruptions") or []
    ]
    if summary.get("stopped_because"):
        lines.append(f"stopped before its budget was used up: {md(summary['stopped_because'])}")
    return _bullets(lines)


def _what_was_run(sweep: Tree, summary: Tree) -> str:
    space = sweep.get("space") or {}
    lines = []
    if sweep.get("command"):
        lines.append(f"Command: {md(sweep['command'])}")
    if sweep.get("started"):
        lines.append(f"Started: {md(sweep['started'])}; wall time {duration(summary['seconds'] or 0)}")
    if space.get("name"):
        lines.append(f"Space: {md(space['name'])} ({md(space.get('about') or 'no description')})")
    for title, key in (("Budget", "budget"), ("Data", "data")):
        if isinstance(sweep.get(key), Mapping):
            lines.append(f"{title}: {_pairs(sweep[key])}")
    if sweep.get("seed") is not None:
        lines.append(f"Seed: {md(sweep['seed'])}")
    lines.append(f"Versions: {_pairs(summary.get('versions') or sweep.get('versions') or {})}")
    return _bullets(lines)


def _pairs(tree: Tree) -> str:
    known = {key: value for key, value in tree.items() if value is not None and value != {}}
    words = (
        f"{md(key)} ({_pairs(value)})" if isinstance(value, Mapping) else f"{md(key)} {md(value)}"
        for key, value in known.items()
    )
    return ", ".join(words) or "not recorded"


def _files(folder: ResultsFolder, summary: Tree) -> str:
    about = {
        folder.sweep_yaml: "everything resolved: space, base experiment, budget, seed, versions, data",
        folder.trials_csv: "a row per trial of the search",
        folder.confirm_csv: "a row per trial of the confirmation",
        folder.test_slides_csv: "what every model and baseline got on every test slide",
        folder.retrieval_json: "one model's ranks on the test slides, and examples",
        folder.summary_json: "the same as this report, for programs",
        folder.study_db: "one Optuna study a family (optuna-dashboard opens it)",
    }
    winners = [family for family, entry in summary["families"].items() if entry["best"]]
    best = {
        folder.best_dir(family): f"config.yaml and checkpoint of the winner of {family}" for family in winners
    }
    there = {path: text for path, text in (about | best).items() if path.exists()}
    return _bullets(f"{md(path.relative_to(folder.path))}: {md(text)}" for path, text in there.items())


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _bullets(lines: Iterable[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)


def _written(folder: ResultsFolder) -> Path:
    """`write_report` for files that somebody may have edited. Raises InputError for those too."""
    try:
        return write_report(folder)
    except InputError:
        raise
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise InputError(
            f"{folder.path}: its sweep.yaml, trials.csv or summary.json is not as a sweep writes it ({type(error).__name__}: "
            f"{printable(str(error))[:200]}); write them again by: python sweeps/run.py --resume {shlex.quote(str(folder.path))}"
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
        mirror.replace(report.name)
    return f"{place}/{report.name}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Rebuild one report; 0 when written, 2 when the folder cannot be used."""
    parser = OneLineParser(
        description="Write report.md of a sweep again, from the files in its results folder."
    )
    parser.add_argument("results", help="the sweep's folder or address, such as results/spatial")
    try:
        print(_rewrite(parser.parse_args(arguments).results.rstrip("/")))
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
