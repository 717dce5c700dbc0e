"""How fast slides are brought in and how much memory that takes, against bare PNG encoding and decoding.

    python benchmarks/conversion.py                       # speed: a slide a core, in HEST-1k's layout, made up
    python benchmarks/conversion.py --large               # memory: one slide of 10,000 spots and 20,000 genes
    python benchmarks/conversion.py --catalogue CSV       # scale: slides of the sizes in a catalogue, one tiny tile repeated

Everything is made up and lies in a temporary folder. Each measurement is repeated in turns with its bare counterpart, in one run.
"""

from __future__ import annotations

import argparse
import csv
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path

import numpy as np

from stclip.config import DataConfig
from stclip.data.store import open_store

SIDE = 224
ROUNDS = 3


def main() -> None:
    """Run what is asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--spots", type=int, default=500, help="of each slide (default: %(default)s)")
    parser.add_argument("--large", action="store_true")
    parser.add_argument("--catalogue", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="conv") as folder:
        if options.large:
            measure_memory(Path(folder))
        elif options.catalogue:
            measure_scale(Path(folder), options.catalogue)
        else:
            measure_speed(Path(folder), options.spots)


def tissue_tile(rng: np.random.Generator, side: int) -> np.ndarray:
    """A tile that compresses like a stained one: smooth areas, nuclei, a little noise."""
    from scipy.ndimage import gaussian_filter

    smooth = gaussian_filter(rng.normal(0, 1, (side, side)), 6)
    nuclei = gaussian_filter(rng.normal(0, 1, (side, side)), 2) > 0.12
    base = np.stack([210 - 400 * smooth, 170 - 500 * smooth, 205 - 300 * smooth], axis=-1)
    base[nuclei] -= (90, 80, 40)
    return (base + rng.normal(0, 4, base.shape)).clip(0, 255).astype(np.uint8)


def write_slide(raw: Path, slide: str, spots: int, genes: int, tiles: np.ndarray, per_spot: int) -> None:
    """A slide in HEST-1k's layout; `tiles` are repeated, `per_spot` genes are expressed at a spot."""
    import anndata
    import h5py
    import pandas as pd
    from scipy.sparse import csr_matrix

    rng = np.random.default_rng(len(slide) + spots)
    for name in ("st", "patches"):
        (raw / name).mkdir(parents=True, exist_ok=True)
    columns = int(np.ceil(np.sqrt(spots)))
    at = np.arange(spots)
    xy = np.stack([300.0 + 250 * (at % columns), 300.0 + 250 * (at // columns)], axis=1)
    indices = np.concatenate([np.sort(rng.choice(genes, per_spot, replace=False)) for _ in range(spots)])
    counts = csr_matrix(
        (rng.geometric(0.3, spots * per_spot).astype(np.float32), indices, np.arange(spots + 1) * per_spot),
        shape=(spots, genes),
    )
    names = [f"{x}x{y}" for x, y in zip(at % columns, at // columns, strict=True)]
    obs = pd.DataFrame({"pxl_col_in_fullres": xy[:, 0], "pxl_row_in_fullres": xy[:, 1]}, index=names)
    data = anndata.AnnData(counts, obs=obs, var=pd.DataFrame(index=[f"GENE{g}" for g in range(genes)]))
    data.write_h5ad(raw / "st" / f"{slide}.h5ad", compression="gzip")
    side = tiles.shape[1]
    with h5py.File(raw / "patches" / f"{slide}.h5", "w") as file:
        image = file.create_dataset(
            "img", (spots, side, side, 3), np.uint8, chunks=(1, side, side, 3), compression="gzip"
        )
        for start in range(0, spots, len(tiles)):
            image[start : start + len(tiles)] = tiles[: min(len(tiles), spots - start)]
        file["coords"] = np.round(xy - side / 2).astype(np.int64)
        file["barcode"] = np.array(names, dtype=object).reshape(-1, 1)


def convert(raw: Path, out: Path, *options: str) -> tuple[float, float]:
    """`run_command` of a conversion into an empty folder."""
    shutil.rmtree(out, ignore_errors=True)
    return run_command("hest", "--raw", str(raw), "--out", str(out), "--quiet", *options)


def run_command(*given: str) -> tuple[float, float]:
    """Seconds of `python -m stclip.data ...`, its start included, and the most memory of any of its processes, in MB."""
    start = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "stclip.data", *given], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    peak = 0.0
    while process.poll() is None:
        peak = max([peak, *map(high_water, family(process.pid))])
        time.sleep(0.05)
    if process.returncode:
        raise SystemExit(f"stclip.data {' '.join(given)} ended with {process.returncode}")
    return time.perf_counter() - start, peak


def family(pid: int) -> list[int]:
    """A process and its children."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return []
    return [pid, *(one for child in children for one in family(int(child)))]


def high_water(pid: int) -> float:
    """The most memory that a process has held so far, MB. (`ru_maxrss` would count what its parent held when it was forked.)"""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM")), 0.0)


def encode_all(tiles: np.ndarray, count: int) -> float:
    """Seconds of one core to encode `count` tiles as PNG, and nothing else."""
    from PIL import Image

    start = time.perf_counter()
    for at in range(count):
        Image.fromarray(tiles[at % len(tiles)]).save(BytesIO(), format="PNG")
    return time.perf_counter() - start


def decode_all(tiles: np.ndarray, count: int, cores: int) -> float:
    """Seconds of `cores` threads to decode `count` PNGs, and nothing else."""
    from PIL import Image

    coded = []
    for tile in tiles:
        buffer = BytesIO()
        Image.fromarray(tile).save(buffer, format="PNG")
        coded.append(buffer.getvalue())

    def decode(at: int) -> None:
        np.asarray(Image.open(BytesIO(coded[at % len(coded)])).convert("RGB"))

    start = time.perf_counter()
    with ThreadPoolExecutor(cores) as pool:
        list(pool.map(decode, range(count)))
    return time.perf_counter() - start


def measure_speed(folder: Path, spots: int) -> None:
    """Conversion against bare encoding times the cores; store building against bare decoding on all cores."""
    cores = os.cpu_count() or 1
    rng = np.random.default_rng(0)
    tiles = np.stack([tissue_tile(rng, SIDE) for _ in range(50)])
    slides = [f"S{number}" for number in range(2 * cores)]
    for slide in slides:
        write_slide(folder / "raw", slide, spots, 18_000, tiles, 3000)
    count = spots * len(slides)
    rates: dict[str, list[float]] = {"convert": [], "encode": [], "store": [], "decode": []}
    for _ in range(ROUNDS):
        rates["encode"].append(cores * 300 / encode_all(tiles, 300))
        rates["convert"].append(count / convert(folder / "raw", folder / "out", "--genes", "all")[0])
        for split, slide in (("train", "\n".join(slides[:-2])), ("val", slides[-2]), ("test", slides[-1])):
            (folder / "out" / f"{split}_samples.txt").write_text(slide + "\n")
        start = time.perf_counter()
        open_store(DataConfig(dataset=str(folder / "out"), image_size=SIDE))
        rates["store"].append(count / (time.perf_counter() - start))
        rates["decode"].append(count / decode_all(tiles, count, cores))
    middle = {name: statistics.median(values) for name, values in rates.items()}
    print(
        f"{count} tiles of {SIDE} pixels on {len(slides)} slides, {cores} cores, medians of {ROUNDS} rounds, tiles a second"
    )
    for work, bare in (("convert", "encode"), ("store", "decode")):
        ratios = [one / other for one, other in zip(rates[work], rates[bare], strict=True)]
        print(
            f"{work:8} {middle[work]:7.0f}   bare {bare} x cores {middle[bare]:7.0f}   ratio {statistics.median(ratios):.2f} "
            f"({min(ratios):.2f}-{max(ratios):.2f})"
        )


def measure_memory(folder: Path) -> None:
    """Peak memory of a conversion with one job, counts being sparse."""
    tiles = np.stack([tissue_tile(np.random.default_rng(0), SIDE)])
    write_slide(folder / "raw", "LARGE", 10_000, 20_000, np.repeat(tiles, 50, axis=0), 4000)
    seconds, peak = convert(folder / "raw", folder / "out", "--jobs", "1")
    print(f"10,000 spots, 20,000 genes, 4,000 expressed at a spot: {seconds:.0f} s, at most {peak:.0f} MB")


def measure_scale(folder: Path, catalogue: Path) -> None:
    """Slides of the catalogue's sizes: converted, stored, opened, batches drawn; peak memory of each step."""
    with catalogue.open(newline="") as file:
        sizes = {row["id"]: int(row["spots_under_tissue"]) for row in csv.DictReader(file)}
    tile = np.full((1, 16, 16, 3), 200, np.uint8)
    for slide, spots in sizes.items():
        write_slide(folder / "raw", slide, spots, 2000, np.repeat(tile, 1000, axis=0), 60)
    out = folder / "out"
    seconds, peak = convert(folder / "raw", out, "--genes", "all")
    print(f"{len(sizes)} slides, {sum(sizes.values())} spots", flush=True)
    print(f"convert {seconds:.0f} s, at most {peak:.0f} MB a process", flush=True)
    seconds, peak = run_command("split", str(out), "--by", "slide")
    print(f"split {seconds:.0f} s, at most {peak:.0f} MB", flush=True)
    steps = {
        "store": "open_store(data)",
        "open": "store = open_store(data); print(len(store.tiles), end=' spots, ')",
        "batches": "store = open_store(data); "
        "b = NeighborhoodBatches(store.spots('train'), store.neighbor_ids, store.slide_index, 64, 0); "
        "import itertools; list(itertools.islice(b, 2000))",
    }
    for step, code in steps.items():
        program = (
            "import sys, time; from stclip.config import DataConfig; from stclip.data.store import open_store; "
            "from stclip.data.batches.batching import NeighborhoodBatches; from benchmarks.conversion import high_water; import "
            "os; "
            "data = DataConfig(dataset=sys.argv[1], image_size=16, batching='neighborhood'); t = time.perf_counter(); "
            f"{code}; print(f'{{time.perf_counter() - t:.1f}} s, at most {{high_water(os.getpid()):.0f}} MB')"
        )
        print(step, end=" ", flush=True)
        subprocess.run([sys.executable, "-c", program, str(out)], check=True)


if __name__ == "__main__":
    main()
