"""`python -m stclip.data split`: what it writes, what it finds, what it refuses."""

import csv
import json

import h5py
import numpy as np
import pytest

from stclip.data.__main__ import main
from stclip.data.shards.donors import read_csv_donors, read_donors
from stclip.data.shards.splits import SPLITS, Splits, read_slides, read_splits
from stclip.files.paths import PROJECT_ROOT
from tests.stclip.data.hest_folders import slide_of, write_hest


@pytest.fixture
def split(command):
    """The command."""
    return lambda *arguments: command("split", *arguments)


def with_donors(folder, donors):
    (folder / "donors.csv").write_text("slide,donor\n" + "".join(f"{s},{d}\n" for s, d in donors.items()))


def hest_dataset(folder, slides):
    """The data set made of these slides, and the raw folder it came from."""
    raw = write_hest(folder / "raw", slides)
    assert (
        main(
            [
                "hest",
                "--raw",
                str(raw),
                "--out",
                str(folder / "set"),
                "--jobs",
                "1",
                "--quiet",
                "--genes",
                "all",
            ]
        )
        == 0
    )
    return folder / "set", raw


TINY = ("E1", "T1", "T2", "T3", "T4", "V1")


def test_a_data_set_is_split_by_donor(tiny_dataset, split):
    donors = dict(zip(TINY, "aabbcc", strict=True))
    with_donors(tiny_dataset, donors)
    code, out, err = split(tiny_dataset, "--train", ".34", "--val", ".33", "--test", ".33")
    assert (code, err) == (0, "")
    found = read_splits(tiny_dataset)
    for slides in (found.train, found.val, found.test):
        assert len(slides) == 2 and len({donors[slide] for slide in slides}) == 1
    assert "train: 2 slides of 1 donor (2 technology unknown)" in out
    assert json.loads((tiny_dataset / "split.json").read_text())["by"] == "donor"
    assert (tiny_dataset / "donors.csv").read_text().startswith("slide,donor\nE1,a\n")  # left as it was


def test_one_section_under_two_ids_stays_on_one_side(tmp_path, split):
    slides = {f"S{number}": slide_of(number) for number in range(5)}
    slides["AGAIN"] = slide_of(2)
    slides["AGAIN"].counts[:, :3] += 1  # published twice, processed anew
    for name, slide in slides.items():
        slide.about = {"fullres_px_width": 3000, "patient": f"P-{name}"}
    dataset, raw = hest_dataset(tmp_path, slides)
    for place in (dataset, raw):
        code, out, _ = split(
            place, "--out", tmp_path / "split", "--train", ".4", "--val", ".2", "--test", ".4"
        )
        assert code == 0
        assert (
            "one section under two ids: AGAIN and S2 (100% of the spots have a barcode of the other, " in out
        )
        found = Splits(*(read_slides(tmp_path / "split", name) for name in SPLITS))
        assert any({"AGAIN", "S2"} <= set(side) for side in (found.train, found.val, found.test))
        assert read_csv_donors(tmp_path / "split" / "donors.csv")["S2"] == "P-AGAIN = P-S2"
        assert json.loads((tmp_path / "split" / "split.json").read_text())["duplicates"] == [["AGAIN", "S2"]]


def test_a_raw_slide_whose_counts_are_damaged_is_named_and_left_out(tmp_path, split):
    raw = write_hest(tmp_path / "raw", {f"S{number}": slide_of(number) for number in range(4)})
    with h5py.File(raw / "st" / "S1.h5ad", "r+") as file:
        file["X"]["indices"][0] = 4000
    code, _, err = split(raw, "--out", tmp_path / "split", "--train", ".34", "--val", ".33", "--test", ".33")
    assert code == 1 and "slide 'S1': " in err and "an index is 4000" in err and len(err.splitlines()) == 1
    assert not any("S1" in read_slides(tmp_path / "split", name) for name in SPLITS)


def test_a_raw_slide_that_cannot_be_used_is_named_and_left_out(tmp_path, split):
    raw = write_hest(tmp_path / "raw", {f"S{number}": slide_of(number) for number in range(4)})
    (raw / "patches" / "S1.h5").unlink()
    code, out, err = split(
        raw, "--out", tmp_path / "split", "--train", ".34", "--val", ".33", "--test", ".33"
    )
    assert code == 1 and err.startswith("error: slide 'S1': ") and len(err.splitlines()) == 1
    assert "train: 1 slide of 1 donor (1 Visium)" in out
    assert not any("S1" in read_slides(tmp_path / "split", name) for name in SPLITS)


def test_the_joined_donors_reach_the_data_set(tmp_path, split):
    slides = {f"S{number}": slide_of(number) for number in range(3)} | {"AGAIN": slide_of(2)}
    for slide in slides.values():
        slide.about = {"fullres_px_width": 3000}
    dataset, _ = hest_dataset(tmp_path, slides)
    split(dataset)
    donors = read_donors(dataset, read_splits(dataset))
    assert donors["AGAIN"] == donors["S2"] == "AGAIN = S2" and donors["S1"] == "S1"


