"""From HEST-1k's layout to shards that a sweep reads: right input, and everything that can be wrong with it."""

import json
import os
import shutil

import numpy as np
import pytest
from scipy.sparse import csc_matrix, csr_matrix

from stclip.config import DataConfig
from stclip.data.__main__ import main
from stclip.data.shards.splits import Splits, write_splits
from stclip.data.store import open_store
from tests.stclip.data.hest_folders import (
    GENES,
    SIDE,
    slide_of,
    spots_of,
    write_counts,
    write_hest,
    write_patches,
)


def sentence_by_hand(counts, top=50):
    expressed = [(-count, gene) for gene, count in zip(GENES, counts, strict=True) if count > 0]
    return " ".join(gene for _, gene in sorted(expressed)[:top])


@pytest.mark.parametrize("sparse", [csr_matrix, csc_matrix, np.asarray], ids=["csr", "csc", "dense"])
def test_tiles_sentences_and_places_are_those_of_the_source(tmp_path, hest, sparse):
    one = slide_of(0)
    code, out, err = hest(write_hest(tmp_path / "raw", {"S1": one}, sparse), "--top", "12")
    assert (code, err) == (0, "")
    assert "1 slide, 30 spots; left out: 0 near-empty" in out
    found = spots_of(tmp_path / "out", "S1")
    for row, barcode in enumerate(one.barcodes):
        spot = found[barcode]
        assert spot.sentence == sentence_by_hand(one.counts[row], 12)
        assert (spot.x, spot.y) == tuple(one.xy[row])
        assert (spot.tile == one.tiles[row]).all()


def test_tiles_in_another_order_and_of_some_spots_only(tmp_path, hest):
    one = slide_of(1)
    order = np.random.default_rng(0).permutation(30)[:20]
    raw = write_hest(tmp_path / "raw", {"S1": one})
    write_patches(
        raw / "patches" / "S1.h5",
        slide_like(one, order, [f"0{one.barcodes[row]}" for row in order]),  # 003x002 for 03x02
    )
    _, out, _ = hest(raw)
    assert "10 with counts or a tile only" in out
    found = spots_of(tmp_path / "out", "S1")
    assert set(found) == {one.barcodes[row] for row in order}
    for row in order:
        assert (found[one.barcodes[row]].tile == one.tiles[row]).all()
        assert found[one.barcodes[row]].sentence == sentence_by_hand(one.counts[row])


def slide_like(one, rows, barcodes):
    from dataclasses import replace

    return replace(one, counts=one.counts[rows], barcodes=barcodes, xy=one.xy[rows], tiles=one.tiles[rows])


def test_coordinates_of_obsm_where_obs_has_none(tmp_path, hest):
    one = slide_of(2)
    one.obs_coordinates = False
    assert hest(write_hest(tmp_path / "raw", {"S1": one}))[0] == 0
    assert spots_of(tmp_path / "out", "S1")[one.barcodes[3]].x == one.xy[3, 0]


def test_near_empty_spots_are_left_out_and_counted(tmp_path, hest):
    one = slide_of(3)
    one.counts[4] = 0
    one.counts[5, 9:] = 0
    one.counts[5, :9] = 3
    _, out, _ = hest(write_hest(tmp_path / "raw", {"S1": one}))
    assert "28 spots; left out: 2 near-empty" in out
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert manifest["conversion"]["near_empty"] == {"S1": 2}
    assert not {one.barcodes[4], one.barcodes[5]} & spots_of(tmp_path / "out", "S1").keys()


def test_the_manifest_keeps_what_is_known(tmp_path, hest):
    slides = {"S1": slide_of(0), "S2": slide_of(1)}
    slides["S2"].about = {"patient": "", "st_technology": "Xenium", "dataset_title": "Other"}
    hest(write_hest(tmp_path / "raw", slides))
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert manifest["technology"] == {"S1": "Visium", "S2": "Xenium"}
    assert manifest["donor"] == {"S1": "S1", "S2": "Other"}
    assert manifest["organ"]["S1"] == "Breast"
    assert manifest["microns_per_pixel"]["S1"] == 0.5 and manifest["tile_microns"]["S1"] == SIDE / 2
    assert manifest["image_size"]["S2"] == [3001, 2000]
    assert manifest["outputs"]["per_sample_spots"] == {"S1": 30, "S2": 30}


def test_one_patient_name_in_two_studies_is_two_donors(tmp_path, hest):
    slides = {f"S{i}": slide_of(i) for i in range(3)}
    for slide, study in zip(slides.values(), ("A", "B", "B"), strict=True):
        slide.about = {"patient": "Patient 1", "dataset_title": study}
    hest(write_hest(tmp_path / "raw", slides))
    donors = json.loads((tmp_path / "out" / "manifest.json").read_text())["donor"]
    assert donors == {"S0": "Patient 1 (A)", "S1": "Patient 1 (B)", "S2": "Patient 1 (B)"}


def test_what_was_brought_in_makes_a_store(tmp_path, hest):
    raw = write_hest(tmp_path / "raw", {f"S{i}": slide_of(i) for i in range(3)})
    hest(raw, "--tile-size", "16")
    write_splits(tmp_path / "out", Splits(("S0",), ("S1",), ("S2",)))
    store = open_store(DataConfig(dataset=str(tmp_path / "out"), image_size=16))
    assert store.tiles.shape == (90, 16, 16, 3)
    assert store.slides == ("S0", "S1", "S2")


