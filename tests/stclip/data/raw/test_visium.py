"""From Space Ranger's outs to shards: both forms of the matrix, both of the positions, both kinds of image."""

import gzip
import json
import shutil

import h5py
import numpy as np
import pandas as pd
import pytest
import tifffile
from PIL import Image
from scipy.io import mmwrite
from scipy.sparse import csc_matrix

from stclip.data.raw.visium import VisiumFolder
from tests.stclip.data.hest_folders import spots_of

PIXEL = 0.5  # µm
TILE = 64  # µm, so 128 pixels
GENES = [f"GENE{number:02d}" for number in range(20)]
GRID = [(row, column) for row in range(4) for column in range(5)]  # 20 spots
BARCODES = [f"{'ACGT'[row]}{'A' * column}AACCGGTTAACC-1" for row, column in GRID]


@pytest.fixture
def run(tmp_path, command):
    """`visium` on a raw folder, into `<tmp_path>/out`."""

    def convert(raw, *options):
        given = ("--raw", raw, "--out", tmp_path / "out", "--jobs", 1, "--quiet", "--genes", "all")
        return command("visium", *given, "--tile-microns", TILE, "--tile-size", 128, *options)

    return convert


def counts_of(seed):
    """Counts [20 spots, 20 genes], then 2 features that are no genes."""
    return np.random.default_rng(seed).poisson(4, (20, 22)).astype(np.int32)


def centres():
    """Spots 100 µm apart; x to the right, y down."""
    return np.array([(150 + 200 * column, 90 + 200 * row) for row, column in GRID], dtype=float)


def picture(seed):
    return np.random.default_rng(seed).integers(0, 255, (800, 1100, 3), dtype=np.uint8)


def write_outs(folder, seed=0, matrix="h5", header=True, image="slide.tif", microns=None, tiled=True):
    """One slide; returns its counts and its picture."""
    counts, pixels = counts_of(seed), picture(seed)
    outs = folder / "outs"
    (outs / "spatial").mkdir(parents=True)
    names = [*GENES, "GENE00", "anti-CD3"]
    kinds = ["Gene Expression"] * 20 + ["Antibody Capture"] * 2
    order = np.random.default_rng(seed).permutation(20)  # the matrix has its own order
    spots, codes = csc_matrix(counts[order].T), [BARCODES[at] for at in order]
    if matrix == "h5":
        with h5py.File(outs / "filtered_feature_bc_matrix.h5", "w") as file:
            group = file.create_group("matrix")
            group["barcodes"] = np.array(codes, dtype="S")
            for key in ("data", "indices", "indptr"):
                group[key] = getattr(spots, key)
            group["shape"] = spots.shape
            group["features/name"] = np.array(names, dtype="S")
            group["features/feature_type"] = np.array(kinds, dtype="S")
    else:
        place = outs / "filtered_feature_bc_matrix"
        place.mkdir()
        with gzip.open(place / "matrix.mtx.gz", "wb") as file:
            mmwrite(file, spots)
        features = "".join(
            f"ENSG{at}\t{n}\t{k}\n" for at, (n, k) in enumerate(zip(names, kinds, strict=True))
        )
        (place / "features.tsv.gz").write_bytes(gzip.compress(features.encode()))
        (place / "barcodes.tsv.gz").write_bytes(gzip.compress("\n".join(codes).encode() + b"\n"))
    lines = [
        f"{code},1,{row},{column},{y},{x}"
        for code, (row, column), (x, y) in zip(BARCODES, GRID, centres(), strict=True)
    ]
    lines.append("TTTTTTTTTTTTTT-1,0,9,9,5,5")  # not under tissue
    if header:
        lines.insert(0, "barcode,in_tissue,array_row,array_col,pxl_row_in_fullres,pxl_col_in_fullres")
    name = "tissue_positions.csv" if header else "tissue_positions_list.csv"
    (outs / "spatial" / name).write_text("\n".join(lines) + "\n")
    scales = {"spot_diameter_fullres": 110.0} | ({} if microns is None else {"microns_per_pixel": microns})
    (outs / "spatial" / "scalefactors_json.json").write_text(json.dumps(scales))
    if image.endswith(".tif"):
        tifffile.imwrite(
            folder / image, pixels, tile=(64, 64) if tiled else None, compression="zlib", photometric="rgb"
        )
    else:
        Image.fromarray(pixels).save(folder / image)
    return counts, pixels