def test_named_slides(tiny_dataset, split):
    named = ("--train", "T1,T2,T3", "--val", "V1, T4", "--test", "E1")
    code, _, err = split(tiny_dataset, *named)
    assert code == 2 and "the donor of 6 of 6 slides is not known (such as E1); write donors.csv with" in err
    with_donors(tiny_dataset, dict.fromkeys(TINY, "p1"))
    code, _, err = split(tiny_dataset, *named)
    assert code == 2
    assert (
        "slides 'T1' in train and 'V1' in val share the donor 'p1'; keep them on one side, or use --by slide"
        in err
    )
    code, out, _ = split(tiny_dataset, *named, "--by", "slide")
    assert code == 0
    assert read_splits(tiny_dataset) == Splits(("T1", "T2", "T3"), ("V1", "T4"), ("E1",))
    assert "note: 1 donor of test slides also on another side: the test says nothing of new donors" in out


@pytest.mark.parametrize(
    ("options", "rule"),
    [
        (
            ["--by", "slide", "--train", ".5"],
            "the three shares must be above 0 and sum to 1, got --train .5, --val 0.1, --test 0.2",
        ),
        (
            ["--by", "slide", "--train", "1", "--val", "-.1", "--test", ".1"],
            "the three shares must be above 0 and sum to 1",
        ),
        (
            ["--by", "slide", "--train", "T1,T9", "--val", "V1", "--test", "E1"],
            "--train: unknown slide 'T9'; did you mean 'T4'?",
        ),
        (
            ["--by", "slide", "--train", "T1"],
            "--val is the share 0.1 while another is a list of slides; give three shares or three",
        ),
        (
            ["--by", "slide", "--train", "T1", "--val", ",", "--test", "E1"],
            "--val names no slide; give ids with commas between",
        ),
        (["--train", "T1", "--val", "V1", "--test", "E1"], "the donor of 6 of 6 slides is not known"),
    ],
)
def test_what_cannot_be_met_is_said(tiny_dataset, split, options, rule):
    before = read_splits(tiny_dataset)
    code, _, err = split(tiny_dataset, *options)
    assert code == 2 and err.startswith(f"error: {rule}") and len(err.splitlines()) == 1
    assert read_splits(tiny_dataset) == before


def test_slides_of_too_few_donors(tiny_dataset, split):
    with_donors(tiny_dataset, dict(zip(TINY, "aaabbb", strict=True)))
    code, _, err = split(tiny_dataset)
    assert code == 2
    assert (
        "6 slides of 2 donors cannot be split by donor onto three sides; get slides of more donors, or use --by slide"
        in err
    )


def test_a_catalogue(tmp_path, split):
    path = tmp_path / "slides.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "donor", "st_technology"])
        writer.writerows([f"S{i}", f"D{i // 2}", ("Visium", "Xenium")[i % 4 == 0]] for i in range(20))
    code, _, err = split(path)
    assert code == 2 and "is no data set yet: say with --out where the split files go" in err
    code, out, _ = split(path, "--out", tmp_path / "split", "--stratify", "technology")
    assert "note: a catalogue does not say whether two ids are one section" in out
    assert json.loads((tmp_path / "split" / "split.json").read_text())["sections_compared"] is False
    assert code == 0 and "test: 4 slides of 2 donors (3 Visium, 1 Xenium)" in out
    donors = read_csv_donors(tmp_path / "split" / "donors.csv")
    assert len(donors) == 20 and donors["S3"] == "D1"


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        (
            "id,technology\nS1,x\n",
            "has no column 'donor', got id, technology; write the columns id,donor,st_technology",
        ),
        ("id,donor\nS1,a\nS1,b\n", "line 3 names 'S1' a second time; give every slide one line with both"),
        ("id,donor\nS1,\n", "line 2 lacks its id or its donor"),
    ],
)
def test_a_catalogue_that_cannot_be_read(tmp_path, split, text, rule):
    (tmp_path / "slides.csv").write_text(text)
    code, _, err = split(tmp_path / "slides.csv", "--out", tmp_path)
    assert code == 2 and rule in err


def test_the_split_that_comes_with_the_project():
    """35, 5 and 10 slides, no donor on two sides, the sections that are listed twice on one, with one donor."""
    folder = PROJECT_ROOT / "data" / "splits" / "hest_v1_human_medium"
    sides = {name: read_slides(folder, name) for name in SPLITS}
    donors = read_csv_donors(folder / "donors.csv")
    assert {name: len(slides) for name, slides in sides.items()} == {"train": 35, "val": 5, "test": 10}
    assert len({slide for slides in sides.values() for slide in slides}) == len(donors) == 50
    assert len(set(donors.values())) == 35
    whose = [{donors[slide] for slide in slides} for slides in sides.values()]
    assert np.sum([len(one) for one in whose]) == 35
    for one, other in (("SPA99", "SPA125"), ("SPA100", "SPA126"), ("TENX155", "TENX128")):
        assert donors[one] == donors[other]
        assert any({one, other} <= set(slides) for slides in sides.values())
