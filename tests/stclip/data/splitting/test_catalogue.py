"""A catalogue says that it cannot tell sections, and which pairs look like one."""

import csv

import pytest

from stclip.data.splitting.catalogue import unchecked_sections

HEADER = ["id", "donor", "organ", "spots_under_tissue", "pixel_size_um_estimated"]
ROWS = [
    ["A", "P1", "Bowel", "2281", "0.2738"],
    ["B", "P2", "Bowel", "2279", "0.2737"],
    ["C", "P3", "Bowel", "2280", "0.5"],  # another pixel size
    ["D", "P1", "bowel", "2281", "0.2738"],  # of the donor of A: on one side with it anyway, but not with B
    ["E", "P4", "Lung", "2281", "0.2738"],
    ["F", "P5", "Bowel", "", ""],
]


def said(tmp_path, rows, columns=HEADER):
    with (tmp_path / "slides.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, columns, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(dict(zip(HEADER, row, strict=True)) for row in rows)
    return unchecked_sections(tmp_path / "slides.csv", {row[0]: row[1] for row in rows})


def test_pairs_that_look_like_one_section_are_listed(tmp_path):
    text = said(tmp_path, ROWS)
    assert text.startswith("a catalogue does not say whether two ids are one section")
    assert text.endswith(
        "2 pairs: A and B (Bowel, 2281 and 2279 spots); B and D (Bowel, 2279 and 2281 spots)"
    )


def test_none_looks_like_it(tmp_path):
    assert said(tmp_path, ROWS[2:]).endswith("no two slides of different donors look like it by spots_under_tissue, "
                                             "organ and pixel_size_um_estimated")  # fmt: skip


@pytest.mark.parametrize(
    ("columns", "rule"),
    [
        (HEADER[:2], "without the columns spots_under_tissue, organ it"),
        (HEADER[:3], "without the column spots_under_tissue it"),
    ],
)
def test_columns_that_are_not_there(tmp_path, columns, rule):
    assert f"{rule} cannot be guessed either" in said(tmp_path, ROWS, columns)
