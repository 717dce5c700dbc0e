"""From HEST-1k's layout to shards that a sweep reads: right input, and everything that can be wrong with it."""

import json
import os
import re
import shutil

import h5py
import numpy as np
import pytest
from scipy.sparse import csc_matrix, csr_matrix

from stclip.config import DataConfig
from stclip.data.__main__ import main
from stclip.data.shards import read_slide
from stclip.data.splits import Splits, write_splits
from stclip.data.store import open_store
from tests.stclip.data.hest_folders import GENES, SIDE, slide_of, write_counts, write_hest, write_patches


@pytest.fixture
def run(tmp_path, capsys):
    """`python -m stclip.data hest` on a raw folder: exit status, what it printed, what it complained about."""

    def convert(raw, *options):
        code = main(
            [
                "hest",
                "--raw",
                str(raw),
                "--out",
                str(tmp_path / "out"),
                "--jobs",
                "1",
                "--quiet",
                "--genes",
                "all",
                *options,
            ]
        )
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return convert


def spots_of(folder, slide):
    return {spot.spot: spot for spot in read_slide(folder, slide, on_bad_spot="error", skipped=[])}


def sentence_by_hand(counts, top=50):
    expressed = [(-count, gene) for gene, count in zip(GENES, counts, strict=True) if count > 0]
    return " ".join(gene for _, gene in sorted(expressed)[:top])


@pytest.mark.parametrize("sparse", [csr_matrix, csc_matrix, np.asarray], ids=["csr", "csc", "dense"])
def test_tiles_sentences_and_places_are_those_of_the_source(tmp_path, run, sparse):
    one = slide_of(0)
    code, out, err = run(write_hest(tmp_path / "raw", {"S1": one}, sparse), "--top", "12")
    assert (code, err) == (0, "")
    assert "1 slide, 30 spots; left out: 0 near-empty" in out
    found = spots_of(tmp_path / "out", "S1")
    for row, barcode in enumerate(one.barcodes):
        spot = found[barcode]
        assert spot.sentence == sentence_by_hand(one.counts[row], 12)
        assert (spot.x, spot.y) == tuple(one.xy[row])
        assert (spot.tile == one.tiles[row]).all()


def test_tiles_in_another_order_and_of_some_spots_only(tmp_path, run):
    one = slide_of(1)
    order = np.random.default_rng(0).permutation(30)[:20]
    raw = write_hest(tmp_path / "raw", {"S1": one})
    write_patches(
        raw / "patches" / "S1.h5",
        slide_like(one, order, [f"0{one.barcodes[row]}" for row in order]),  # 003x002 for 03x02
    )
    _, out, _ = run(raw)
    assert "10 with counts or a tile only" in out
    found = spots_of(tmp_path / "out", "S1")
    assert set(found) == {one.barcodes[row] for row in order}
    for row in order:
        assert (found[one.barcodes[row]].tile == one.tiles[row]).all()
        assert found[one.barcodes[row]].sentence == sentence_by_hand(one.counts[row])


def slide_like(one, rows, barcodes):
    from dataclasses import replace

    return replace(one, counts=one.counts[rows], barcodes=barcodes, xy=one.xy[rows], tiles=one.tiles[rows])


def test_coordinates_of_obsm_where_obs_has_none(tmp_path, run):
    one = slide_of(2)
    one.obs_coordinates = False
    assert run(write_hest(tmp_path / "raw", {"S1": one}))[0] == 0
    assert spots_of(tmp_path / "out", "S1")[one.barcodes[3]].x == one.xy[3, 0]


def test_near_empty_spots_are_left_out_and_counted(tmp_path, run):
    one = slide_of(3)
    one.counts[4] = 0
    one.counts[5, 9:] = 0
    one.counts[5, :9] = 3
    _, out, _ = run(write_hest(tmp_path / "raw", {"S1": one}))
    assert "28 spots; left out: 2 near-empty" in out
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert manifest["conversion"]["near_empty"] == {"S1": 2}
    assert not {one.barcodes[4], one.barcodes[5]} & spots_of(tmp_path / "out", "S1").keys()


