"""Whose tissue a slide is: read from donors.csv or the manifest, whole or not at all."""

import json

import pytest

from stclip.data.shards.donors import read_donors
from stclip.data.shards.splits import Splits
from stclip.errors import DataError

SPLITS = Splits(train=("A", "B"), val=("C",), test=("D", "E"))
WHOLE = {"A": "p1", "B": "p2", "C": "p3", "D": "p1", "E": "p4"}


def csv_of(folder, donors, head="slide,donor"):
    (folder / "donors.csv").write_text("\n".join([head, *(f"{s},{d}" for s, d in donors.items())]) + "\n")


def manifest_of(folder, donors):
    (folder / "manifest.json").write_text(json.dumps({"donor": donors}))


def test_a_data_set_that_does_not_say(tmp_path):
    assert read_donors(tmp_path, SPLITS) == {}
    (tmp_path / "manifest.json").write_text("{}")
    assert read_donors(tmp_path, SPLITS) == {}
    (tmp_path / "manifest.json").write_text("{ cut short")
    assert read_donors(tmp_path, SPLITS) == {}


def test_the_slides_of_the_splits_get_their_donors(tmp_path):
    csv_of(tmp_path, {**WHOLE, "elsewhere": "p9"})
    assert read_donors(tmp_path, SPLITS) == WHOLE


def test_further_columns_and_blanks_do_not_matter(tmp_path):
    rows = [f"{d}, x ,  {s} " for s, d in WHOLE.items()]
    (tmp_path / "donors.csv").write_text("﻿" + "\n".join(["donor,organ,slide", *rows]), encoding="utf-8")
    assert read_donors(tmp_path, SPLITS) == WHOLE


def test_the_manifest_says_it_where_there_is_no_csv(tmp_path):
    manifest_of(tmp_path, WHOLE)
    assert read_donors(tmp_path, SPLITS) == WHOLE
    csv_of(tmp_path, {**WHOLE, "A": "another"})
    assert read_donors(tmp_path, SPLITS)["A"] == "another"


@pytest.mark.parametrize("write", [csv_of, manifest_of])
def test_a_slide_without_a_donor_is_an_error(tmp_path, write):
    write(tmp_path, {s: d for s, d in WHOLE.items() if s not in "BE"})
    with pytest.raises(
        DataError, match=r"names no donor for 2 of 5 slides \(such as B\); give every slide one"
    ):
        read_donors(tmp_path, SPLITS)


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("", r"has no column 'slide', got nothing; write the columns slide,donor"),
        ("slide,patient\nA,p1\n", r"has no column 'donor', got slide, patient; write"),
        ("slide,donor\nA,p1\nB\n", r"line 3 lacks its slide or its donor; fill it in"),
        ("slide,donor\nA,p1\n,p2\n", r"line 3 lacks its slide or its donor"),
        ("slide,donor\nA,p1\nA,p2\n", r"line 3 says that slide 'A' is of 'p2', a line before of 'p1'"),
    ],
)
def test_a_broken_csv_is_an_error(tmp_path, text, rule):
    (tmp_path / "donors.csv").write_text(text)
    with pytest.raises(DataError, match=rule):
        read_donors(tmp_path, SPLITS)


def test_a_csv_that_is_no_text_is_an_error(tmp_path):
    (tmp_path / "donors.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match="cannot be read as CSV"):
        read_donors(tmp_path, SPLITS)


@pytest.mark.parametrize("donors", [["p1"], "p1", {"A": 1}, {"A": ""}])
def test_a_manifest_with_other_donors_is_an_error(tmp_path, donors):
    manifest_of(tmp_path, donors)
    with pytest.raises(DataError, match="`donor` must map each slide to its donor's name, got"):
        read_donors(tmp_path, SPLITS)