def test_a_finished_slide_is_not_done_again(tmp_path, hest):
    raw = write_hest(tmp_path / "raw", {"S1": slide_of(0), "S2": slide_of(1)})
    hest(raw)
    before = {slide: (tmp_path / "out" / slide).stat().st_ino for slide in ("S1", "S2")}
    write_counts(raw / "st" / "S2.h5ad", slide_of(5))
    _, out, _ = hest(raw)
    assert "2 slides (1 of them there already)" in out
    assert (tmp_path / "out" / "S1").stat().st_ino == before["S1"]
    assert spots_of(tmp_path / "out", "S2")["00x00"].sentence == sentence_by_hand(slide_of(5).counts[0])
    _, out, _ = hest(raw, "--top", "5")
    assert "already" not in out


def test_news_of_a_slide_reach_the_manifest_without_its_being_done_again(tmp_path, hest):
    one = slide_of(0)
    raw = write_hest(tmp_path / "raw", {"S1": one})
    hest(raw)
    one.about = {"patient": "P7", "organ": "Lung"}
    stamps = {path: path.stat().st_mtime_ns for path in (raw / "st" / "S1.h5ad", raw / "patches" / "S1.h5")}
    write_hest(raw, {"S1": one})
    for path, stamp in stamps.items():
        os.utime(path, ns=(stamp, stamp))
    _, out, _ = hest(raw)
    assert "1 of them there already" in out
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert (manifest["donor"], manifest["organ"]) == ({"S1": "P7"}, {"S1": "Lung"})


def test_two_processes_write_the_same_bytes_as_one(tmp_path, capsys):
    raw = write_hest(tmp_path / "raw", {f"S{i}": slide_of(i) for i in range(3)})
    for jobs in ("1", "2"):
        assert (
            main(["hest", "--raw", str(raw), "--out", str(tmp_path / jobs), "--jobs", jobs, "--quiet"]) == 0
        )
    one, two = (
        {path.relative_to(tmp_path / jobs): path.read_bytes() for path in (tmp_path / jobs).rglob("*.tar")}
        for jobs in ("1", "2")
    )
    assert one == two and {path.parent.name for path in one} == {"S0", "S1", "S2"}


def test_variable_genes_are_those_of_the_training_slides(tmp_path, hest):
    train, test = slide_of(0), slide_of(1)
    for one, loud in ((train, 3), (test, 7)):
        one.counts = np.random.default_rng(loud).poisson(5, one.counts.shape).astype(np.float32)
        one.counts[::2, loud] *= 30
    raw = write_hest(tmp_path / "raw", {"S1": train, "S2": test, "S3": slide_of(2)})
    (tmp_path / "split").mkdir()
    write_splits(tmp_path / "split", Splits(("S1",), ("S3",), ("S2",)))
    code, _, err = hest(raw, "--genes", "hvg:1", "--min-genes", "1", "--split", str(tmp_path / "split"))
    assert (code, err) == (0, "")
    assert (tmp_path / "out" / "genes.txt").read_text() == "GENE03\n"
    assert {spot.sentence for spot in spots_of(tmp_path / "out", "S2").values()} == {"GENE03"}
    assert (tmp_path / "out" / "train_samples.txt").read_text() == "S1\n"


def test_genes_chosen_without_a_split_are_said_to_be(tmp_path, hest):
    raw = write_hest(tmp_path / "raw", {"S1": slide_of(0)})
    _, _, err = hest(raw, "--genes", "hvg:20")
    assert err.startswith(
        "note: genes are chosen on all slides, also those that will test; give the split with --split"
    )


def test_a_panel_of_ones_own(tmp_path, hest):
    raw = write_hest(tmp_path / "raw", {"S1": slide_of(0)})
    (tmp_path / "panel.txt").write_text("gene03\nGENE01.2\n# a remark\nNOWHERE\n")
    hest(raw, "--genes", str(tmp_path / "panel.txt"), "--min-genes", "1")
    words = {word for spot in spots_of(tmp_path / "out", "S1").values() for word in spot.sentence.split()}
    assert words == {"GENE01", "GENE03"}


def test_only_the_slides_and_species_asked_for(tmp_path, hest):
    mouse = slide_of(2)
    mouse.about = {"species": "Mus musculus"}
    raw = write_hest(tmp_path / "raw", {"S1": slide_of(0), "S2": slide_of(1), "S3": mouse})
    (tmp_path / "some.txt").write_text("S1\nS3\n")
    hest(raw, "--slides", str(tmp_path / "some.txt"), "--species", "Homo sapiens")
    assert json.loads((tmp_path / "out" / "manifest.json").read_text())["outputs"]["sample_dirs"] == ["S1"]


def test_without_metadata_it_goes_by_the_patches(tmp_path, hest):
    raw = write_hest(tmp_path / "raw", {"S1": slide_of(0)}, csv_rows=False)
    shutil.rmtree(raw / "metadata")
    assert hest(raw)[0] == 0
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert manifest["microns_per_pixel"] == {"S1": 0.5} and manifest["donor"] == {}
