"""report.md: made from the results folder's files alone, with the warnings its numbers need."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from stclip.errors import InputError
from sweeps import report
from sweeps.report import main, md, write_report
from sweeps.results import ResultsFolder
from sweeps.warnings_found import edge_of, find_warnings
from tests.sweeps import made_up
from tests.sweeps.made_up import levels, slide_rows

SPACE = {
    "name": "spatial",
    "about": "both losses",
    "families": {
        "soft": {
            "loss": {"name": "spatial"},
            "parameters": {
                "loss.neighbor_alpha_scale": {"type": "float", "low": 0.0, "high": 2.0, "log": False},
                "model.temperature": {"type": "float", "low": 0.01, "high": 1.0, "log": True},
                "data.batching": {
                    "type": "choice",
                    "low": None,
                    "high": None,
                    "values": ["random", "neighborhood"],
                },
            },
        },
        "clip": {"loss": {"name": "clip"}, "parameters": {}},
    },
}
SWEEP = {
    "name": "a",
    "command": "python sweeps/run.py --space spatial",
    "started": "2026-11-24 10:00:00",
    "seed": 0,
    "space": SPACE,
    "budget": {"trials": 5, "epochs": 20},
    "data": {"dataset": "synthetic_medium", "fingerprint": "0123abcd", "test": {"slides": 10, "spots": 800}},
}


def record(family="soft", number=0, state="COMPLETE", params=None, metrics=None, error=None):
    metrics = levels("val", 0.3) if metrics is None else metrics
    return made_up.record(family, number, state, params or {}, metrics, error)


def folder_of(path, records, sweep=SWEEP, rows=(), baselines=None, confirmed=(), seeds=0, budgets=None):
    folder = ResultsFolder(path)
    folder.create(sweep)
    folder.write_trials_csv(records)
    budgets = budgets or {"soft": 5, "clip": 5}
    folder.write_summary(made_up.summary(records, budgets, rows, baselines, confirmed, seeds))
    return folder


def report_of(path, records, **options):
    return write_report(folder_of(path, records, **options)).read_text()


def warnings_of(path, records, **options):
    folder = folder_of(path, records, **options)
    return find_warnings(folder.read_sweep(), folder.read_trials(), folder.read_summary())


def many(**options):
    """Enough complete trials that nothing is warned about their number."""
    return [record(number=i, **options) for i in range(4)] + [record("clip", i) for i in range(4)]


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
    text, summary = write_report(folder).read_text(), folder.read_summary()
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
        "the mean over 2 trainings of each family's best configuration" in table and "and 2 slides;" in table
    )
    pairs = section(text, "Comparisons on the test slides")
    assert pairs.count("| soft | clip | R@") == 3 and pairs.count("| cca | R@") == 6
    found = summary["comparisons"][0]["metrics"]["R@10"]
    assert f"| soft | clip | R@10 | +0.025 ({found['low']:.3f} to {found['high']:.3f}) | " in pairs
    assert "| 2 x 2 |" in pairs
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


# -- the warnings


def test_low_neighbour_coverage_is_warned_about_in_spatial_loss_trials_only(tmp_path):
    low = {**levels("val", 0.3), "train/neighbor_coverage": 0.0002}
    high = {**levels("val", 0.3), "train/neighbor_coverage": 0.4}
    records = [record(number=0, metrics=high), *(record(number=i, metrics=low) for i in (1, 2, 3))]
    clip = [record("clip", i, metrics=low) for i in range(4)]
    (text,) = warnings_of(tmp_path / "a", records + clip)
    assert text.startswith(
        "Neighbour coverage was below 0.05 in 3 of 4 trials with SpatialLoss (lowest 0.0002, first soft-0001)"
    )
    assert "the neighbour term had nothing to act on; try data.batching: neighborhood" in text
    assert warnings_of(tmp_path / "b", many(metrics=high)) == []


def test_a_best_value_at_the_edge_of_its_range_is_warned_about(tmp_path):
    (text,) = warnings_of(tmp_path / "a", many(params={"model.temperature": 0.95, "data.batching": "random"}))
    assert text == (
        "The best model.temperature of soft, 0.95, is at the upper end of its range (0.01 to 1): "
        "a better value may lie outside; widen the range."
    )
    (text,) = warnings_of(tmp_path / "b", many(params={"loss.neighbor_alpha_scale": 0.01}))
    assert "lower end of its range (0 to 2): 0 switches it off" in text
    assert warnings_of(tmp_path / "c", many(params={"model.temperature": 0.5})) == []


@pytest.mark.parametrize(
    ("value", "low", "high", "log", "side"),
    [
        (0.02, 0.0, 1.0, False, "lower"),
        (0.021, 0.0, 1.0, False, None),
        (0.981, 0.0, 1.0, False, "upper"),
        (0.979, 0.0, 1.0, False, None),
        (1.09, 1.0, 100.0, True, "lower"),  # 100 ** 0.02 = 1.096
        (1.11, 1.0, 100.0, True, None),
        (91.5, 1.0, 100.0, True, "upper"),  # 100 ** 0.98 = 91.2
        (91.0, 1.0, 100.0, True, None),
        (True, 0, 1, False, None),
        ("random", None, None, False, None),
        (0.5, None, None, False, None),
    ],
)
def test_the_edge_is_two_percent_of_the_range(value, low, high, log, side):
    assert edge_of(value, {"low": low, "high": high, "log": log}) == side


def test_a_winner_among_few_trials_is_warned_about(tmp_path):
    records = [record(number=i) for i in range(4)] + [record("clip", 0)]
    records += [record("clip", i, "PRUNED") for i in range(1, 4)]
    (text,) = warnings_of(tmp_path / "a", records)
    assert text == "The winner of clip was chosen among 1 complete trial (fewer than 4); raise --trials."


def test_a_small_gallery_is_warned_about(tmp_path):
    small = levels("val", 0.5, chance_1=1 / 29)
    records = [record(number=i, metrics=small) for i in range(4)]
    (text,) = warnings_of(tmp_path / "a", records + [record("clip", i, metrics=small) for i in range(4)])
    assert text.startswith("The smallest gallery has 29 spots (val), under 30")
    edge = levels("val", 0.5, chance_1=1 / 31)
    fine = [record(f, i, metrics=edge) for f in ("soft", "clip") for i in range(4)]
    assert warnings_of(tmp_path / "b", fine) == []
    data = {"val": {"slides": 5, "smallest_gallery": 31}, "test": {"slides": 10, "smallest_gallery": 12}}
    (text,) = warnings_of(tmp_path / "c", fine, sweep={**SWEEP, "data": data})
    assert text.startswith("The smallest gallery has 12 spots (test), under 30")


def test_unequal_numbers_of_trials_are_warned_about(tmp_path):
    (text,) = warnings_of(tmp_path / "a", [*many(), record("clip", 4, "FAIL", error="x")])
    assert (
        text == "The families did not have the same number of trials (soft 4, clip 5); go on with --resume."
    )


def test_trials_within_noise_of_each_other_are_warned_about(tmp_path):
    def with_spread(step):
        vals = [levels("val", 0.3 + step * i) for i in range(6)]
        return [record(f, i, metrics=val) for f in ("soft", "clip") for i, val in enumerate(vals)]

    values = [[0.35], [0.36], [0.34]]
    again = made_up.confirmed("soft", values, val_step=0.01)  # a standard deviation of 0.01 from seed to seed
    options = {"rows": slide_rows("soft", values), "confirmed": again, "seeds": 3}
    (text,) = warnings_of(tmp_path / "a", with_spread(0.002), **options)
    assert text.startswith(
        "All 6 complete trials of soft are within noise of each other: val/R@10 differs by 0.004"
    )
    assert "and by 0.010 from seed to seed" in text
    assert warnings_of(tmp_path / "b", with_spread(0.1), **options) == []


def test_a_confirmation_that_lost_seeds_is_warned_about(tmp_path):
    values = [[0.35, 0.3], [0.36, 0.3], [0.34, 0.3]]
    vals = [levels("val", 0.1 * i) for i in range(1, 6)]
    records = [record(f, i, metrics=val) for f in ("soft", "clip") for i, val in enumerate(vals)]
    again = made_up.confirmed("soft", values, val_step=0.001, failed=(1,))
    (text,) = warnings_of(tmp_path / "a", records, rows=slide_rows("soft", values), confirmed=again, seeds=3)
    assert text == "The confirmation of soft has 2 of 3 seeds (soft-0000-confirm-1: MemoryError: out)."
    (text,) = warnings_of(
        tmp_path / "b", records, rows=slide_rows("soft", values), confirmed=again[::2], seeds=3
    )
    assert text == "The confirmation of soft has 2 of 3 seeds; go on with --resume."


def test_a_test_slide_whose_donor_was_trained_on_is_warned_about(tmp_path):
    donors = {"train": {"A": "p1", "B": "p2"}, "val": {"C": "p1"}, "test": {"D": "p2", "E": "p3"}}
    (text,) = warnings_of(tmp_path / "a", many(), sweep={**SWEEP, "data": {"donors": donors}})
    assert text.startswith("1 of 2 test slides are of donors that also gave a training slide (D (p2)): ")
    donors["test"]["D"] = "p4"
    assert warnings_of(tmp_path / "b", many(), sweep={**SWEEP, "data": {"donors": donors}}) == []


# -- the command line


def test_the_script_rebuilds_the_report_without_ray(tmp_path):
    folder = folder_of(tmp_path / "a", many())
    write_report(folder)
    first = folder.report_md.read_text()
    folder.report_md.unlink()
    code = (
        "import runpy, sys; sys.argv = sys.argv[1:]\n"
        "try: runpy.run_path(sys.argv[0], run_name='__main__')\n"
        "finally: print({'ray', 'torch'} & set(sys.modules))"
    )
    command = [sys.executable, "-c", code, report.__file__, str(folder.path)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [str(folder.report_md), "set()"]
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


def test_no_file_of_sweeps_hides_a_module_when_run_as_a_script():
    """`python sweeps/report.py` puts sweeps/ first on the path: a `types.py` there would break Python."""
    from importlib.metadata import packages_distributions

    files = {path.stem for path in Path(report.__file__).parent.glob("*.py")} - {"__init__"}
    assert not files & (set(sys.stdlib_module_names) | set(packages_distributions()))
