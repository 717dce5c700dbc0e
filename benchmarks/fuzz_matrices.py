"""Count matrices with random faults, for `benchmarks/fuzz.py`: `.h5ad`, HEST-1k's patches, 10x `.h5`."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import strategies as st
from PIL import Image
from scipy.sparse import csr_matrix

from benchmarks.fuzz_hdf5 import TEXT, hdf5, mutated_hdf5
from stclip.data.__main__ import main
from stclip.data.shards import read_slide

SPOTS, GENES, SIDE, PITCH = 8, 12, 8, 10  # SIDE: pixels of a tile; PITCH: from spot to spot
SLIDE = "S1"
MATRIX = "filtered_feature_bc_matrix.h5"
BARCODES = [f"{'ACGT'[at % 4] * (at + 1)}AACCGGTT-1" for at in range(SPOTS)]
NAMES = [f"GENE{at:02d}" for at in range(GENES)]
EXPRESSED = ["Gene Expression"] * GENES
COUNTS = csr_matrix(np.random.default_rng(0).poisson(1.5, (SPOTS, GENES)).astype(np.float32))
XY = np.array([(60 + PITCH * (at % 4), 60 + PITCH * (at // 4)) for at in range(SPOTS)], dtype=np.float64)

Example = tuple[str, dict[str, bytes], tuple[str, ...]]  # the command, files by their path, further options


def bring_in(example: Example, folder: Path) -> bool:
    """Bring a slide in by the command line: True when it came, False for exit status 1 or 2 and one line."""
    command, files, options = example
    for name, data in files.items():
        (folder / "raw" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "raw" / name).write_bytes(data)
    there = sorted(folder.rglob("*"))
    where = ("--raw", str(folder / "raw"), "--out", str(folder / "out"))
    said = io.StringIO()
    with redirect_stdout(io.StringIO()), redirect_stderr(said):
        status = main([command, *where, "--jobs", "1", "--quiet", "--min-genes", "1", *options])
    lines = [line for line in said.getvalue().splitlines() if not line.startswith("note: ")]
    if status == 0:
        assert list(read_slide(folder / "out", SLIDE, on_bad_spot="error", skipped=[])) and not lines, lines
        return True
    assert status in (1, 2) and len(lines) == 1 and lines[0].startswith("error: "), (status, lines)
    assert lines[0].isprintable() and len(lines[0]) < 1600, lines[0]
    new = {path.name for path in folder.rglob("*") if path not in there}
    assert new <= {"out", ".conversion.lock"}, new
    return False


@st.composite
def mutated_hest(draw: st.DrawFn) -> Example:
    """A slide in HEST-1k's layout. The fault is in its counts, now and then in its patches."""
    counts, tiles = good_h5ad(draw(st.sampled_from(("csr", "csc", "dense")))), good_patches()
    if draw(st.integers(0, 3)) == 0:
        tiles = draw(mutated_hdf5(tiles))
    else:
        counts = draw(mutated_hdf5(counts))
    asked = (*[()] * 6, ("--layer", "counts"), ("--layer", "raw"), ("--genome", "mm10"))
    genes = draw(st.sampled_from(("all", "all", "hvg:5")))
    files = {f"st/{SLIDE}.h5ad": counts, f"patches/{SLIDE}.h5": tiles}
    return "hest", files, (*draw(st.sampled_from(asked)), "--genes", genes)


@st.composite
def mutated_ten_x(draw: st.DrawFn) -> Example:
    """A slide of Space Ranger. The fault is in its matrix."""
    return visium_slide({MATRIX: draw(mutated_hdf5(good_ten_x()))})


def good_hest() -> Example:
    """A slide in HEST-1k's layout that can be brought in."""
    return "hest", {f"st/{SLIDE}.h5ad": good_h5ad("csr"), f"patches/{SLIDE}.h5": good_patches()}, ()


def visium_slide(changed: dict[str, bytes], without: str | None = None) -> Example:
    """A slide of Space Ranger. `changed`: files of its `outs` in place of the good ones; `without`: a good one to leave out."""
    outs = {name: data for name, data in good_outs().items() if name != without} | changed
    files = {f"{SLIDE}/outs/{name}": data for name, data in outs.items()}
    options = ("--tile-microns", "80", "--tile-size", "8", "--genes", "all")
    return "visium", files | {f"{SLIDE}/image.png": _picture()}, options


