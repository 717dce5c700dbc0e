"""Ring recall and median rank of the test slides, with intervals."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from sweeps.analysis.family_stats import FamilyTable, family_estimate
from sweeps.analysis.ranks import ranks_of
from tests.sweeps.made_up import slide_rows

GIVEN = {"spatial": "given"}
VALUES = [[0.30, 0.40, 0.38], [0.32, 0.41, 0.36]]


def rows_of(who="spatial", kind="family", values=VALUES):
    """Each slide's median rank is its number and a tenth of the seed's."""
    return [
        replace(row, metrics={**row.metrics, "median_rank": 1 + int(row.slide[1:]) + row.replicate / 10})
        for row in slide_rows(who, values, kind)
    ]


def test_each_has_its_mean_and_the_interval_that_recall_has():
    rows = rows_of() + rows_of("cca", "baseline", VALUES[:1])
    found = ranks_of(rows, {"spatial": "one search", "clip": "one search"}, ["cca", "untrained"])
    assert (found["families"].keys(), found["baselines"].keys()) == ({"spatial"}, {"cca"})
    spatial = found["families"]["spatial"]
    assert spatial.keys() == {"ring_R@1", "ring_R@5", "ring_R@10", "median_rank"}
    expected = family_estimate(FamilyTable(1.5 * np.array([VALUES]), np.ones(1), "one search"), np.arange(3))
    assert spatial["ring_R@10"] == pytest.approx(
        {"value": expected.value, "low": expected.low, "high": expected.high}
    )
    assert spatial["median_rank"]["value"] == pytest.approx(2.05)
    assert spatial["median_rank"]["low"] == 1  # no rank is better, whatever the interval says of three slides
    assert spatial["median_rank"]["high"] > 2.05
    levels = {"ring_R@1": 0.04, "ring_R@5": 0.2, "ring_R@10": 0.4, "median_rank": 50.5}
    assert found["chance"] == pytest.approx(levels)


def test_a_recall_stays_within_one():
    (found,) = ranks_of(rows_of(values=[[0.66, 0.3], [0.6, 0.2]]), GIVEN, [])["families"].values()
    assert found["ring_R@10"]["high"] == 1


def test_rows_that_an_older_version_read_have_a_median_rank_only():
    rows = rows_of()
    rows[0] = replace(rows[0], metrics={k: v for k, v in rows[0].metrics.items() if "ring" not in k})
    assert ranks_of(rows, GIVEN, [])["families"]["spatial"].keys() == {"median_rank"}
    bare = [replace(row, metrics={k: v for k, v in row.metrics.items() if "ring" not in k}) for row in rows]
    assert ranks_of(bare, GIVEN, [])["chance"] == {"median_rank": 50.5}


def test_without_test_slides_there_is_nothing():
    assert ranks_of([], GIVEN, ["cca"]) == {}