def test_the_manifest_keeps_what_is_known(tmp_path, run):
    slides = {"S1": slide_of(0), "S2": slide_of(1)}
    slides["S2"].about = {"patient": "", "st_technology": "Xenium", "dataset_title": "Other"}
    run(write_hest(tmp_path / "raw", slides))
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert manifest["technology"] == {"S1": "Visium", "S2": "Xenium"}
    assert manifest["donor"] == {"S1": "S1", "S2": "Other"}
    assert manifest["organ"]["S1"] == "Breast"
    assert manifest["microns_per_pixel"]["S1"] == 0.5 and manifest["tile_microns"]["S1"] == SIDE / 2
    assert manifest["image_size"]["S2"] == [3001, 2000]
    assert manifest["outputs"]["per_sample_spots"] == {"S1": 30, "S2": 30}


def test_one_patient_name_in_two_studies_is_two_donors(tmp_path, run):
    slides = {f"S{i}": slide_of(i) for i in range(3)}
    for slide, study in zip(slides.values(), ("A", "B", "B"), strict=True):
        slide.about = {"patient": "Patient 1", "dataset_title": study}
    run(write_hest(tmp_path / "raw", slides))
    donors = json.loads((tmp_path / "out" / "manifest.json").read_text())["donor"]
    assert donors == {"S0": "Patient 1 (A)", "S1": "Patient 1 (B)", "S2": "Patient 1 (B)"}


def test_what_was_brought_in_makes_a_store(tmp_path, run):
    raw = write_hest(tmp_path / "raw", {f"S{i}": slide_of(i) for i in range(3)})
    run(raw, "--tile-size", "16")
    write_splits(tmp_path / "out", Splits(("S0",), ("S1",), ("S2",)))
    store = open_store(DataConfig(dataset=str(tmp_path / "out"), image_size=16))
    assert store.tiles.shape == (90, 16, 16, 3)
    assert store.slides == ("S0", "S1", "S2")


def test_a_finished_slide_is_not_done_again(tmp_path, run):
    raw = write_hest(tmp_path / "raw", {"S1": slide_of(0), "S2": slide_of(1)})
    run(raw)
    before = {slide: (tmp_path / "out" / slide).stat().st_ino for slide in ("S1", "S2")}
    write_counts(raw / "st" / "S2.h5ad", slide_of(5))
    _, out, _ = run(raw)
    assert "2 slides (1 of them there already)" in out
    assert (tmp_path / "out" / "S1").stat().st_ino == before["S1"]
    assert spots_of(tmp_path / "out", "S2")["00x00"].sentence == sentence_by_hand(slide_of(5).counts[0])
    _, out, _ = run(raw, "--top", "5")
    assert "already" not in out


def test_news_of_a_slide_reach_the_manifest_without_its_being_done_again(tmp_path, run):
    one = slide_of(0)
    raw = write_hest(tmp_path / "raw", {"S1": one})
    run(raw)
    one.about = {"patient": "P7", "organ": "Lung"}
    stamps = {path: path.stat().st_mtime_ns for path in (raw / "st" / "S1.h5ad", raw / "patches" / "S1.h5")}
    write_hest(raw, {"S1": one})
    for path, stamp in stamps.items():
        os.utime(path, ns=(stamp, stamp))
    _, out, _ = run(raw)
    assert "1 of them there already" in out
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert (manifest["donor"], manifest["organ"]) == ({"S1": "P7"}, {"S1": "Lung"})


def test_two_processes_write_the_same_bytes_as_one(tmp_path, capsys):
    raw = write_hest(tmp_path / "raw", {f"S{i}": slide_of(i) for i in range(3)})
    for jobs in ("1", "2"):
        assert (
            main(["hest", "--raw", str(raw), "--out", str(tmp_path / jobs), "--jobs", jobs, "--quiet"]) == 0
        )
    for shard in (tmp_path / "1").rglob("*.tar"):
        assert shard.read_bytes() == (tmp_path / "2" / shard.relative_to(tmp_path / "1")).read_bytes()


