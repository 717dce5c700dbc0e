"""report.md: made from the results folder's files alone, with the warnings its numbers need."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from stclip.errors import InputError
from sweeps import report
from sweeps.report import main
from sweeps.reporting.markdown import md
from sweeps.reporting.write import write_report
from sweeps.results.folder import ResultsFolder
from tests.sweeps import made_up
from tests.sweeps.made_up import levels, slide_rows
from tests.sweeps.results_folders import SWEEP, folder_of, many, record


def report_of(path, records, **options):
    folder = folder_of(path, records, **options)
    write_report(folder)
    return folder.report_md.read_text()


def section(text, title):
    (found,) = [part for part in text.split("\n## ") if part.startswith(f"{title}\n")]
    return found


# -- what is in it


def test_the_report_has_every_section_and_number(tmp_path):
    again = {"soft": [[0.35, 0.37], [0.36, 0.40]], "clip": [[0.33, 0.35], [0.34, 0.36]]}
    rows = [row for family, values in again.items() for row in slide_rows(family, values)]
    rows += slide_rows("cca", [[0.40, 0.42]], "baseline")
    confirmed = [
        one
        for family, values in again.items()
        for one in made_up.confirmed(family, values, val=0.29, val_step=0)
    ]
    baselines = {"cca": (levels("val", 0.3), levels("test", 0.41))}
    records = many(params={"model.temperature": 0.0712345})
    folder = folder_of(tmp_path / "a", records, rows=rows, baselines=baselines, confirmed=confirmed, seeds=2)
    write_report(folder)
    text, summary = folder.report_md.read_text(), folder.read_summary()
    assert text.startswith("# Sweep a\n\ncomplete after 1 min 05 s; winners chosen by val/R@10 (max).\n")
    assert section(text, "Verdict").split("\n\n")[1].strip() == md(summary["verdict"])
    table = section(text, "Families")

    def cells(entry, r10):
        found = [entry["test_intervals"][name] for name in ("R@1", "R@5", "R@10")]
        values = [
            f"{share:.3f} ({one['low']:.3f} to {one['high']:.3f})"
            for share, one in zip(r10, found, strict=True)
        ]
        return " | ".join(values)

    soft, cca = summary["families"]["soft"], summary["baselines"]["cca"]
    assert f"| soft | 4 | 0 | 0 | 5 | 0.300 | 0.290 | {cells(soft, (0.0925, 0.185, 0.37))} | 3.7x |" in table
    assert f"| CCA baseline |  |  |  |  | 0.300 | - | {cells(cca, (0.1025, 0.205, 0.41))} | 4.1x |" in table
    assert "| chance |  |  |  |  | 0.100 | - | 0.010 | 0.050 | 0.100 | - |" in table
    assert (
        "confirmed configurations, trained again with 2 fresh seeds (the same for all), on 2 slides." in table
    )
    pairs = section(text, "Comparisons on the test slides")
    assert (
        pairs.count("| soft | clip | R@") == 3
        and pairs.count("| CCA baseline | R@") == 6
        and "cca" not in pairs
    )
    found = summary["comparisons"][0]["metrics"]["R@10"]
    assert f"| soft | clip | R@10 | +0.025 ({found['low']:.3f} to {found['high']:.3f}) | " in pairs
    assert (
        f"| {summary['comparisons'][0]['metrics']['R@10']['outcome']} | " in pairs
        and "| 0% | 2 x 2 |" in pairs
    )
    again = section(text, "Confirmed configurations")
    assert "| soft | soft-0000 | 1.00 | 2 | 0.290 | 0.370 | temperature=0.07123 |" in again
    compared = section(text, "What was compared")
    assert (
        "| soft | spatial | loss.neighbor_alpha_scale 0 to 2; model.temperature 0.01 to 1 (log); "
        "data.batching random or neighborhood | model.temperature 0.07 | data.num_neighbors 4 |" in compared
    )
    assert (
        "Planned for every family: 5 trials of up to 20 epochs. A trial is stopped early, after epoch 4 or 12, when it is not"
        in compared
    )
    assert "| clip | clip | nothing | - | - |" in compared
    assert (
        "| family | 1 trial | 2 trials | 4 trials |\n| --- | --- | --- | --- |\n| soft | 0.300 (0.300 to 0.300) |"
        in text
    )
    assert "- soft (soft-0000, 20 epochs in 11 s, seed 100): model.temperature = 0.07123" in text
    assert section(text, "Warnings").endswith("None.\n")
    assert "No trial failed." in section(text, "Failures")
    ran = section(text, "What was run")
    for part in (
        "python sweeps/run.py --space spatial",
        "fingerprint 0123abcd",
        "torch 2.13",
        "test (slides 10, spots 800)",
        "1 min 05 s",
        "Seed: 0",
    ):
        assert part in ran
    assert "- trials.csv: a row per trial of the search" in section(text, "Files")
    assert "study.db" not in text  # not there, so not listed


def test_readings_of_the_test_slides_have_a_section(tmp_path):
    again = {"soft": [[0.35, 0.37], [0.36, 0.40]], "clip": [[0.33, 0.35], [0.34, 0.36]]}
    rows = [row for family, values in again.items() for row in slide_rows(family, values)]
    confirmed = [one for family, values in again.items() for one in made_up.confirmed(family, values)]
    reads = [
        {
            "number": number,
            "when": "2026-11-24T10:00:00Z",
            "run": number,
            "trials": {"soft": trials, "clip": trials},
            "budget": trials,
            "seeds": 2,
            "models": {f: [f"{f}-000{number}-confirm-{i}" for i in range(2)] for f in ("soft", "clip")},
        }
        for number, trials in ((1, 3), (2, 5))
    ]
    options = {"rows": rows, "confirmed": confirmed, "seeds": 2}
    text = report_of(tmp_path / "a", many(), reads=reads, **options)
    told = section(text, "Readings of the test slides")
    models = "soft: soft-0002-confirm-0 to 1; clip: clip-0002-confirm-0 to 1"
    assert f"| 2 | 2026-11-24T10:00:00Z | 2 | 5 of 5 | 2 | {models} | 10 |" in told
    pairs = section(text, "Comparisons on the test slides")
    assert "| a - b (99.5 %) |" in pairs and "before it p is multiplied by 10, for the 2nd reading" in pairs
    once = report_of(tmp_path / "b", many(), reads=reads[:1], **options)
    pairs = section(once, "Comparisons on the test slides")
    assert "| a - b (95 %) |" in pairs and "multiplied" not in pairs
    assert "## Readings" not in report_of(tmp_path / "c", many())


def test_failures_are_counted_by_reason(tmp_path):
    records = [
        record(number=i, state="FAIL", metrics={}, error="MemoryError: tile | 3\n<b>") for i in range(2)
    ]
    text = report_of(
        tmp_path / "a", [*records, record(number=2, state="FAIL", metrics={}, error="loss is NaN")]
    )
    assert r"| soft | 2 | MemoryError: tile \| 3 &lt;b&gt; | soft-0000 |" in section(text, "Failures")
    assert "| soft | 1 | loss is NaN | soft-0002 |" in section(text, "Failures")
    assert "soft has no winner: no trial gave a value (3 failed of 5)" in section(text, "Families")
    assert "clip has no winner: none of its 5 trials was started" in section(text, "Families")


def test_names_from_data_are_inert_in_markdown(tmp_path):
    sweep = {
        **SWEEP,
        "name": "x|y\n# big",
        "data": {"dataset": "<script>alert(1)</script>", "_a_": "[b](http://c)"},
    }
    text = report_of(tmp_path / "a", many(), sweep=sweep)
    assert text.startswith("# Sweep x\\|y \\# big\n")
    assert "<script>" not in text and "&lt;script&gt;" in text
    assert r"\_a\_ \[b\](http://c)" in text
    assert md("neighbor_alpha_scale") == "neighbor_alpha_scale"


@pytest.mark.parametrize(
    "name",
    ["<img src=x onerror=alert(1)>", "a | b", "`code`", "line\n# heading", "![x](http://evil/x.png)", "[a](javascript:b)",
     "**bold** __bold__", "~~gone~~", "\x1b[2J\u202e", "a\r\n\r\n| - |", "<!-- ", "&lt;b&gt;", "\\|", "https://evil.example"],
)  # fmt: skip
def test_hostile_names_add_no_line_cell_link_or_tag(tmp_path, name):
    def text_with(value):
        sweep = {**SWEEP, "name": "a", "data": {"dataset": value, "skipped_spots": {value: 2}}}
        failed = record(number=9, state="FAIL", metrics={}, error=f"DataError: {value}")
        other = record("clip", 9, "PRUNED")
        return report_of(tmp_path / str(abs(hash(value))), [*many(), failed, other], sweep=sweep)

    plain, hostile = text_with("plain"), text_with(name)
    bare = re.sub(r"\\.", "", hostile)  # what is escaped is text
    assert [line[:2] for line in hostile.splitlines()] == [line[:2] for line in plain.splitlines()]
    assert not set("<>`~*[]") & set(bare)
    assert [line.count("|") for line in bare.splitlines()] == [line.count("|") for line in plain.splitlines()]
    assert "\x1b" not in hostile and "\u202e" not in hostile and "&lt;b" not in bare.replace("&amp;lt;b", "")


def test_a_sweep_yaml_with_nothing_in_it_still_gives_a_report(tmp_path):
    text = report_of(tmp_path / "empty", many(), sweep={})
    assert text.startswith("# Sweep empty")


# -- the command line


def test_the_script_rebuilds_the_report_without_ray(tmp_path):
    folder = folder_of(tmp_path / "a", many())
    write_report(folder)
    first = folder.report_md.read_text()
    page = folder.report_html.read_text()
    folder.report_md.unlink()
    folder.report_html.unlink()
    code = (
        "import runpy, sys; sys.argv = sys.argv[1:]\n"
        "try: runpy.run_path(sys.argv[0], run_name='__main__')\n"
        "finally: print({'ray', 'torch'} & set(sys.modules))"
    )
    command = [sys.executable, "-c", code, report.__file__, str(folder.path)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [str(folder.report_html), "set()"]
    assert folder.report_html.read_text() == page
    assert folder.report_md.read_text() == first


def test_a_folder_that_is_no_sweep_ends_with_2_and_a_line(tmp_path, capsys):
    assert main([str(tmp_path)]) == 2
    assert (
        capsys.readouterr().err == f"error: {tmp_path}: not a sweep's results folder: it has no sweep.yaml\n"
    )
    with pytest.raises(InputError, match=r"no summary\.json"):
        folder = ResultsFolder(tmp_path / "b")
        folder.create({})
        write_report(folder)


@pytest.mark.parametrize(
    "summary", ["{}", '{"status": "complete"}', '{"status": 1, "families": []}', '{"families": {"a": null}}']
)
def test_a_summary_that_lacks_what_a_report_needs_ends_with_2_and_a_line(tmp_path, capsys, summary):
    folder = folder_of(tmp_path / "a", many())
    folder.summary_json.write_text(summary)
    assert main([str(folder.path)]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert re.match(
        rf"error: {folder.path}: its sweep\.yaml, .* is not as a sweep writes it \(\w+: .*--resume", error
    )


def test_a_number_that_no_float_holds_ends_with_2_and_a_line(tmp_path, capsys):
    folder = folder_of(tmp_path / "a", many())
    summary = folder.read_summary()
    next(iter(summary["families"].values()))["best"]["val"]["R@10"] = 10**400
    folder.write_summary(summary)
    assert main([str(folder.path)]) == 2
    error = capsys.readouterr().err
    assert re.fullmatch(r"error: .* is not as a sweep writes it \(OverflowError: .*--resume .*\n", error)


def test_a_summary_of_an_older_version_is_said_to_be_one_and_its_report_stays(tmp_path, capsys):
    folder = folder_of(tmp_path / "a", many())
    summary = folder.read_summary()
    del summary["margin"]
    folder.write_summary(summary)
    folder.report_md.write_text("as it was")
    assert main([str(folder.path)]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert re.match(
        rf"error: {folder.summary_json}: is of an older version, .*--resume {folder.path} \(it trains", error
    )
    assert folder.report_md.read_text() == "as it was"


def test_no_file_or_folder_of_sweeps_hides_a_module_when_run_as_a_script():
    """`python sweeps/report.py` puts sweeps/ first on the path: a `types.py` there would break Python."""
    from importlib.metadata import packages_distributions

    names = {path.stem for path in Path(report.__file__).parent.iterdir()} - {"__init__", "__pycache__"}
    assert not names & (set(sys.stdlib_module_names) | set(packages_distributions()))