def check(found, counts, pixels):
    """Every spot has the sentence of its own counts and the square around its own centre."""
    assert len(found) == 20
    padded = np.pad(pixels, ((64, 64), (64, 64), (0, 0)), constant_values=255)
    for code, row, (x, y) in zip(BARCODES, counts, centres(), strict=True):
        expressed = sorted((-count, gene) for count, gene in zip(row[:20], GENES, strict=True) if count > 0)
        assert found[code].sentence == " ".join(gene for _, gene in expressed)
        assert (found[code].x, found[code].y) == (x, y)
        assert (found[code].tile == padded[int(y) : int(y) + 128, int(x) : int(x) + 128]).all()


@pytest.mark.parametrize(
    "how",
    [
        {},
        {"matrix": "mtx", "header": False},
        {"image": "slide.png"},
        {"tiled": False},
        {"microns": PIXEL},
    ],
    ids=str,
)
def test_every_form_gives_the_same_spots(tmp_path, run, how):
    counts, pixels = write_outs(tmp_path / "raw" / "A1", **how)
    code, out, err = run(tmp_path / "raw")
    assert (code, err) == (0, "")
    assert "1 slide, 20 spots" in out
    check(spots_of(tmp_path / "out", "A1"), counts, pixels)
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert manifest["microns_per_pixel"] == {"A1": PIXEL} and manifest["image_size"] == {"A1": [1100, 800]}
    assert manifest["technology"] == {"A1": "Visium"} and manifest["donor"] == {}


@pytest.mark.parametrize("place", ["raw", "raw/A1", "raw/A1/outs"])
def test_a_folder_of_slides_or_one_slide(tmp_path, run, place):
    counts, pixels = write_outs(tmp_path / "raw" / "A1")
    assert run(tmp_path / place)[0] == 0
    check(spots_of(tmp_path / "out", "A1"), counts, pixels)


def test_checked_against_its_source(tmp_path, run, command):
    write_outs(tmp_path / "raw" / "A1", 0)
    write_outs(tmp_path / "raw" / "B1", 1)
    run(tmp_path / "raw")
    _, out, _ = command("check", tmp_path / "out", "--against", tmp_path / "raw", "--jobs", 1, "--quiet")
    assert "0 mismatches in 40 spots" in out


def test_positions_in_parquet_as_visium_hd_has_them(tmp_path, run):
    counts, pixels = write_outs(tmp_path / "raw" / "A1")
    path = tmp_path / "raw" / "A1" / "outs" / "spatial" / "tissue_positions.csv"
    pd.read_csv(path).to_parquet(path.with_suffix(".parquet"))
    path.unlink()
    assert run(tmp_path / "raw")[0] == 0
    check(spots_of(tmp_path / "out", "A1"), counts, pixels)


def test_an_image_of_another_crop_is_refused(tmp_path, run):
    _, pixels = write_outs(tmp_path / "raw" / "A1")
    spatial = tmp_path / "raw" / "A1" / "outs" / "spatial"
    smooth = np.kron(pixels[::25, ::25], np.ones((25, 25, 1), np.uint8))
    Image.fromarray(smooth[::2, ::2].copy()).save(spatial / "tissue_hires_image.png")
    (spatial / "scalefactors_json.json").write_text(json.dumps({"tissue_hires_scalef": 0.5}))
    tifffile.imwrite(tmp_path / "raw" / "A1" / "slide.tif", smooth, photometric="rgb")
    assert run(tmp_path / "raw")[0] == 0
    tifffile.imwrite(tmp_path / "raw" / "A1" / "slide.tif", smooth[:, 60:].copy(), photometric="rgb")
    code, _, err = run(tmp_path / "raw")
    assert (
        code == 1
        and "slide.tif is not the image that the positions belong to" in err
        and len(err.splitlines()) == 1
    )


def test_squares_of_visium_hd(tmp_path, run, command):
    """Space Ranger 3: outs has a spatial of its own, the counts and positions lie below binned_outputs."""
    raw = tmp_path / "raw"
    for sample in ("A", "B"):
        write_outs(tmp_path / sample, microns=PIXEL)
        outs = tmp_path / sample / "outs"
        (raw / sample / "outs" / "binned_outputs").mkdir(parents=True)
        (raw / sample / "outs" / "spatial").mkdir()
        for size in ("008", "016"):
            shutil.copytree(outs, raw / sample / "outs" / "binned_outputs" / f"square_{size}um")
        shutil.copy(tmp_path / sample / "slide.tif", raw / sample)
    assert "2 slides, 40 spots" in run(raw)[1]
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert manifest["technology"] == {f"{sample}_square_016um": "Visium HD" for sample in "AB"}
    _, out, _ = command("check", tmp_path / "out", "--against", raw, "--jobs", 1, "--quiet")
    assert "0 mismatches in 40 spots" in out
    code, _, err = run(raw, "--bin-microns", "4")
    assert code == 1 and "has squares of 8, 16 µm, none of 4; choose one with --bin-microns" in err


