"""The report's first figure: intervals where the numbers are, and the margin shaded."""

import pytest

from sweeps.reporting.verdict_figure import verdict_figure
from tests.sweeps.made_up import confirmed, levels, record, slide_rows, summary

SPATIAL, CLIP = [[0.40, 0.50], [0.42, 0.51]], [[0.30, 0.42], [0.31, 0.44]]


def of(families, **other):
    rows = [row for family, r10 in families.items() for row in slide_rows(family, r10)]
    rows += slide_rows("cca", [[0.35, 0.45]], "baseline")
    records = [record(family, metrics=levels("val", 0.4)) for family in families]
    again = [one for family, r10 in families.items() for one in confirmed(family, r10)]
    baselines = {"cca": (levels("val", 0.3), levels("test", 0.4))}
    return summary(records, dict.fromkeys(families, 1), rows, baselines, again, 2, **other)


def traces(shown):
    return {trace.y[0]: trace for trace in shown.figure.data}


def test_each_family_has_its_interval_and_the_difference_too():
    made = of({"spatial": SPATIAL, "clip": CLIP})
    shown = verdict_figure(made)
    found = traces(shown)
    assert list(found) == ["spatial", "clip", "CCA baseline", "spatial − clip"]
    interval = made["families"]["spatial"]["test_intervals"]["R@10"]
    trace = found["spatial"]
    assert trace.x[0] == interval["value"]
    assert trace.x[0] + trace.error_x.array[0] == pytest.approx(interval["high"])
    assert trace.x[0] - trace.error_x.arrayminus[0] == pytest.approx(interval["low"])
    metric = made["comparisons"][0]["metrics"]["R@10"]
    difference = found["spatial − clip"]
    assert (difference.x[0], difference.text[0]) == (metric["difference"], metric["outcome"])
    assert difference.x[0] - difference.error_x.arrayminus[0] == pytest.approx(metric["low"])
    (band,) = [shape for shape in shown.figure.layout.shapes if shape.type == "rect"]
    assert (band.x0, band.x1, band.xref) == (-0.01, 0.01, "x2")
    assert "spatial 0.458, clip 0.367" in shown.alt and "spatial against clip: " in shown.alt


def test_every_row_has_its_place():
    """The first on top; nothing at the edge."""
    axes = verdict_figure(of({"spatial": SPATIAL, "clip": CLIP})).figure.layout
    assert axes.yaxis.categoryarray == ("spatial", "clip", "CCA baseline") and axes.yaxis.range == (2.5, -0.5)
    assert axes.yaxis2.categoryarray == ("spatial − clip",) and axes.yaxis2.range == (0.5, -0.5)


def test_a_single_family_has_no_differences():
    shown = verdict_figure(of({"spatial": SPATIAL}))
    assert list(traces(shown)) == ["spatial", "CCA baseline"] and not shown.figure.layout.shapes


def test_without_an_interval_there_is_a_point():
    found = traces(verdict_figure(of({"spatial": [[0.4]], "clip": [[0.3]]})))["spatial − clip"]
    assert (found.error_x.array, found.error_x.arrayminus) == ((0,), (0,))


def test_nothing_tested_nothing_drawn():
    made = summary([record(metrics=levels("val", 0.4))], {"spatial": 1})
    assert verdict_figure(made) is None


def test_names_from_data_are_inert():
    shown = verdict_figure(of({"<b>a</b>": SPATIAL, "clip": CLIP}))
    assert "&lt;b&gt;a&lt;/b&gt; − clip" in traces(shown)
