"""The Grafana dashboard asks Prometheus only for what a sweep exports."""

import json
import re

import pytest

from stclip.files.paths import PROJECT_ROOT
from sweeps.reporting.prometheus import LABELS, TRIAL_SECONDS

PATH = PROJECT_ROOT / "configs" / "cluster" / "grafana.json"
SERIES = {f"ray_{name}": set(labels) for name, labels in LABELS.items() if name != TRIAL_SECONDS} | {
    f"ray_{TRIAL_SECONDS}_bucket": {*LABELS[TRIAL_SECONDS], "le"}
}
FUNCTIONS = {"sum", "max", "avg", "by", "ignoring", "histogram_quantile", "increase"}


def dashboard():
    return json.loads(PATH.read_text(encoding="utf-8"))


def queries():
    """title -> the panel's query, a pair for each."""
    return [
        (panel["title"], target["expr"]) for panel in dashboard()["panels"] for target in panel["targets"]
    ]


def labels_asked_for(query):
    """Every label in a query's selectors and groupings."""
    selected = re.findall(r"(\w+)\s*(?:=~|!~|!=|=)\s*\"", query)
    grouped = re.findall(r"\b(?:by|ignoring|on|without)\s*\(([^)]*)\)", query)
    return set(selected) | {label.strip() for labels in grouped for label in labels.split(",")}


@pytest.mark.parametrize(("title", "query"), queries())
def test_a_panel_uses_exported_series_and_their_labels_only(title, query):
    bare = re.sub(r"\"[^\"]*\"|\[\w+\]", "", query)
    words = set(re.findall(r"[a-zA-Z_]\w*", bare)) - FUNCTIONS
    series = words & SERIES.keys()
    assert series, f"{title} reads no metric of a sweep"
    known = set.union(*(SERIES[name] for name in series))
    assert words - series == labels_asked_for(query)  # nothing else is in it, so no unknown series either
    assert labels_asked_for(query) <= known


def test_every_metric_has_a_panel():
    text = " ".join(query for _, query in queries())
    assert [name for name in SERIES if name not in text] == []


def test_the_data_source_is_chosen_by_the_user():
    tree = dashboard()
    variables = {one["name"]: one for one in tree["templating"]["list"]}
    assert variables["datasource"]["type"] == "datasource"
    targets = [target for panel in tree["panels"] for target in panel["targets"]]
    assert {part["datasource"]["uid"] for part in (*tree["panels"], *targets)} == {"${datasource}"}
    for name in ("sweep", "family"):
        series, label = re.fullmatch(
            r"label_values\((\w+)(?:\{.*\})?, (\w+)\)", variables[name]["definition"]
        ).groups()
        assert label in SERIES[series]


def test_panels_do_not_overlap():
    cells = [
        (x, y)
        for place in (panel["gridPos"] for panel in dashboard()["panels"])
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) < 24  # columns of Grafana's grid