def test_variable_genes_are_those_of_the_training_slides(tmp_path, run):
    train, test = slide_of(0), slide_of(1)
    for one, loud in ((train, 3), (test, 7)):
        one.counts = np.random.default_rng(loud).poisson(5, one.counts.shape).astype(np.float32)
        one.counts[::2, loud] *= 30
    raw = write_hest(tmp_path / "raw", {"S1": train, "S2": test, "S3": slide_of(2)})
    (tmp_path / "split").mkdir()
    write_splits(tmp_path / "split", Splits(("S1",), ("S3",), ("S2",)))
    code, _, err = run(raw, "--genes", "hvg:1", "--min-genes", "1", "--split", str(tmp_path / "split"))
    assert (code, err) == (0, "")
    assert (tmp_path / "out" / "genes.txt").read_text() == "GENE03\n"
    assert {spot.sentence for spot in spots_of(tmp_path / "out", "S2").values()} == {"GENE03"}
    assert (tmp_path / "out" / "train_samples.txt").read_text() == "S1\n"


def test_genes_chosen_without_a_split_are_said_to_be(tmp_path, run):
    raw = write_hest(tmp_path / "raw", {"S1": slide_of(0)})
    _, _, err = run(raw, "--genes", "hvg:20")
    assert err.startswith(
        "note: genes are chosen on all slides, also those that will test; give the split with --split"
    )


def test_a_panel_of_ones_own(tmp_path, run):
    raw = write_hest(tmp_path / "raw", {"S1": slide_of(0)})
    (tmp_path / "panel.txt").write_text("gene03\nGENE01.2\n# a remark\nNOWHERE\n")
    run(raw, "--genes", str(tmp_path / "panel.txt"), "--min-genes", "1")
    words = {word for spot in spots_of(tmp_path / "out", "S1").values() for word in spot.sentence.split()}
    assert words == {"GENE01", "GENE03"}


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
def test_a_slide_that_cannot_be_used_is_named_and_the_others_are_unharmed(tmp_path, run, fault):
    spoil, rule = BAD[fault]
    one = slide_of(0)
    raw = write_hest(tmp_path / "raw", {"S1": one, "S2": slide_of(1)})
    spoil(raw, one)
    code, out, err = run(raw)
    assert code == 1
    lines = err.splitlines()
    assert len(lines) == 1 and lines[0].startswith("error: slide 'S1': ")
    assert re.search(rule, lines[0]), lines[0]
    assert "1 slide, 30 spots" in out and "1 slide could not be used" in out
    assert {path.name for path in (tmp_path / "out").iterdir() if path.is_dir()} == {"S2"}
    assert len(spots_of(tmp_path / "out", "S2")) == 30


def test_all_counts_zero_is_said_to_be(tmp_path, run):
    one = slide_of(0)
    one.counts[:] = 0
    code, _, err = run(write_hest(tmp_path / "raw", {"S1": one}))
    assert code == 1 and "all counts are zero; store raw counts in X, or leave the slide out" in err


def test_x_for_y_is_put_right_when_asked(tmp_path, run):
    one = slide_of(0)
    raw = write_hest(tmp_path / "raw", {"S1": one})
    right = one.xy.copy()
    turn_coordinates(raw, one)
    assert run(raw, "--swap-xy")[0] == 0
    assert spots_of(tmp_path / "out", "S1")[one.barcodes[7]].x == right[7, 0]


def test_no_gene_of_the_panel(tmp_path, run):
    one = slide_of(0)
    raw = write_hest(tmp_path / "raw", {"S1": one, "S2": slide_of(1)})
    other_genes(raw, one)
    (tmp_path / "panel.txt").write_text("GENE01\nGENE02\n")
    code, out, err = run(raw, "--genes", str(tmp_path / "panel.txt"), "--min-genes", "1")
    assert code == 1 and "1 slide, " in out
    assert (
        "no gene in common with the panel: its 40 genes are such as GENE0, GENE1, GENE10, the panel's 2 such as"
        in err
    )


