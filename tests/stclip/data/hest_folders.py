"""Small folders in HEST-1k's layout, as the tests want them: right in all, or wrong in one thing."""

import csv
import json
from dataclasses import dataclass, field

import anndata
import h5py
import numpy as np
import pandas as pd
from scipy.sparse import csr_matrix

from stclip.data.shards import read_slide

SIDE = 32  # pixels of a tile
SPACING = 100.0  # pixels between spots
GENES = [f"GENE{number:02d}" for number in range(40)]


@dataclass
class SlideOf:
    """A slide before it is written; tests change what they are about."""

    counts: np.ndarray  # float32 [N, genes]
    barcodes: list[str]
    xy: np.ndarray  # float64 [N, 2]
    tiles: np.ndarray  # uint8 [N, SIDE, SIDE, 3]
    genes: list[str] = field(default_factory=lambda: list(GENES))
    patch_barcodes: list[str] | None = None
    corners: np.ndarray | None = None
    about: dict = field(default_factory=dict)
    obs_coordinates: bool = True


def slide_of(seed: int, spots: int = 30, genes: int = len(GENES)) -> SlideOf:
    """Spots on a grid that is wider than high; one hidden number a spot moves its colour and its counts."""
    rng = np.random.default_rng(seed)
    columns = int(np.ceil(spots / 4))
    at = np.arange(spots)
    hidden = rng.uniform(-1, 1, spots)
    preference = np.linspace(-1, 1, genes)
    counts = rng.poisson(np.exp(1.5 + 1.2 * hidden[:, None] * preference)).astype(np.float32)
    level = np.stack([150 + 80 * hidden, np.full(spots, 120), 150 - 80 * hidden], axis=1)
    tiles = rng.normal(level[:, None, None], 15, (spots, SIDE, SIDE, 3)).clip(0, 255).astype(np.uint8)
    xy = np.stack([500 + SPACING * (at % columns), 300 + SPACING * (at // columns)], axis=1).astype(float)
    xy += rng.uniform(-3, 3, xy.shape)
    return SlideOf(
        counts, [f"{c:02d}x{r:02d}" for c, r in zip(at % columns, at // columns, strict=True)], xy, tiles
    )


def write_hest(folder, slides, sparse=csr_matrix, csv_rows=True):
    """Write the slides (id -> SlideOf); returns the folder."""
    for name in ("st", "patches", "metadata"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    rows = []
    for slide, one in slides.items():
        write_counts(folder / "st" / f"{slide}.h5ad", one, sparse)
        write_patches(folder / "patches" / f"{slide}.h5", one)
        about = {
            "id": slide, "species": "Homo sapiens", "st_technology": "Visium", "organ": "Breast",
            "dataset_title": "A study", "patient": slide, "pixel_size_um_estimated": 0.5,
            "fullres_px_width": 3000 + len(rows), "fullres_px_height": 2000, **one.about,
        }  # fmt: skip
        rows.append(about)
        (folder / "metadata" / f"{slide}.json").write_text(json.dumps(about))
    if csv_rows and rows:
        with (folder / "HEST.csv").open("w", newline="") as file:
            writer = csv.DictWriter(file, sorted({key for row in rows for key in row}))
            writer.writeheader()
            writer.writerows(rows)
    return folder


def write_counts(path, one, sparse=csr_matrix):
    obs = pd.DataFrame(index=one.barcodes)
    if one.obs_coordinates:
        obs["pxl_col_in_fullres"], obs["pxl_row_in_fullres"] = one.xy[:, 0], one.xy[:, 1]
    data = anndata.AnnData(sparse(one.counts), obs=obs, var=pd.DataFrame(index=one.genes))
    data.obsm["spatial"] = one.xy
    data.write_h5ad(path)


def write_patches(path, one):
    barcodes = one.patch_barcodes or one.barcodes
    corners = np.round(one.xy - one.tiles.shape[1] / 2) if one.corners is None else one.corners
    with h5py.File(path, "w") as file:
        image = file.create_dataset(
            "img", data=one.tiles, chunks=(1, *one.tiles.shape[1:]), compression="gzip"
        )
        image.attrs["patch_size_src"] = one.tiles.shape[1]
        image.attrs["pixel_size"] = 0.5
        file["coords"] = corners.astype(np.int64)
        file["barcode"] = np.array(barcodes, dtype=object).reshape(-1, 1)


def spots_of(folder, slide):
    """The spots of a slide of a data set, by name."""
    return {spot.spot: spot for spot in read_slide(folder, slide, on_bad_spot="error", skipped=[])}
