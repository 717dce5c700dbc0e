"""test_slides.csv: written and read back, and taken apart for the statistics."""

from dataclasses import replace

import numpy as np
import pytest

from stclip.errors import InputError
from sweeps.results.slide_rows import (
    RINGS,
    clusters_of,
    model_rows,
    read_slide_rows,
    slide_values,
    write_slide_rows,
)
from tests.sweeps.made_up import slide_rows

VALUES = [[0.30, 0.40, 0.38], [0.32, 0.41, 0.36]]


def test_the_table_is_read_back_as_it_was_written(tmp_path):
    rows = slide_rows("spatial", VALUES, donors=("p,1", 'p"2', "p,1")) + slide_rows(
        "cca", VALUES[:1], "baseline"
    )
    write_slide_rows(tmp_path / "t.csv", rows)
    assert read_slide_rows(tmp_path / "t.csv") == rows
    assert read_slide_rows(tmp_path / "absent.csv") == []


@pytest.mark.parametrize("text", ["a,b\n1,2\n", "kind,who\nfamily\n"])
def test_a_file_that_is_no_such_table(tmp_path, text):
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(
        InputError, match=r"t\.csv: is not as a sweep writes it .*write it again with --resume"
    ):
        read_slide_rows(tmp_path / "t.csv")


def test_a_models_rows_are_its_slides():
    found = {
        "spots": 54,
        "R@1": 0.1,
        "R@5": 0.3,
        "R@10": 0.5,
        "chance_R@1": 0.02,
        "chance_R@5": 0.1,
        "chance_R@10": 0.2,
    }
    rows = model_rows("family", "clip", "c", 1, 7, {"A": {**found, "median_rank": 3.0}}, {"A": "p1"})
    (row,) = rows
    assert (row.who, row.replicate, row.seed, row.slide, row.donor, row.spots) == (
        "clip",
        1,
        7,
        "A",
        "p1",
        54,
    )
    assert row.metrics["R@5"] == 0.3
    assert "ring_R@5" not in row.metrics  # of a model that was read before there were any
    rings = {**found, "median_rank": 3.0, "ring_R@5": 0.6, "chance_ring_R@5": 0.4, "further": 1.0}
    (row,) = model_rows("family", "clip", "c", 1, 7, {"A": rings}, {})
    assert (row.metrics["ring_R@5"], row.metrics["chance_ring_R@5"]) == (
        0.6,
        0.4,
    ) and "further" not in row.metrics


def test_a_table_without_ring_recall_is_read_and_written_beside_one_that_has_it(tmp_path):
    old = slide_rows("spatial", VALUES)
    bare = [replace(row, metrics={k: v for k, v in row.metrics.items() if "ring" not in k}) for row in old]
    write_slide_rows(tmp_path / "new.csv", bare)
    lines = [line.split(",") for line in (tmp_path / "new.csv").read_text().splitlines()]
    assert lines[0][-1] == "chance_ring_R@10" and {line[-1] for line in lines[1:]} == {""}
    before = "\n".join(",".join(line[: -len(RINGS)]) for line in lines)  # as a version without them wrote it
    assert before.splitlines()[0].endswith(",median_rank")
    (tmp_path / "old.csv").write_text(before)
    assert read_slide_rows(tmp_path / "old.csv") == read_slide_rows(tmp_path / "new.csv") == bare
    both = [*bare, *slide_rows("clip", VALUES)]
    write_slide_rows(tmp_path / "both.csv", both)
    assert read_slide_rows(tmp_path / "both.csv") == both


def test_values_are_configurations_by_replicates_by_slides():
    rows = slide_rows("spatial", VALUES, weight=0.75)
    rows += slide_rows("spatial", [[0.9, 0.8, 0.7]], number=7, weight=0.25)
    rows += slide_rows("spatial", [[0.9, 0.9, 0.9]], "baseline")
    found = slide_values(rows, "family", "spatial", "R@10")
    assert found.values[0].tolist() == VALUES and found.values[1, 0].tolist() == [0.9, 0.8, 0.7]
    assert np.isnan(found.values[1, 1]).all()  # it has one training less
    assert (found.configurations, found.weights.tolist()) == (("spatial-0000", "spatial-0007"), [0.75, 0.25])
    assert (found.replicates, found.slides) == ((0, 1), ("E0", "E1", "E2"))
    assert slide_values(rows, "baseline", "spatial", "R@10").values.tolist() == [[[0.9, 0.9, 0.9]]]
    assert slide_values(rows, "family", "clip", "R@10").values.size == 0
    with pytest.raises(ValueError, match="spatial has no R@10 of replicate 1 on slide E2"):
        slide_values(rows[:5], "family", "spatial", "R@10")


def test_a_table_from_before_there_were_configurations_is_read(tmp_path):
    path = tmp_path / "t.csv"
    write_slide_rows(path, slide_rows("spatial", VALUES, weight=0.5))
    lines = [line.split(",") for line in path.read_text().splitlines()]
    places = [place for place, name in enumerate(lines[0]) if name not in ("configuration", "weight")]
    path.write_text("".join(",".join(line[place] for place in places) + "\n" for line in lines))
    (first, *_) = read_slide_rows(path)
    assert (first.configuration, first.weight, first.replicate) == ("", 1.0, 0)


def test_slides_of_one_donor_are_one_cluster():
    rows = slide_rows("spatial", VALUES, donors=("p1", "p2", "p1"))
    assert clusters_of(rows, ("E0", "E1", "E2")).tolist() == [0, 1, 0]
    assert clusters_of(slide_rows("spatial", VALUES), ("E2", "E0")).tolist() == [0, 1]
    assert clusters_of(rows, ("E0",)).dtype == np.int64