def test_tiles_of_another_size_than_the_rest(tmp_path, run):
    odd = slide_of(0)
    odd.tiles = odd.tiles[:, :16, :16]
    raw = write_hest(tmp_path / "raw", {"S1": odd, "S2": slide_of(1), "S3": slide_of(2)})
    code, _, err = run(raw)
    assert code == 1
    assert (
        "slide 'S1': its tiles are 16 pixels a side, those of most slides 32; leave it out, or bring all to one size"
        in err
    )
    assert run(raw, "--tile-size", "16")[0] == 0
    assert spots_of(tmp_path / "out", "S2")["00x00"].tile.shape == (16, 16, 3)


def test_a_full_disk_names_the_slide_and_leaves_nothing_half_written(tmp_path, run, monkeypatch):
    raw = write_hest(tmp_path / "raw", {"S1": slide_of(0), "S2": slide_of(1)})
    from stclip.data import convert

    real = convert.write_slide

    def full(out, slide, spots, record):
        if slide == "S2":
            next(iter(spots))
            raise OSError(28, "No space left on device")
        return real(out, slide, spots, record=record)

    monkeypatch.setattr(convert, "write_slide", full)
    code, out, err = run(raw)
    assert code == 1 and "1 slide, 30 spots" in out
    assert err.startswith(
        "error: slide 'S2': cannot be written (No space left on device); make room there, then run the same command"
    )


def test_nothing_half_written_after_an_error_in_the_middle(tmp_path, run):
    one = slide_of(0, spots=300)
    one.counts[290, 0] = 0.5  # in the second block
    raw = write_hest(tmp_path / "raw", {"S1": one})
    assert run(raw)[0] == 1
    assert [path.name for path in (tmp_path / "out").iterdir()] == [".conversion.lock"]


def test_only_the_slides_and_species_asked_for(tmp_path, run):
    mouse = slide_of(2)
    mouse.about = {"species": "Mus musculus"}
    raw = write_hest(tmp_path / "raw", {"S1": slide_of(0), "S2": slide_of(1), "S3": mouse})
    (tmp_path / "some.txt").write_text("S1\nS3\n")
    run(raw, "--slides", str(tmp_path / "some.txt"), "--species", "Homo sapiens")
    assert json.loads((tmp_path / "out" / "manifest.json").read_text())["outputs"]["sample_dirs"] == ["S1"]


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
def test_options_that_cannot_be_met(tmp_path, run, options, rule):
    code, _, err = run(write_hest(tmp_path / "raw", {"S1": slide_of(0)}), *options)
    assert code == 2 and err.startswith(f"error: {rule}")


def test_a_slide_list_that_names_another(tmp_path, run):
    raw = write_hest(tmp_path / "raw", {"S1": slide_of(0)})
    (tmp_path / "some.txt").write_text("S11\n")
    code, _, err = run(raw, "--slides", str(tmp_path / "some.txt"))
    assert code == 2 and "unknown slide 'S11'; did you mean 'S1'? Known: S1" in err


@pytest.mark.parametrize(
    ("make", "rule"), [(True, "no slide in HEST-1k's layout"), (False, "no such folder")]
)
def test_a_folder_without_slides(tmp_path, run, make, rule):
    if make:
        (tmp_path / "raw").mkdir()
    code, _, err = run(tmp_path / "raw")
    assert code == 2 and rule in err


def test_two_conversions_into_one_folder(tmp_path, run):
    from filelock import FileLock

    raw = write_hest(tmp_path / "raw", {"S1": slide_of(0)})
    (tmp_path / "out").mkdir()
    with FileLock(tmp_path / "out" / ".conversion.lock"):
        code, _, err = run(raw)
    assert code == 2 and "another conversion is writing there; wait for it, or choose another --out" in err


def test_without_metadata_it_goes_by_the_patches(tmp_path, run):
    raw = write_hest(tmp_path / "raw", {"S1": slide_of(0)}, csv_rows=False)
    shutil.rmtree(raw / "metadata")
    assert run(raw)[0] == 0
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert manifest["microns_per_pixel"] == {"S1": 0.5} and manifest["donor"] == {}
