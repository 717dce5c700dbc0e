"""`python -m stclip.data check` and `info`: everything wrong is found, and nothing else."""

import io
import json
import tarfile
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from stclip.data.__main__ import main
from stclip.data.shards import write_slide
from stclip.data.shards.splits import Splits, write_splits
from tests.conftest import tiny_spots
from tests.stclip.data.hest_folders import slide_of, write_counts, write_hest


@pytest.fixture
def run(command, monkeypatch):
    """A command on a wide terminal, in this process."""
    monkeypatch.setenv("COLUMNS", "200")
    return lambda *arguments: command(*arguments, "--jobs", 1, "--quiet")


def wrong(out):
    return [line.removeprefix("wrong: ") for line in out.splitlines() if line.startswith("wrong: ")]


def test_a_good_data_set(tiny_dataset, run):
    code, out, err = run("check", tiny_dataset)
    assert (code, err, wrong(out)) == (0, "", [])
    assert out.endswith("6 slides, 170 spots: nothing is wrong\n")
    row = next(line.split() for line in out.splitlines() if line.startswith("T3"))
    assert row == ["T3", "train", "-", "-", "33", "16", "24", "12.0", "0"]
    assert "note: galleries of fewer than 30 spots say little: V1, E1" in out


def rewrite(dataset, slide, change, count=30):
    write_slide(dataset, slide, [change(i, spot) for i, spot in enumerate(tiny_spots(slide, count, 0))])


def add_member(dataset, slide, name, data):
    with tarfile.open(next((dataset / slide).glob("*.tar")), "a") as tar:
        info = tarfile.TarInfo(name)
        info.size = len(data)
        tar.addfile(info, io.BytesIO(data))


def broken_png(dataset):
    add_member(dataset, "T1", "T1_new.png", b"no picture")
    add_member(dataset, "T1", "T1_new.txt", b"GENE01")
    add_member(dataset, "T1", "T1_new.json", b'{"x": 1, "y": 2}')


def no_number(dataset):
    add_member(dataset, "T1", "T1_new.png", png())
    add_member(dataset, "T1", "T1_new.txt", b"GENE01")
    add_member(dataset, "T1", "T1_new.json", b'{"x": "left", "y": 2}')


def png(side=16):
    buffer = io.BytesIO()
    Image.fromarray(np.zeros((side, side, 3), np.uint8)).save(buffer, format="PNG")
    return buffer.getvalue()


def key_twice(dataset):
    add_member(dataset, "T1", "T1_0x0.png", png())


def cut(dataset):
    shard = next((dataset / "T1").glob("*.tar"))
    shard.write_bytes(shard.read_bytes()[:3000])


def other_tiles(dataset):
    rewrite(dataset, "T1", lambda i, spot: replace(spot, tile=spot.tile[:8, :8]))


def mixed_tiles(dataset):
    rewrite(dataset, "T1", lambda i, spot: replace(spot, tile=spot.tile[:8, :8]) if i == 3 else spot)


def one_place(dataset):
    rewrite(dataset, "T1", lambda i, spot: replace(spot, x=0.0, y=0.0) if i < 3 else spot)


def gene_twice(dataset):
    rewrite(dataset, "T1", lambda i, spot: replace(spot, sentence="GENE01 GENE01") if i == 4 else spot)


def count_off(dataset):
    manifest = json.loads((dataset / "manifest.json").read_text())
    manifest["outputs"]["per_sample_spots"]["T1"] = 19
    (dataset / "manifest.json").write_text(json.dumps(manifest))


def slide_on_two_sides(dataset):
    (dataset / "test_samples.txt").write_text("E1\nT1\n")


def donor_on_two_sides(dataset):
    donors = {"T1": "p1", "T2": "p2", "T3": "p3", "T4": "p4", "V1": "p5", "E1": "p1"}
    (dataset / "donors.csv").write_text("slide,donor\n" + "".join(f"{s},{d}\n" for s, d in donors.items()))


def no_split(dataset):
    (dataset / "val_samples.txt").unlink()


FAULTS = {
    broken_png: "T1_new.png': broken PNG",
    no_number: "T1_new.json': x must be a finite number (pixels), got 'left'",
    key_twice: "the key 'T1_0x0' is given twice",
    cut: "the tar is truncated or damaged",
    other_tiles: "slide 'T1': its tiles are 8 x 8 pixels, those of most slides 16 x 16",
    mixed_tiles: "slide 'T1': its tiles are of different sizes (29 of 16 x 16, 1 of 8 x 8 pixels)",
    one_place: "slide 'T1': 2 spots lie where another lies",
    gene_twice: "slide 'T1': spot '0x4' names a gene twice in its sentence",
    count_off: "slide 'T1': holds 20 usable spots, the manifest says 19",
    slide_on_two_sides: "slide 'T1' stands in train and in test; leave it in one place only",
    donor_on_two_sides: "slides of donor 'p1' stand on 2 sides (T1 in train, E1 in test); split by donor: python -m",
    no_split: "val_samples.txt: no such file",
}


@pytest.mark.parametrize("spoil", FAULTS, ids=lambda spoil: spoil.__name__)
def test_what_is_wrong_is_listed(tiny_dataset, run, spoil):
    spoil(tiny_dataset)
    code, out, _ = run("check", tiny_dataset)
    assert code == 1
    assert any(FAULTS[spoil] in line for line in wrong(out)), out
    count = len(wrong(out))
    assert out.endswith(f" {count} thing{'s' * (count > 1)} wrong\n")


