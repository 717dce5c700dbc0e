"""`python -m stclip.data info`: what a data set holds, in numbers and pictures."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.table import Table

from stclip.config.schema import KS
from stclip.data.commands.each_slide import each_slide
from stclip.data.commands.parsers import Commands, add_dataset, add_work, dataset_folder
from stclip.data.commands.pictures import PER_ROW, contact_sheet, spot_maps
from stclip.data.commands.sample_slide import SlideSample, sample_slide
from stclip.data.commands.tables import add_row, make_table
from stclip.data.raw.slide_pool import Failed
from stclip.data.shards import read_manifest
from stclip.data.shards.splits import SPLITS, read_slides, split_file
from stclip.data.splitting.slide_table import SlideRow, dataset_slides
from stclip.errors import DataError
from stclip.files.paths import is_file, user_path
from stclip.terminal.console import make_console
from stclip.terminal.text import many


def add(commands: Commands) -> None:
    """Describe the command."""
    parser = commands.add_parser(
        "info",
        help="show what a data set holds",
        description="Slides, technologies, spots, genes, tiles, distances, galleries and chance levels of a data set; a contact "
        "sheet with a row of tiles for each slide, and a map of the spots.",
        allow_abbrev=False,
    )
    add_dataset(parser)
    parser.add_argument(
        "--out",
        type=user_path,
        metavar="DIR",
        help="where the pictures go (default: info in the data set's folder)",
    )
    add_work(parser)
    parser.set_defaults(command=run)


def run(arguments: argparse.Namespace) -> int:
    """Print the tables and write the pictures. Raises DataError for a data set that cannot be read; `check` lists all faults."""
    folder = dataset_folder(arguments)
    rows = dataset_slides(folder)
    samples = _samples(folder, rows, arguments)
    sides = {
        slide: split
        for split in SPLITS
        if is_file(split_file(folder, split))
        for slide in read_slides(folder, split)
    }
    microns = read_manifest(folder).get("microns_per_pixel")
    shown = make_console()
    shown.print(_slide_table(rows, samples, sides, microns))
    if sides:
        shown.print()
        shown.print(_split_table(rows, samples, sides))
    words = sum(sample.words for sample in samples.values())
    spots = sum(len(sample.xy) for sample in samples.values())
    genes = set().union(*(sample.genes for sample in samples.values()))
    counted = ", ".join((many(len(rows), "slide"), many(spots, "spot"), many(len(genes), "gene")))
    print(f"\n{counted} in sentences of {words / spots:.1f} on average")
    out = arguments.out or folder / "info"
    ordered = sorted(
        samples, key=lambda slide: (SPLITS.index(sides[slide]) if slide in sides else len(SPLITS), slide)
    )
    contact_sheet({slide: samples[slide].tiles for slide in ordered}, out / "contact_sheet.png")
    spot_maps({slide: samples[slide].xy for slide in ordered}, out / "spots.png")
    print(f"tiles  {out / 'contact_sheet.png'}\nspots  {out / 'spots.png'}")
    return 0


def _samples(folder: Path, rows: Sequence[SlideRow], arguments: argparse.Namespace) -> dict[str, SlideSample]:
    total = sum(row.spots or 0 for row in rows)
    tasks = {row.slide: (folder, row.slide, PER_ROW) for row in rows}
    found = each_slide("reading spots", sample_slide, tasks, total, arguments)
    for result in found.values():
        if isinstance(result, Failed):
            raise DataError(f"{result.why}; python -m stclip.data check {folder} lists all that is wrong")
    return found


def _slide_table(
    rows: Sequence[SlideRow],
    samples: Mapping[str, SlideSample],
    sides: Mapping[str, str],
    microns: Any,  # of a pixel: a number, or one for each slide; None where nobody says
) -> Table:
    table = make_table(
        ("slide", "split", "technology", "donor"), ("spots", "tile", "genes", "a spot", "pitch")
    )
    for row in rows:
        sample = samples[row.slide]
        pixel = microns.get(row.slide) if isinstance(microns, dict) else microns
        if isinstance(pixel, int | float):
            distance = f"{sample.spacing * pixel:.0f} µm"
        else:
            distance = f"{sample.spacing:.0f} px"
        about = (row.slide, sides.get(row.slide), row.technology, row.donor)
        sentence = f"{sample.words / max(1, len(sample.xy)):.1f}"
        add_row(
            table, *about, len(sample.xy), f"{len(sample.tiles[0])} px", len(sample.genes), sentence, distance
        )
    return table


def _split_table(
    rows: Sequence[SlideRow], samples: Mapping[str, SlideSample], sides: Mapping[str, str]
) -> Table:
    """Galleries are slides; chance is the mean over slides of k / spots, as retrieval is measured."""
    columns = ("slides", "donors", "spots", "gallery", *(f"chance R@{k}" for k in KS))
    table = make_table(("split",), columns)
    for split in SPLITS:
        own = [row for row in rows if sides.get(row.slide) == split]
        sizes = np.array([len(samples[row.slide].xy) for row in own])
        if not len(sizes):
            continue
        donors = {row.donor for row in own}
        known = None if None in donors else len(donors)
        gallery = (
            f"{sizes.min()}-{sizes.max()}, median {np.median(sizes):.0f}" if len(sizes) > 1 else str(sizes[0])
        )
        chance = (f"{np.minimum(1.0, k / sizes).mean():.3f}" for k in KS)
        add_row(table, split, len(own), known, sizes.sum(), gallery, *chance)
    return table
