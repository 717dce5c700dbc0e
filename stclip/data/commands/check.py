"""`python -m stclip.data check`: read everything of a data set, and say what is wrong."""

from __future__ import annotations

import argparse
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from stclip.config import DataConfig
from stclip.data.commands.parsers import Commands, count
from stclip.data.compare_raw import Compared, compare_slide
from stclip.data.conversion import PANEL
from stclip.data.duplicates import find_duplicates
from stclip.data.inspect_slide import SlideContent, inspect_slide
from stclip.data.locate import dataset_dir
from stclip.data.raw_formats import raw_source
from stclip.data.slide_pool import run_slides
from stclip.data.slide_table import SlideRow, dataset_slides, read_section
from stclip.data.split_record import read_split_record
from stclip.data.splits import SPLITS, Splits, read_splits
from stclip.errors import DataError, printable
from stclip.paths import is_file, user_path
from stclip.progress import ProgressBar
from stclip.words import many

SMALL_GALLERY = 30  # spots; a recall at 10 of fewer says little


def add(commands: Commands) -> None:
    """Describe the command."""
    parser = commands.add_parser(
        "check",
        help="read everything of a data set and say what is wrong",
        description="Read every spot of a data set: members, tiles, sentences, coordinates, keys, splits, donors. Exit status 1 "
        "when something is wrong.",
        allow_abbrev=False,
    )
    parser.add_argument("name", metavar="NAME", help="a data set, by name or folder")
    parser.add_argument(
        "--root", type=Path, metavar="DIR", help="where data sets lie (default: data/processed)"
    )
    parser.add_argument(
        "--against", type=user_path, metavar="RAW",
        help="compute sentences and coordinates anew from the folder the slides were brought in from, and compare",
    )  # fmt: skip
    parser.add_argument(
        "--jobs",
        type=count,
        default=os.cpu_count() or 1,
        metavar="N",
        help="slides at a time (default: %(default)s)",
    )
    parser.add_argument("--quiet", action="store_true", help="no progress bar")
    parser.set_defaults(command=run)


def run(arguments: argparse.Namespace) -> int:
    """Exit status 0 when nothing is wrong, else 1."""
    folder = dataset_dir(DataConfig(dataset=arguments.name, root=arguments.root))
    rows = dataset_slides(folder)
    problems: list[str] = []
    notes: list[str] = []
    contents = _contents(folder, rows, arguments, problems)
    splits = _splits(folder, problems)
    if splits is not None:
        _check_sides(folder, rows, splits, contents, problems, notes)
    _check_sizes(contents, problems)
    _check_counts(rows, contents, problems)
    console = Console()
    console.print(_table(rows, contents, splits))
    if arguments.against is not None:
        _compare(folder, rows, arguments, problems)
    for note in notes:
        print(f"note: {printable(note)}")
    for problem in problems:
        print(f"wrong: {printable(problem)}")
    spots = sum(content.spots for content in contents.values())
    told = f"{many(len(problems), 'thing')} wrong" if problems else "nothing is wrong"
    print(f"{many(len(rows), 'slide')}, {many(spots, 'spot')}: {told}")
    return 1 if problems else 0


def _contents(
    folder: Path, rows: Sequence[SlideRow], arguments: argparse.Namespace, problems: list[str]
) -> dict[str, SlideContent]:
    total = sum(row.spots or 0 for row in rows)
    with ProgressBar("reading spots", arguments.quiet) as bar:
        tasks = {row.slide: (folder, row.slide) for row in rows}
        found = run_slides(
            inspect_slide, tasks, arguments.jobs, lambda done: bar.update(done, max(total, done))
        )
    contents = {}
    for slide, result in found.items():
        if isinstance(result, SlideContent):
            contents[slide] = result
            problems += result.faults
        else:
            problems.append(str(result))
    return contents


def _splits(folder: Path, problems: list[str]) -> Splits | None:
    try:
        return read_splits(folder)
    except DataError as error:
        problems.append(str(error))
        return None


