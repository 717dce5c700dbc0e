"""Everything that can be wrong with slides in HEST-1k's layout: named in one line, the others unharmed."""

import re

import h5py
import numpy as np
import pytest

from tests.stclip.data.hest_folders import (
    GENES,
    SIDE,
    slide_of,
    spots_of,
    write_counts,
    write_hest,
    write_patches,
)


def spoil_patches(raw, one):
    with (raw / "patches" / "S1.h5").open("r+b") as file:
        file.truncate(2000)


def spoil_counts(raw, one):
    with (raw / "st" / "S1.h5ad").open("r+b") as file:
        file.truncate(2000)


def cut_tiles(raw, one):
    """All is there but the last tiles' bytes."""
    path = raw / "patches" / "S1.h5"
    with h5py.File(path) as file:
        last = max(
            file["img"].id.get_chunk_info(i).byte_offset for i in range(file["img"].id.get_num_chunks())
        )
    data = bytearray(path.read_bytes())
    data[last : last + 50] = bytes(50)
    path.write_bytes(data)


def rename_barcodes(raw, one):
    one.patch_barcodes = [f"spot{number}" for number in range(30)]
    write_patches(raw / "patches" / "S1.h5", one)


def turn_coordinates(raw, one):
    one.corners = np.round(one.xy - SIDE / 2)
    one.xy = one.xy[:, ::-1].copy()
    write_counts(raw / "st" / "S1.h5ad", one)


def shuffle_coordinates(raw, one):
    one.xy = one.xy[::-1].copy()
    write_counts(raw / "st" / "S1.h5ad", one)


def with_counts(change):
    def spoil(raw, one):
        change(one.counts)
        write_counts(raw / "st" / "S1.h5ad", one)

    return spoil


def lose_coordinates(raw, one):
    one.xy[3, 1] = np.nan
    write_counts(raw / "st" / "S1.h5ad", one)


def other_layout(raw, one):
    with h5py.File(raw / "patches" / "S1.h5", "r+") as file:
        del file["barcode"]


def other_genes(raw, one):
    one.genes = [f"Gene{number}" for number in range(len(GENES))]
    write_counts(raw / "st" / "S1.h5ad", one)


def put(value):
    return with_counts(lambda counts: counts.__setitem__((3, 2), value))


def no_counts(raw, one):
    (raw / "st" / "S1.h5ad").unlink()


def no_patches(raw, one):
    (raw / "patches" / "S1.h5").unlink()


WHERE = "for gene 'GENE02' of spot '03x00'"
BAD = {
    "no h5ad": (no_counts, r"slide 'S1': .*S1.h5ad is missing beside S1.h5; put it there"),
    "no patches": (no_patches, r"slide 'S1': .*S1.h5 is missing beside S1.h5ad"),
    "truncated patches": (spoil_patches, r"slide 'S1': .*S1.h5: truncated or damaged .*; copy it again"),
    "truncated counts": (spoil_counts, r"S1.h5ad: truncated, damaged or not an .h5ad .*; copy it again"),
    "damaged tile": (cut_tiles, r"slide 'S1': .*S1.h5: truncated or damaged .*; copy it again"),
    "other barcodes": (
        rename_barcodes,
        r"no barcode in common: 00x00, 01x00, 02x00 against spot0, spot1, spot2",
    ),
    "x for y": (
        turn_coordinates,
        r"x and y are exchanged: \d+% of the spots .* with x for y 0%; .* add --swap-xy",
    ),
    "elsewhere": (
        shuffle_coordinates,
        r"coordinates do not fit the tiles: \d+% of 30 spots lie more than half a",
    ),
    "negative": (put(-1), rf"must not be negative, got -1 {WHERE}"),
    "fractions": (put(0.5), rf"must be whole numbers, got 0.5 {WHERE}"),
    "nan": (put(np.nan), rf"must be finite, got nan {WHERE}"),
    "no place": (lose_coordinates, r"coordinates must be finite numbers \[spots, 2\]: 1 spots have none"),
    "no barcodes": (other_layout, r"S1.h5: has no barcode; HEST-1k patches have img uint8"),
}


@pytest.mark.parametrize("fault", BAD)
def test_a_slide_that_cannot_be_used_is_named_and_the_others_are_unharmed(tmp_path, hest, fault):
    spoil, rule = BAD[fault]
    one = slide_of(0)
    raw = write_hest(tmp_path / "raw", {"S1": one, "S2": slide_of(1)})
    spoil(raw, one)
    code, out, err = hest(raw)
    assert code == 1
    lines = err.splitlines()
    assert len(lines) == 1 and lines[0].startswith("error: slide 'S1': ")
    assert re.search(rule, lines[0]), lines[0]
    assert "1 slide, 30 spots" in out and "1 slide could not be used" in out
    assert {path.name for path in (tmp_path / "out").iterdir() if path.is_dir()} == {"S2"}
    assert len(spots_of(tmp_path / "out", "S2")) == 30