def test_a_scale_factor_decides_how_large_a_tile_is(tmp_path):
    write_outs(tmp_path / "A1", microns=0.25)
    assert VisiumFolder(tmp_path, 64).facts("A1").tile_side == 256


def no_matrix(slide):
    (slide / "outs" / "filtered_feature_bc_matrix.h5").unlink()


def cut_matrix(slide):
    with (slide / "outs" / "filtered_feature_bc_matrix.h5").open("r+b") as file:
        file.truncate(500)


def in_matrix(change):
    def spoil(slide):
        with h5py.File(slide / "outs" / "filtered_feature_bc_matrix.h5", "r+") as file:
            change(file["matrix"])

    return spoil


def put(part, at, value):
    def change(matrix):
        values = matrix[part][:]
        values[at] = value
        matrix[part][:] = values

    return in_matrix(change)


def replaced(part, values):
    def change(matrix):
        kept = values(matrix[part][:])
        del matrix[part]
        matrix[part] = kept

    return in_matrix(change)


@in_matrix
def features_no_group(matrix):
    """Looking a name up in it would never end."""
    del matrix["features"]
    matrix.create_dataset("features", (2**60,), "f4", chunks=(1024,))


@in_matrix
def barcodes_without_end(matrix):
    """Nothing of them is stored, and in memory they are 4 GB."""
    del matrix["barcodes"]
    matrix.create_dataset("barcodes", (2**28,), "S16", chunks=(1024,))


def mtx(change):
    """The matrix as text, changed."""

    def spoil(slide):
        shutil.rmtree(slide)
        write_outs(slide, 0, matrix="mtx")
        path = slide / "outs" / "filtered_feature_bc_matrix" / "matrix.mtx.gz"
        path.write_bytes(gzip.compress(change(gzip.decompress(path.read_bytes()).decode()).encode()))

    return spoil


def no_positions(slide):
    (slide / "outs" / "spatial" / "tissue_positions.csv").unlink()


def other_positions(slide):
    (slide / "outs" / "spatial" / "tissue_positions.csv").write_text("barcode,x\nA,1\n")


def no_image(slide):
    (slide / "slide.tif").unlink()


def two_images(slide):
    tifffile.imwrite(slide / "other.tif", picture(1))


def grey_image(slide):
    tifffile.imwrite(slide / "slide.tif", picture(1)[..., 0])


def cut_image(slide):
    with (slide / "slide.tif").open("r+b") as file:
        file.truncate(200)


def small_image(slide):
    tifffile.imwrite(slide / "slide.tif", picture(1)[:300, :400], photometric="rgb")


def high_image(slide):
    tifffile.imwrite(slide / "slide.tif", picture(1).transpose(1, 0, 2).copy()[:, :720], photometric="rgb")


def other_barcodes(slide):
    path = slide / "outs" / "spatial" / "tissue_positions.csv"
    path.write_text(path.read_text().replace("AACCGGTT", "GGGGGGGG"))


BAD = {
    no_matrix: "has neither filtered_feature_bc_matrix.h5 nor filtered_feature_bc_matrix/matrix.mtx.gz; copy one",
    cut_matrix: "truncated, damaged or not a 10x matrix",
    no_positions: "has none of tissue_positions.csv, tissue_positions_list.csv, tissue_positions.parquet",
    other_positions: "not as Space Ranger writes it",
    no_image: "no full-resolution image in",
    two_images: "holds 2 images (other.tif, slide.tif); leave the full-resolution one there alone",
    grey_image: "must be an RGB image of 8 bits, got uint8 [800, 1100]; export it as such",
    cut_image: "cannot be read as an image",
    small_image: "of the spots lie outside slide.tif of 400 x 300 pixels; it may not be the image that Space Ranger",
    high_image: "of the spots lie outside slide.tif of 720 x 1100 pixels; x and y may be exchanged",
    other_barcodes: "no barcode in common",
}


