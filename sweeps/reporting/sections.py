"""What a report says, from the results folder's files alone; how it looks is for others."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from stclip.data.shards.groups import GROUPS
from sweeps.analysis.reader_warnings import find_warnings
from sweeps.reporting.blocks import Block, Bullets, Report, Section, Table
from sweeps.reporting.comparisons import comparisons, confirmed_configurations
from sweeps.reporting.final_table import baseline_title, chance_of, family_metrics
from sweeps.reporting.further import compute_section, further_found
from sweeps.reporting.readings import readings_section
from sweeps.results.folder import ResultsFolder
from sweeps.results.records import lift
from sweeps.search.rung_places import rungs_before_the_end
from sweeps.text import RECALLS, duration, many, number, recall_of, value_text

Tree = Mapping[str, Any]


def report_of(sweep: Tree, rows: Sequence[Mapping[str, str]], summary: Tree, folder: ResultsFolder) -> Report:
    """`sweep`: sweep.yaml. `rows`: trials.csv. `summary`: summary.json. `folder`: to list which files are there.

    Raises KeyError, TypeError, AttributeError or ValueError for files that are not as a sweep writes them.
    """
    status = f"{summary['status']} after {duration(summary['seconds'] or 0)}"
    warnings = find_warnings(sweep, rows, summary)
    return Report(
        title=f"Sweep {sweep.get('name') or folder.path.name}",
        status=f"{status}; winners chosen by {summary['metric']} ({summary['mode']}).",
        found=_filled(
            Section("Verdict", [str(summary["verdict"])]),
            Section("Warnings", [Bullets(warnings) if warnings else "None."]),
            Section("Families", _families(summary)),
            Section("Comparisons on the test slides", comparisons(summary)),
            Section("Confirmed configurations", confirmed_configurations(summary)),
            Section("Readings of the test slides", readings_section(summary)),
            *further_found(summary),
            Section("What was compared", _compared(sweep)),
            Section("Best parameters", _parameters(summary)),
            Section("Best of n trials", _best_of_n(summary)),
        ),
        ran=_filled(
            Section("Failures", _failures(rows) or ["No trial failed."]),
            Section("Interruptions", _interruptions(summary)),
            Section("What was run", _what_was_run(sweep, summary)),
            compute_section(summary),
            Section("Files", _files(folder, summary)),
        ),
    )


def _filled(*sections: Section) -> list[Section]:
    return [section for section in sections if section.blocks]


def _families(summary: Tree) -> list[Block]:
    recall = recall_of(summary["metric"])
    scores = [
        f"val {recall} (search)",
        f"val {recall} (confirmed)",
        *(f"test {name} (95 %)" for name in RECALLS),
        f"lift {recall}",
    ]
    head = ["family", "complete", "pruned", "failed", "budget", *scores]
    rows = []
    for family, entry in summary["families"].items():
        trials = entry["trials"]
        counts = [str(trials[key]) for key in ("complete", "pruned", "failed", "budget")]
        rows.append([family, *counts, *_scores(family_metrics(entry), entry, recall)])
    for name, entry in summary["baselines"].items():
        if name != "chance":
            rows.append([baseline_title(name), "", "", "", "", *_scores(entry, entry, recall)])
    rows.append(["chance", "", "", "", "", *_scores(chance_of(summary), {}, recall)])
    reasons = [
        f"{family} has no winner: {entry['reason']}."
        for family, entry in summary["families"].items()
        if entry["best"] is None
    ]
    note = (
        "R@K: the share of spots whose partner is among the first K of the whole slide, both directions, "
        "mean over slides. Chance: the same for a random ranking. Lift: R@K over chance. "
        f"{_how_sure(summary)}"
    )
    return [Table(head, rows), *([Bullets(reasons)] if reasons else []), note]


def _how_sure(summary: Tree) -> str:
    """Where the test numbers and their intervals come from."""
    about = summary.get("confirmation")
    if about is None or not about["slides"]:
        return "Test results: none; the verdict says why."
    donors = f" of {many(about['clusters'], 'donor')}" if about["donors_known"] else ""
    return (
        "Test: the weighted mean of each family's confirmed configurations, trained again with "
        f"{many(about['seeds'], 'fresh seed')} (the same for all), on {many(about['slides'], 'slide')}{donors}. The 95 % "
        "intervals contain seeds and slides, and the search where several configurations were confirmed."
    )


def _scores(metrics: Tree, entry: Tree, recall: str) -> list[str]:
    """Of a family (`family_metrics`), or a baseline; `entry` has its intervals and what the confirmation found on val."""
    val, test = metrics.get("val") or {}, metrics.get("test") or {}
    confirmed = ((entry.get("confirm") or {}).get("val") or {}).get(recall)
    intervals = entry.get("test_intervals") or {}
    ratio = lift(test, recall)
    return [
        number(val.get(recall)),
        number(confirmed),
        *(f"{number(test.get(name))}{_brackets(intervals.get(name))}" for name in RECALLS),
        "-" if ratio is None else f"{ratio:.1f}x",
    ]


def _brackets(found: Tree | None) -> str:
    if found is None or found["low"] is None:
        return ""
    return f" ({found['low']:.3f} to {found['high']:.3f})"


def _compared(sweep: Tree) -> list[Block]:
    """What differs between the families, and what each was given."""
    space = sweep.get("space") or {}
    rows = [_family_row(family, facts or {}) for family, facts in (space.get("families") or {}).items()]
    if not rows:
        return []
    trials, epochs = many(space.get("trials", "-"), "trial"), many(space.get("epochs", "-"), "epoch")
    given = f"Planned for every family: {trials} of up to {epochs}. "
    stopping = space.get("early_stopping") or {}
    rungs = (
        rungs_before_the_end(stopping["first_rung"], stopping["factor"], space["epochs"]) if stopping else []
    )
    if rungs:
        given += (
            f"A trial is stopped early, after epoch {' or '.join(map(str, rungs))}, when it is not among the best 1 in "
            f"{stopping['factor']} of its own family. "
        )
    given += "Data, seeds and all settings that are not in this table are the same for all families."
    return [Table(("family", "loss", "searched", "tried first", "fixed for it alone"), rows), given]


def _family_row(family: str, facts: Tree) -> list[str]:
    first = [_settings(point) for point in facts.get("first") or []]
    return [
        family,
        str((facts.get("loss") or {}).get("name") or "-"),
        _ranges(facts.get("parameters") or {}),
        "; ".join(first) or "-",
        _settings(facts.get("overrides") or {}) or "-",
    ]


def _settings(tree: Tree, above: str = "") -> str:
    """`model.temperature 0.07, ...` of dotted or nested keys."""
    words = []
    for key, value in tree.items():
        if isinstance(value, Mapping):
            words.append(_settings(value, f"{above}{key}."))
        else:
            words.append(f"{above}{key} {value_text(value)}")
    return ", ".join(word for word in words if word)


def _ranges(parameters: Tree) -> str:
    """`model.temperature 0.025 to 0.5 (log)`, by parameter."""
    words = []
    for key, one in parameters.items():
        if one.get("values"):
            words.append(f"{key} {' or '.join(map(value_text, one['values']))}")
        else:
            scale = " (log)" if one.get("log") else ""
            words.append(f"{key} {value_text(one.get('low'))} to {value_text(one.get('high'))}{scale}")
    return "; ".join(words) or "nothing"


def _best_of_n(summary: Tree) -> list[Block]:
    """The expected best value of 1, 2, 4, 8, ... trials."""
    curves = {f: e["best_of_n"] for f, e in summary["families"].items() if e.get("best_of_n")}
    if not curves:
        return []
    most = max(len(curve["n"]) for curve in curves.values())
    sizes = [2**power for power in range(most.bit_length()) if 2**power < most] + [most]
    rows = [[family, *(_curve_cell(curve, n) for n in sizes)] for family, curve in curves.items()]
    note = (
        f"The best {summary['metric']} that so many trials find on average (95 %); a trial that was stopped early counts "
        "with what it had reached."
    )
    return [Table(["family", *(many(n, "trial") for n in sizes)], rows), note]


def _curve_cell(curve: Tree, n: int) -> str:
    if n > len(curve["n"]):
        return "-"
    return f"{curve['value'][n - 1]:.3f} ({curve['low'][n - 1]:.3f} to {curve['high'][n - 1]:.3f})"


def _parameters(summary: Tree) -> list[Block]:
    lines = []
    for family, entry in summary["families"].items():
        best = entry["best"]
        if best is None:
            lines.append(f"{family}: no winner.")
            continue
        pairs = ", ".join(f"{key} = {value_text(value)}" for key, value in best["params"].items())
        took = f"{many(best['epochs'], 'epoch')} in {duration(best['seconds'] or 0)}, seed {best['seed']}"
        lines.append(f"{family} ({best['name']}, {took}): {pairs or 'nothing was searched'}")
    return [Bullets(lines)] if lines else []


def _failures(rows: Sequence[Mapping[str, str]]) -> list[Block]:
    failed = [row for row in rows if row["state"] == "FAIL"]
    counts = Counter((row["family"], row.get("error") or "no reason recorded") for row in failed)
    if not counts:
        return []
    body = [
        [family, str(times), _cut(error), _first(failed, family, error)]
        for (family, error), times in counts.most_common()
    ]
    return [Table(("family", "trials", "reason", "first"), body)]


def _first(failed: Sequence[Mapping[str, str]], family: str, error: str) -> str:
    same = (r for r in failed if r["family"] == family and (r.get("error") or "no reason recorded") == error)
    return next(same)["name"]


def _cut(text: str) -> str:
    return text if len(text) <= 300 else text[:297] + "..."


def _interruptions(summary: Tree) -> list[Block]:
    """The only place that tells a sweep that was resumed from one that ran in one go."""
    lines = [
        f"{one['ended']}: {one['how']}; went on at {one['resumed']}"
        for one in summary.get("interruptions") or []
    ]
    if summary.get("stopped_because"):
        lines.append(f"stopped before its budget was used up: {summary['stopped_because']}")
    return [Bullets(lines)] if lines else []


def _what_was_run(sweep: Tree, summary: Tree) -> list[Block]:
    space = sweep.get("space") or {}
    lines = []
    if sweep.get("command"):
        lines.append(f"Command: {sweep['command']}")
    if sweep.get("started"):
        lines.append(f"Started: {sweep['started']}; wall time {duration(summary['seconds'] or 0)}")
    if space.get("name"):
        lines.append(f"Space: {space['name']} ({space.get('about') or 'no description'})")
    for title, key in (("Budget", "budget"), ("Data", "data")):
        if isinstance(sweep.get(key), Mapping):
            # What is said of each slide is long, and in sweep.yaml.
            lines.append(
                f"{title}: {_pairs({k: v for k, v in sweep[key].items() if k not in ('donors', *GROUPS)})}"
            )
    if sweep.get("seed") is not None:
        lines.append(f"Seed: {sweep['seed']}")
    lines.append(f"Versions: {_pairs(summary.get('versions') or sweep.get('versions') or {})}")
    return [Bullets(lines)] if lines else []


def _pairs(tree: Tree) -> str:
    known = {key: value for key, value in tree.items() if value is not None and value != {}}
    words = (
        f"{key} ({_pairs(value)})" if isinstance(value, Mapping) else f"{key} {value}"
        for key, value in known.items()
    )
    return ", ".join(words) or "not recorded"


def _files(folder: ResultsFolder, summary: Tree) -> list[Block]:
    about = {
        folder.sweep_yaml: "everything resolved: space, base experiment, budget, seed, versions, data",
        folder.trials_csv: "a row per trial of the search",
        folder.confirm_csv: "a row per trial of the confirmation",
        folder.test_slides_csv: "what every model and baseline got on every test slide",
        folder.test_reads_json: "every reading of the test slides",
        folder.retrieval_json: "one model's ranks on the test slides, and examples",
        folder.summary_json: "the same as this report, for programs",
        folder.study_db: "one Optuna study a family (optuna-dashboard opens it)",
    }
    winners = [family for family, entry in summary["families"].items() if entry["best"]]
    best = {
        folder.best_dir(family): f"config.yaml and checkpoint of the winner of {family}" for family in winners
    }
    there = {path: text for path, text in (about | best).items() if path.exists()}
    return [Bullets([f"{path.relative_to(folder.path)}: {text}" for path, text in there.items()])]