def _check_sides(
    folder: Path,
    rows: Sequence[SlideRow],
    splits: Splits,
    contents: Mapping[str, SlideContent],
    problems: list[str],
    notes: list[str],
) -> None:
    """Donors and sections on two sides, slides on none, galleries too small to say much."""
    side = {slide: split for split in SPLITS for slide in getattr(splits, split)}
    by_slide = read_split_record(folder).get("by") == "slide"
    donors: dict[str, dict[str, list[str]]] = {}
    donor_of = {row.slide: row.donor for row in rows if row.donor is not None}
    for slide, split in side.items():
        if slide in donor_of:
            donors.setdefault(donor_of[slide], {}).setdefault(split, []).append(slide)
    for donor, sides in donors.items():
        if len(sides) > 1:
            where = ", ".join(f"{' '.join(slides)} in {split}" for split, slides in sides.items())
            text = f"slides of donor '{donor}' stand on {len(sides)} sides ({where})"
            if by_slide:
                notes.append(
                    f"{text}, as the split by slide has it: what is measured says nothing of new donors"
                )
            else:
                problems.append(f"{text}; split by donor: python -m stclip.data split {folder.name}")
    spots = {
        row.slide: contents[row.slide].spots for row in rows if row.slide in contents and row.slide in side
    }
    sizes = {row.slide: row.image_size for row in rows if row.image_size}
    readable = {slide: n for slide, n in spots.items() if not contents[slide].faults}
    for pair in find_duplicates(readable, sizes, lambda slide: read_section(folder, slide)):
        text = f"{pair.a} and {pair.b} show one section (expression correlates by {pair.correlation:.2f})"
        if side[pair.a] != side[pair.b]:
            problems.append(
                f"{text}, {pair.a} in {side[pair.a]}, {pair.b} in {side[pair.b]}; keep them on one side"
            )
        else:
            notes.append(f"{text}; both are in {side[pair.a]}")
    unused = [row.slide for row in rows if row.slide not in side]
    if unused:
        notes.append(f"{many(len(unused), 'slide')} in no split: {', '.join(unused[:5])}")
    small = [
        slide for slide in (*splits.val, *splits.test) if spots.get(slide, SMALL_GALLERY) < SMALL_GALLERY
    ]
    if small:
        notes.append(f"galleries of fewer than {SMALL_GALLERY} spots say little: {', '.join(small)}")


def _check_sizes(contents: Mapping[str, SlideContent], problems: list[str]) -> None:
    sides = {slide: c.tile_sides.most_common(1)[0][0] for slide, c in contents.items() if c.tile_sides}
    if not sides:
        return
    usual = Counter(sides.values()).most_common(1)[0][0]
    problems += [
        f"slide '{slide}': its tiles are {side[0]} x {side[1]} pixels, those of most slides {usual[0]} x {usual[1]}"
        for slide, side in sides.items()
        if side != usual
    ]


def _check_counts(
    rows: Sequence[SlideRow], contents: Mapping[str, SlideContent], problems: list[str]
) -> None:
    problems += [
        f"slide '{row.slide}': holds {contents[row.slide].spots} usable spots, the manifest says {row.spots}"
        for row in rows
        if row.slide in contents and row.spots is not None and row.spots != contents[row.slide].spots
    ]


def _table(rows: Sequence[SlideRow], contents: Mapping[str, SlideContent], splits: Splits | None) -> Table:
    side = {slide: split for split in SPLITS for slide in getattr(splits, split)} if splits else {}
    table = Table(box=None, pad_edge=False)
    for name in ("slide", "split", "technology", "donor"):
        table.add_column(name, overflow="fold", min_width=len(name))
    for name in ("spots", "tile", "genes", "a spot", "wrong"):
        table.add_column(name, justify="right")
    for row in rows:
        content = contents.get(row.slide, SlideContent())
        tile = content.tile_sides.most_common(1)[0][0][0] if content.tile_sides else "-"
        cells = (row.slide, side.get(row.slide, "-"), row.technology or "-", row.donor or "-", content.spots, tile,
                 len(content.genes), f"{content.sentence:.1f}", len(content.faults))  # fmt: skip
        table.add_row(*(escape(printable(str(cell))) for cell in cells))
    return table


def _compare(
    folder: Path, rows: Sequence[SlideRow], arguments: argparse.Namespace, problems: list[str]
) -> None:
    source = raw_source(arguments.against)
    panel = folder / PANEL
    genes = tuple(panel.read_text(encoding="utf-8").split()) if is_file(panel) else None
    total = sum(row.spots or 0 for row in rows)
    with ProgressBar("comparing spots", arguments.quiet) as bar:
        tasks = {row.slide: (source, row.slide, folder, genes) for row in rows}
        found = run_slides(
            compare_slide, tasks, arguments.jobs, lambda done: bar.update(done, max(total, done))
        )
    results = [result for result in found.values() if isinstance(result, Compared)]
    for slide, result in found.items():
        if not isinstance(result, Compared):
            problems.append(str(result))
            continue
        for what in ("sentences", "coordinates", "missing", "strange"):
            names = getattr(result, what)
            if names:
                problems.append(
                    f"slide '{slide}': {_DIFFERENCES[what]}: {many(len(names), 'spot')}, such as {names[0]}"
                )
    spots = sum(result.spots for result in results)
    mismatches = sum(result.mismatches for result in results)
    told = "1 mismatch" if mismatches == 1 else f"{mismatches} mismatches"
    print(f"against {arguments.against}: {told} in {many(spots, 'spot')}")


_DIFFERENCES = {
    "sentences": "the gene sentence is another than the counts give",
    "coordinates": "the coordinates are others than the source has",
    "missing": "not in the shards",
    "strange": "not in the source",
}