@lru_cache
def good_h5ad(form: str) -> bytes:
    """As anndata writes it, with a layer and a raw; `form`: csr, csc or dense."""

    def fill(file: Any) -> None:
        _say(file, "anndata", "0.1.0")
        for name, texts in (("obs", BARCODES), ("var", NAMES), ("raw/var", NAMES)):
            _table(file.create_group(name), texts)
        for axis, name in enumerate(("pxl_col_in_fullres", "pxl_row_in_fullres")):
            _say(file["obs"].create_dataset(name, data=XY[:, axis]), "array", "0.2.0")
        _categories(file["var"].create_group("feature_types"), EXPRESSED)
        ids = [f"ENSG{at:011d}" for at in range(GENES)]
        _say(file["var"].create_dataset("gene_ids", data=ids, dtype=TEXT), "string-array", "0.2.0")
        _say(file.create_dataset("obsm/spatial", data=XY), "array", "0.2.0")
        for place in ("X", "layers/counts", "raw/X"):
            _matrix(file, place, form)

    return hdf5(fill)


@lru_cache
def good_patches() -> bytes:
    """Tiles as HEST-1k has them."""

    def fill(file: Any) -> None:
        noise = np.random.default_rng(1).integers(0, 256, (SPOTS, SIDE, SIDE, 3), dtype=np.uint8)
        image = file.create_dataset("img", data=noise, chunks=(1, SIDE, SIDE, 3), compression="gzip")
        image.attrs.update(patch_size_src=SIDE, pixel_size=0.5)
        file["coords"] = (XY - SIDE / 2).astype(np.int64)
        file.create_dataset("barcode", data=np.array(BARCODES, dtype=object).reshape(-1, 1), dtype=TEXT)

    return hdf5(fill)


@lru_cache
def good_ten_x() -> bytes:
    """As Space Ranger writes it."""

    def fill(file: Any) -> None:
        matrix = file.create_group("matrix")
        for name in ("data", "indices", "indptr"):  # rows of barcodes are 10x's columns
            matrix.create_dataset(
                name, data=getattr(COUNTS, name).astype(np.int64), chunks=True, compression="gzip"
            )
        matrix["shape"] = np.array([GENES, SPOTS], dtype=np.int32)
        matrix.create_dataset("barcodes", data=np.array(BARCODES, dtype="S"), chunks=True, compression="gzip")
        features = {"name": NAMES, "id": NAMES, "feature_type": EXPRESSED, "genome": ["GRCh38"] * GENES}
        for name, texts in features.items():
            matrix[f"features/{name}"] = np.array(texts, dtype="S")

    return hdf5(fill)


@lru_cache
def good_outs() -> dict[str, bytes]:
    """The files of Space Ranger's `outs`, by their path there."""
    header = "barcode,in_tissue,array_row,array_col,pxl_row_in_fullres,pxl_col_in_fullres"
    places = [f"{code},1,0,{at},{y},{x}" for at, (code, (x, y)) in enumerate(zip(BARCODES, XY, strict=True))]
    scales = {"microns_per_pixel": 10.0, "spot_diameter_fullres": 5.5, "tissue_hires_scalef": 0.5}
    return {
        MATRIX: good_ten_x(),
        "spatial/tissue_positions.csv": "\n".join([header, *places, ""]).encode(),
        "spatial/scalefactors_json.json": json.dumps(scales).encode(),
        "spatial/tissue_hires_image.png": _picture(every=2),
    }


@lru_cache
def _picture(every: int = 1) -> bytes:
    """An image of 160 x 140 pixels, or every so many of them."""
    out = io.BytesIO()
    squares = np.random.default_rng(2).integers(0, 256, (14, 16, 3), dtype=np.uint8)
    Image.fromarray(squares.repeat(10, 0).repeat(10, 1)[::every, ::every].copy()).save(out, format="PNG")
    return out.getvalue()


def _say(element: Any, kind: str, version: str) -> None:
    element.attrs.update({"encoding-type": kind, "encoding-version": version})


def _table(table: Any, names: Sequence[str]) -> None:
    _say(table, "dataframe", "0.2.0")
    table.attrs.update({"_index": "_index", "column-order": np.array([], dtype="f8")})
    _say(table.create_dataset("_index", data=names, dtype=TEXT), "string-array", "0.2.0")


def _categories(group: Any, texts: Sequence[str]) -> None:
    _say(group, "categorical", "0.2.0")
    group.attrs["ordered"] = False
    words = sorted(set(texts))
    _say(group.create_dataset("categories", data=words, dtype=TEXT), "string-array", "0.2.0")
    codes = np.array([words.index(text) for text in texts], dtype="i1")
    _say(group.create_dataset("codes", data=codes), "array", "0.2.0")


def _matrix(file: Any, place: str, form: str) -> None:
    if form == "dense":
        _say(file.create_dataset(place, data=COUNTS.toarray()), "array", "0.2.0")
        return
    group, parts = file.create_group(place), COUNTS.asformat(form)
    _say(group, f"{form}_matrix", "0.1.0")
    group.attrs["shape"] = COUNTS.shape
    for name in ("data", "indices", "indptr"):
        group[name] = getattr(parts, name)
