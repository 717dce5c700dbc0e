"""Where Space Ranger's slides lie, Visium HD's among them, and that no two have one name."""

from pathlib import Path

import pytest

from stclip.data.raw.visium_places import visium_places

SQUARE = "binned_outputs/square_{:03}um"


def make(folder, *outs):
    for place in outs:
        (folder / place / "spatial").mkdir(parents=True)
    return folder


@pytest.fixture
def hd(tmp_path):
    """Two samples of Visium HD in all sizes; each has outs/spatial, too, which holds no positions."""
    squares = [SQUARE.format(size) for size in (2, 8, 16)]
    return make(tmp_path / "raw", *(f"{name}/outs/{place}" for name in "AB" for place in (".", *squares)))


def test_squares_of_one_size_are_the_slides(hd):
    found = visium_places(hd, 16)
    assert sorted(found) == ["A_square_016um", "B_square_016um"]
    place = found["A_square_016um"]
    assert place.outs == hd / "A" / "outs" / SQUARE.format(16) and (place.bin_microns, place.pitch) == (
        16,
        16.0,
    )
    assert [folder.resolve() for folder in place.images] == [hd / "A", hd / "A" / "outs"]
    assert sorted(visium_places(hd, 8)) == ["A_square_008um", "B_square_008um"]


@pytest.mark.parametrize("given", ["A", "A/outs", "A/outs/binned_outputs"])
def test_one_sample(hd, given):
    assert list(visium_places(hd / given, 8)) == ["A_square_008um"]


def test_squares_given_directly_have_the_names_of_their_samples(hd):
    for sample in "AB":
        (found,) = visium_places(hd / sample / "outs" / SQUARE.format(2), 16).items()
        assert found[0] == f"{sample}_square_002um" and found[1].bin_microns == 2
        assert hd / sample in found[1].images


def test_a_size_that_is_not_there_is_named_with_those_that_are(hd):
    found = visium_places(hd, 4)
    assert sorted(found) == ["A_square_004um", "B_square_004um"]
    assert (
        "has squares of 2, 8, 16 µm, none of 4; choose one with --bin-microns"
        in found["A_square_004um"].wrong
    )


def test_a_single_size_is_taken(tmp_path):
    make(tmp_path / "raw", f"A/{SQUARE.format(8)}")
    assert list(visium_places(tmp_path / "raw", 16)) == ["A_square_008um"]


def test_squares_that_were_copied_side_by_side(tmp_path):
    make(tmp_path / "raw", "square_008um", "square_016um")
    assert sorted(visium_places(tmp_path / "raw", 16)) == ["square_008um", "square_016um"]


@pytest.mark.parametrize("inside", ["A", "A/outs"])
def test_visium_as_before(tmp_path, inside):
    make(tmp_path / "raw", inside)
    assert {name: place.outs for name, place in visium_places(tmp_path / "raw", 16).items()} == {
        "A": tmp_path / "raw" / inside
    }
    assert list(visium_places(tmp_path / "raw" / inside, 16)) == ["A"]


def test_paths_are_shown_as_they_were_given(tmp_path, monkeypatch):
    make(tmp_path / "raw", "A/outs")
    monkeypatch.chdir(tmp_path)
    assert [str(folder) for folder in visium_places(Path("raw"), 16)["A"].images] == ["raw/A", "raw/A/outs"]
    monkeypatch.chdir(tmp_path / "raw" / "A" / "outs")
    assert visium_places(Path(), 16)["A"].images[0] == tmp_path / "raw" / "A"


def test_a_hidden_folder_is_no_slide(tmp_path):
    assert visium_places(make(tmp_path, ".trash/outs"), 16) == {}