def test_all_counts_zero_is_said_to_be(tmp_path, hest):
    one = slide_of(0)
    one.counts[:] = 0
    code, _, err = hest(write_hest(tmp_path / "raw", {"S1": one}))
    assert code == 1 and "all counts are zero; store raw counts in X, or leave the slide out" in err


def test_x_for_y_is_put_right_when_asked(tmp_path, hest):
    one = slide_of(0)
    raw = write_hest(tmp_path / "raw", {"S1": one})
    right = one.xy.copy()
    turn_coordinates(raw, one)
    assert hest(raw, "--swap-xy")[0] == 0
    assert spots_of(tmp_path / "out", "S1")[one.barcodes[7]].x == right[7, 0]


def test_no_gene_of_the_panel(tmp_path, hest):
    one = slide_of(0)
    raw = write_hest(tmp_path / "raw", {"S1": one, "S2": slide_of(1)})
    other_genes(raw, one)
    (tmp_path / "panel.txt").write_text("GENE01\nGENE02\n")
    code, out, err = hest(raw, "--genes", str(tmp_path / "panel.txt"), "--min-genes", "1")
    assert code == 1 and "1 slide, " in out
    assert (
        "no gene in common with the panel: its 40 genes are such as GENE0, GENE1, GENE10, the panel's 2 such as"
        in err
    )


def test_tiles_of_another_size_than_the_rest(tmp_path, hest):
    odd = slide_of(0)
    odd.tiles = odd.tiles[:, :16, :16]
    raw = write_hest(tmp_path / "raw", {"S1": odd, "S2": slide_of(1), "S3": slide_of(2)})
    code, _, err = hest(raw)
    assert code == 1
    assert (
        "slide 'S1': its tiles are 16 pixels a side, those of most slides 32; leave it out, or bring all to one size"
        in err
    )
    assert hest(raw, "--tile-size", "16")[0] == 0
    assert spots_of(tmp_path / "out", "S2")["00x00"].tile.shape == (16, 16, 3)


def test_a_full_disk_names_the_slide_and_leaves_nothing_half_written(tmp_path, hest, monkeypatch):
    raw = write_hest(tmp_path / "raw", {"S1": slide_of(0), "S2": slide_of(1)})
    from stclip.data.raw import convert

    real = convert.write_slide

    def full(out, slide, spots, record):
        if slide == "S2":
            next(iter(spots))
            raise OSError(28, "No space left on device")
        return real(out, slide, spots, record=record)

    monkeypatch.setattr(convert, "write_slide", full)
    code, out, err = hest(raw)
    assert code == 1 and "1 slide, 30 spots" in out
    assert err.startswith(
        "error: slide 'S2': cannot be written (No space left on device); make room there, then run the same command"
    )


def test_nothing_half_written_after_an_error_in_the_middle(tmp_path, hest):
    one = slide_of(0, spots=300)
    one.counts[290, 0] = 0.5  # in the second block
    raw = write_hest(tmp_path / "raw", {"S1": one})
    assert hest(raw)[0] == 1
    assert [path.name for path in (tmp_path / "out").iterdir()] == [".conversion.lock"]


@pytest.mark.parametrize(
    ("options", "rule"),
    [
        (["--genes", "hvg:none"], "--genes must be all, hvg:N with N from 1 up, or a file, got 'hvg:none'"),
        (["--genes", "no_such_file"], "--genes no_such_file: cannot be read as text"),
        (
            ["--species", "Homo sapien"],
            "--species 'Homo sapien': none of 1 slides is of it; check its spelling",
        ),
    ],
)
def test_options_that_cannot_be_met(tmp_path, hest, options, rule):
    code, _, err = hest(write_hest(tmp_path / "raw", {"S1": slide_of(0)}), *options)
    assert code == 2 and err.startswith(f"error: {rule}")


def test_a_slide_list_that_names_another(tmp_path, hest):
    raw = write_hest(tmp_path / "raw", {"S1": slide_of(0)})
    (tmp_path / "some.txt").write_text("S11\n")
    code, _, err = hest(raw, "--slides", str(tmp_path / "some.txt"))
    assert code == 2 and "unknown slide 'S11'; did you mean 'S1'? Known: S1" in err


@pytest.mark.parametrize(
    ("make", "rule"), [(True, "no slide in HEST-1k's layout"), (False, "no such folder")]
)
def test_a_folder_without_slides(tmp_path, hest, make, rule):
    if make:
        (tmp_path / "raw").mkdir()
    code, _, err = hest(tmp_path / "raw")
    assert code == 2 and rule in err


def test_two_conversions_into_one_folder(tmp_path, hest):
    from filelock import FileLock

    raw = write_hest(tmp_path / "raw", {"S1": slide_of(0)})
    (tmp_path / "out").mkdir()
    with FileLock(tmp_path / "out" / ".conversion.lock"):
        code, _, err = hest(raw)
    assert code == 2 and "another conversion is writing there; wait for it, or choose another --out" in err
