"""The report's sections beside the verdict, in Markdown and on the page."""

from __future__ import annotations

from sweeps.analysis.compute import compute_of
from sweeps.analysis.groups import group_means
from sweeps.analysis.ranks import ranks_of
from sweeps.reporting.write import write_report
from tests.sweeps import made_up
from tests.sweeps.made_up import MACHINE, record, slide_rows
from tests.sweeps.results_folders import SWEEP, folder_of, many

ROWS = [*slide_rows("soft", [[0.3, 0.4], [0.32, 0.44]]), *slide_rows("cca", [[0.2, 0.28]], "baseline")]
UNTRAINED = slide_rows("untrained", [[0.1, 0.1]], "baseline")
HOSTILE = "<img src=x onerror=alert(1)> | a"
GPU = {**MACHINE, "host": HOSTILE, "gpus": ["NVIDIA H200"], "held_gpus": 0.5, "peak_device_memory_mb": 1500.0}


def report_of(path, **further):
    folder = folder_of(path, many(), rows=ROWS)
    folder.write_summary({**folder.read_summary(), **further})
    write_report(folder)
    return folder.report_md.read_text(), folder.report_html.read_text()


def section(text, title):
    (found,) = [part for part in text.split("\n## ") if part.startswith(f"{title}\n")]
    return found


def test_ring_recall_and_median_rank_stand_with_intervals_beside_chance(tmp_path):
    found = ranks_of(ROWS, {"soft": "given", "clip": "given"}, ["cca"])
    text, page = report_of(tmp_path / "a", ranks=found)
    table = section(text, "Ring recall and median rank")
    one, cca = found["families"]["soft"]["ring_R@10"], found["baselines"]["cca"]["ring_R@10"]
    assert f"| {one['value']:.3f} ({one['low']:.3f} to {one['high']:.3f}) | 5.0 (5.0 to 5.0) |" in table
    assert "| CCA baseline | 0.090 (" in table and f"| {cca['value']:.3f} (" in table
    assert "| chance | 0.040 | 0.200 | 0.400 | 50.5 |" in table
    assert "<h2>Ring recall and median rank" in page


def test_groups_are_a_table_of_family_by_group(tmp_path):
    sweep = {"data": {"technology": {"test": {"E0": HOSTILE, "E1": "Xenium"}}}}
    text, page = report_of(tmp_path / "a", groups=group_means(sweep, [*ROWS, *UNTRAINED]))
    table = section(text, "Test recall by technology")
    assert "| Xenium | 1 | soft | 0.105 | 0.210 | 0.420 | 0.100 | 4.2x |" in table
    assert "| Xenium | 1 | CCA baseline | 0.070 | 0.140 | 0.280 | 0.100 | 2.8x |" in table
    assert "untrained" not in table
    assert "no difference between groups was tested" in table
    assert "<img" not in table and "<img src=x" not in page and "Test recall by organ" not in text


def test_compute_names_hours_machines_peaks_and_parameters(tmp_path):
    searched = [record(machine=MACHINE), record(number=1, machine=GPU), record(number=2, state="FAIL")]
    again = [record("clip", number=0, machine=MACHINE)]
    found = compute_of(searched, again, {"soft": searched[0], "clip": searched[2]})
    text, page = report_of(tmp_path / "a", compute=found)
    lines = section(text, "Compute").splitlines()
    hours = 11.25 / 3600
    assert (
        f"- Search: 3 trials, {4 * hours:.3g} CPU hours and {0.5 * hours:.3g} GPU hours, peak memory of a trial 700 MB, peak GPU "
        "memory of a trial 1,500 MB (without 1 trial that ended before a report said what it held)" in lines
    )
    assert f"- Confirmation: 1 trial, {2 * hours:.3g} CPU hours, peak memory of a trial 700 MB" in lines
    assert "- Node node-a: 2 trials; A CPU, 8 cores, 34 GB" in lines
    assert any(line.endswith("1 trial; A CPU, 8 cores, 34 GB, GPU NVIDIA H200") for line in lines)
    assert "- Trained parameters of each family's winner: soft 12,345" in lines
    assert "<img src=x" not in page and "<img" not in text


def test_a_summary_of_a_version_before_has_none_of_these_sections(tmp_path):
    text, _ = report_of(tmp_path / "a")
    assert not [title for title in ("Ring recall", "Test recall by", "Compute") if f"## {title}" in text]


def test_what_is_said_of_each_slide_is_left_to_sweep_yaml(tmp_path):
    data = {**SWEEP["data"], "donors": {"test": {"E0": "p1"}}, "technology": {"test": {"E0": "Xenium"}}}
    folder = folder_of(tmp_path / "a", many(), {**SWEEP, "data": data})
    write_report(folder)
    ran = section(folder.report_md.read_text(), "What was run")
    assert "fingerprint 0123abcd" in ran and "Xenium" not in ran and "p1" not in ran


def test_one_of_a_thing_is_no_plural(tmp_path):
    rows = slide_rows("soft", [[0.35]], donors=["P1"])
    again = made_up.confirmed("soft", [[0.35]])
    folder = folder_of(
        tmp_path / "a",
        [record("soft", metrics=made_up.levels("val", 0.3))],
        SWEEP,
        rows,
        confirmed=again,
        seeds=1,
        budgets={"soft": 1},
    )
    write_report(folder)
    assert "with 1 fresh seed (the same for all), on 1 slide of 1 donor." in folder.report_md.read_text()