BAD_MATRIX = {
    "index": (put("indices", 0, 4000), "an index is 4000, there are"),
    "index below 0": (put("indices", 0, -1), "an index is -1, there are"),
    "index far away": (put("indices", 0, 2**31 - 1), "an index is 2147483647, there are"),
    "pointer": (put("indptr", 5, 10**6), "indptr does not ascend"),
    "last pointer": (put("indptr", -1, 10**6), "indptr runs from 0 to 1000000, there are"),
    "shape": (put("shape", 0, 7), "its shape is [7, 20], there are"),
    "short data": (replaced("data", lambda values: values[:-3]), "indices"),
    "short barcodes": (replaced("barcodes", lambda values: values[:-3]), "its shape is"),
    "short names": (replaced("features/name", lambda values: values[:-3]), "all of one length"),
    "text for data": (replaced("data", lambda values: values.astype("S4")), "not numbers"),
    "features no group": (features_no_group, "(/matrix/features is no group); copy it again"),
    "barcodes without end": (barcodes_without_end, "Unable to allocate 4.00 GiB"),
    "mtx index": (mtx(lambda text: text.rsplit("\n", 2)[0] + "\n4000 1 3\n"), "Row index out of bounds"),
    "mtx array": (
        mtx(lambda text: "%%MatrixMarket matrix array real general\n2 2\n1\n2\n3\n4\n"),
        "it is a array real",
    ),
    "mtx huge": (
        mtx(lambda text: "%%MatrixMarket matrix coordinate integer general\n99999999999 99999999999 0\n"),
        "it is 99999999999 x 99999999999, there are",
    ),
    "mtx no text": (mtx(lambda text: "\0\1"), "truncated, damaged or not a 10x matrix"),
    "no genes": (
        replaced("features/feature_type", lambda values: np.array([b"Custom"] * len(values))),
        "has no feature of the type 'Gene Expression', its features are 'Custom'",
    ),
}


@pytest.mark.parametrize("fault", BAD_MATRIX)
def test_a_damaged_matrix_is_named_and_does_not_end_the_process(tmp_path, run, fault):
    spoil, rule = BAD_MATRIX[fault]
    write_outs(tmp_path / "raw" / "A1", 0)
    write_outs(tmp_path / "raw" / "B1", 1)
    spoil(tmp_path / "raw" / "A1")
    code, out, err = run(tmp_path / "raw")
    assert code == 1 and err.startswith("error: slide 'A1': ") and rule in err and len(err.splitlines()) == 1
    assert "1 slide, 20 spots" in out


@pytest.mark.parametrize("spoil", BAD, ids=lambda spoil: spoil.__name__)
def test_a_slide_that_cannot_be_used_is_named_and_the_other_is_unharmed(tmp_path, run, spoil):
    write_outs(tmp_path / "raw" / "A1", 0)
    counts, pixels = write_outs(tmp_path / "raw" / "B1", 1)
    spoil(tmp_path / "raw" / "A1")
    code, _, err = run(tmp_path / "raw")
    assert (
        code == 1
        and err.startswith("error: slide 'A1': ")
        and BAD[spoil] in err
        and len(err.splitlines()) == 1
    )
    check(spots_of(tmp_path / "out", "B1"), counts, pixels)
    assert not (tmp_path / "out" / "A1").exists()


def test_a_folder_without_slides(tmp_path, run):
    (tmp_path / "raw" / "A1").mkdir(parents=True)
    code, _, err = run(tmp_path / "raw")
    assert (
        code == 2
        and "no slide of Space Ranger: neither spatial nor outs/spatial is there or one folder below" in err
    )


@pytest.mark.parametrize(("microns", "side"), [(1e-3, "64000"), (1e-320, "inf")])
def test_a_tile_too_large_for_memory(tmp_path, run, microns, side):
    write_outs(tmp_path / "raw" / "A1", microns=microns)
    code, _, err = run(tmp_path / "raw")
    assert code == 1 and len(err.splitlines()) == 1
    assert f"a tile of 64 µm is {side} pixels a side at {microns:g} µm a pixel, more than 4096; check" in err


@pytest.mark.parametrize("microns", ["0", "nan", "1e9"])
def test_a_tile_of_no_size(tmp_path, run, microns):
    write_outs(tmp_path / "raw" / "A1")
    code, _, err = run(tmp_path / "raw", "--tile-microns", microns)
    assert code == 2 and "--tile-microns must be from 1 to 10000, got" in err