def test_a_donor_on_two_sides_of_a_split_by_slide_is_a_note(tiny_dataset, run):
    donor_on_two_sides(tiny_dataset)
    (tiny_dataset / "split.json").write_text('{"by": "slide"}')
    code, out, _ = run("check", tiny_dataset)
    assert (code, wrong(out)) == (0, [])
    assert (
        "note: slides of donor 'p1' stand on 2 sides (T1 in train, E1 in test), as the split by slide has it"
        in out
    )


def test_one_section_on_two_sides(tiny_dataset, run):
    write_slide(tiny_dataset, "E1", [replace(spot, slide="E1") for spot in tiny_spots("T3", 33, 2)])
    (tiny_dataset / "manifest.json").unlink()
    code, out, _ = run("check", tiny_dataset)
    assert code == 1
    rule = "E1 and T3 show one section (100% of the spots have the very expression of a spot of the other)"
    rule += ", E1 in test, T3 in train; keep them"
    assert rule in wrong(out)[0]


def test_many_broken_spots_are_summed_up(tiny_dataset, run):
    for number in range(9):
        add_member(tiny_dataset, "T1", f"T1_new{number}.txt", b"GENE01")
    _, out, _ = run("check", tiny_dataset)
    assert len(wrong(out)) == 6 and "slide 'T1': 4 more spots are broken" in wrong(out)[-1]


@pytest.fixture
def brought_in(tmp_path):
    """A data set, and the raw folder it was brought in from."""
    raw = write_hest(tmp_path / "raw", {f"S{number}": slide_of(number) for number in range(3)})
    given = ["--raw", str(raw), "--out", str(tmp_path / "set"), "--jobs", "1", "--quiet", "--genes", "hvg:30"]
    assert main(["hest", *given]) == 0
    write_splits(tmp_path / "set", Splits(("S0",), ("S1",), ("S2",)))
    return tmp_path / "set", raw


def test_against_the_source_nothing_differs(brought_in, run):
    dataset, raw = brought_in
    code, out, _ = run("check", dataset, "--against", raw)
    assert (code, wrong(out)) == (0, [])
    assert f"against {raw}: 0 mismatches in 90 spots" in out


def test_against_the_source_every_difference_is_found(brought_in, run):
    dataset, raw = brought_in
    sentences, places = slide_of(0), slide_of(1)
    sentences.counts[3] = sentences.counts[3][::-1]
    places.xy[5] += 1
    write_counts(raw / "st" / "S0.h5ad", sentences)
    write_counts(raw / "st" / "S1.h5ad", places)
    gone = slide_of(2)
    gone.counts[4] = 0
    write_counts(raw / "st" / "S2.h5ad", gone)
    code, out, _ = run("check", dataset, "--against", raw)
    assert code == 1 and f"against {raw}: 3 mismatches in 90 spots" in out
    assert wrong(out) == [
        "slide 'S0': the gene sentence is another than the counts give: 1 spot, such as 03x00",
        "slide 'S1': the coordinates are others than the source has: 1 spot, such as 05x00",
        "slide 'S2': not in the source: 1 spot, such as 04x00",
    ]


def test_against_a_source_that_is_none(tiny_dataset, tmp_path, run):
    (tmp_path / "empty").mkdir()
    code, _, err = run("check", tiny_dataset, "--against", tmp_path / "empty")
    assert code == 2 and "no folder of slides" in err


def test_against_a_source_without_a_record(tiny_dataset, tmp_path, run):
    raw = write_hest(tmp_path / "raw", {"T1": slide_of(0)})
    code, out, _ = run("check", tiny_dataset, "--against", raw)
    assert code == 1
    assert "slide 'T1': was not brought in by stclip (no conversion.json)" in " ".join(wrong(out))


def test_info_shows_numbers_and_pictures(brought_in, run):
    dataset, _ = brought_in
    code, out, _ = run("info", dataset)
    assert code == 0
    row = next(line for line in out.splitlines() if line.startswith("S0"))
    assert row.split()[:5] == ["S0", "train", "Visium", "S0", "30"] and "32 px" in row and "µm" in row
    test = next(line.split() for line in out.splitlines() if line.startswith("test"))
    assert test == ["test", "1", "1", "30", "30", f"{1 / 30:.3f}", f"{5 / 30:.3f}", f"{10 / 30:.3f}"]
    assert "3 slides, 90 spots, 30 genes in sentences of" in out
    sheet = Image.open(dataset / "info" / "contact_sheet.png")
    colours = {tuple(sheet.getpixel((x, 50))) for x in range(150, sheet.width, 20)}
    assert sheet.height > 3 * 96 and len(colours) > 10  # tiles, not paper
    spots = np.asarray(Image.open(dataset / "info" / "spots.png"))
    assert (spots == (38, 98, 166)).all(-1).sum() > 90


def test_info_without_a_split(brought_in, run):
    dataset, _ = brought_in
    for name in ("train", "val", "test"):
        (dataset / f"{name}_samples.txt").unlink()
    code, out, _ = run("info", dataset, "--out", dataset / "pictures")
    assert code == 0 and "chance" not in out and (dataset / "pictures" / "spots.png").is_file()


def test_info_of_a_broken_data_set_points_to_check(tiny_dataset, run):
    cut(tiny_dataset)
    code, _, err = run("info", tiny_dataset)
    assert code == 2 and "truncated or damaged" in err and "check" in err
