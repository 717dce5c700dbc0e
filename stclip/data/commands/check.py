"""`python -m stclip.data check`: read everything of a data set, and say what is wrong."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rich.table import Table

from stclip.data.commands.each_slide import each_slide
from stclip.data.commands.inspect_slide import SlideContent, inspect_slide
from stclip.data.commands.parsers import Commands, add_dataset, add_source, add_work, dataset_folder
from stclip.data.commands.raw_formats import raw_source
from stclip.data.commands.tables import add_row, make_table
from stclip.data.raw.compare import compare_slide
from stclip.data.raw.conversion import PANEL
from stclip.data.raw.slide_pool import Failed
from stclip.data.shards.splits import SPLITS, read_splits
from stclip.data.splitting.duplicates import find_duplicates
from stclip.data.splitting.plan import NEW_DONORS
from stclip.data.splitting.record import read_split_record
from stclip.data.splitting.slide_table import SlideRow, dataset_slides, read_section
from stclip.errors import DataError, printable
from stclip.files.paths import is_file, user_path
from stclip.files.whole_files import read_own_text
from stclip.terminal.console import make_console
from stclip.terminal.text import many

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
    add_dataset(parser)
    parser.add_argument(
        "--against", type=user_path, metavar="RAW",
        help="compute sentences and coordinates anew from the folder the slides were brought in from, and compare",
    )  # fmt: skip
    add_source(parser)
    add_work(parser)
    parser.set_defaults(command=run)


@dataclass
class Findings:
    """What a check has to say."""

    wrong: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def run(arguments: argparse.Namespace) -> int:
    """Exit status 0 when nothing is wrong, else 1."""
    folder = dataset_folder(arguments)
    rows = dataset_slides(folder)
    findings = Findings()
    contents = _contents(folder, rows, arguments, findings)
    sides = _sides(folder, findings)
    _check_donors(folder, rows, sides, findings)
    _check_sections(folder, sides, contents, findings)
    _check_galleries(rows, sides, contents, findings)
    _check_sizes(contents, findings)
    _check_counts(rows, contents, findings)
    make_console().print(_table(rows, contents, sides))
    if arguments.against is not None:
        _compare(folder, rows, arguments, findings)
    for note in findings.notes:
        print(f"note: {printable(note)}")
    for fault in findings.wrong:
        print(f"wrong: {printable(fault)}")
    spots = sum(content.spots for content in contents.values())
    told = f"{many(len(findings.wrong), 'thing')} wrong" if findings.wrong else "nothing is wrong"
    print(f"{many(len(rows), 'slide')}, {many(spots, 'spot')}: {told}")
    return 1 if findings.wrong else 0


def _contents(
    folder: Path, rows: Sequence[SlideRow], arguments: argparse.Namespace, findings: Findings
) -> dict[str, SlideContent]:
    tasks = {row.slide: (folder, row.slide) for row in rows}
    found = each_slide("reading spots", inspect_slide, tasks, _known_spots(rows), arguments)
    contents = {}
    for slide, result in found.items():
        if isinstance(result, Failed):
            findings.wrong.append(result.why)
        else:
            contents[slide] = result
            findings.wrong += result.faults
    return contents


def _known_spots(rows: Sequence[SlideRow]) -> int:
    return sum(row.spots or 0 for row in rows)


def _sides(folder: Path, findings: Findings) -> dict[str, str]:
    """Slide -> its split; empty when the split files cannot be used."""
    try:
        splits = read_splits(folder)
    except DataError as error:
        findings.wrong.append(str(error))
        return {}
    return {slide: split for split in SPLITS for slide in getattr(splits, split)}


def _check_donors(
    folder: Path, rows: Sequence[SlideRow], sides: Mapping[str, str], findings: Findings
) -> None:
    """A donor on two sides is wrong, unless the split was made by slide."""
    donor_of = {row.slide: row.donor for row in rows if row.donor is not None}
    donors: dict[str, dict[str, list[str]]] = {}
    for slide, split in sides.items():
        if slide in donor_of:
            donors.setdefault(donor_of[slide], {}).setdefault(split, []).append(slide)
    by_slide = read_split_record(folder).get("by") == "slide"
    for donor, found in donors.items():
        if len(found) == 1:
            continue
        where = ", ".join(f"{' '.join(slides)} in {split}" for split, slides in found.items())
        text = f"slides of donor '{donor}' stand on {len(found)} sides ({where})"
        if by_slide:
            findings.notes.append(f"{text}, as the split by slide has it: {NEW_DONORS}")
        else:
            findings.wrong.append(f"{text}; split by donor: python -m stclip.data split {folder.name}")


def _check_sections(
    folder: Path,
    sides: Mapping[str, str],
    contents: Mapping[str, SlideContent],
    findings: Findings,
) -> None:
    """A section under two ids, on two sides, is wrong. Slides with faults are left out of the search."""
    whole = [slide for slide in sides if slide in contents and not contents[slide].faults]
    for pair in find_duplicates(whole, lambda slide: read_section(folder, slide)):
        text = f"{pair.a} and {pair.b} show one section ({pair.told})"
        a, b = sides[pair.a], sides[pair.b]
        if a != b:
            findings.wrong.append(f"{text}, {pair.a} in {a}, {pair.b} in {b}; keep them on one side")
        else:
            findings.notes.append(f"{text}; both are in {a}")


def _check_galleries(
    rows: Sequence[SlideRow],
    sides: Mapping[str, str],
    contents: Mapping[str, SlideContent],
    findings: Findings,
) -> None:
    """Slides that no split names, and galleries too small to say much."""
    unused = [row.slide for row in rows if sides and row.slide not in sides]
    if unused:
        findings.notes.append(f"{many(len(unused), 'slide')} in no split: {', '.join(unused[:5])}")
    small = [
        slide
        for slide, split in sides.items()
        if split != "train" and slide in contents and contents[slide].spots < SMALL_GALLERY
    ]
    if small:
        findings.notes.append(f"galleries of fewer than {SMALL_GALLERY} spots say little: {', '.join(small)}")


def _check_sizes(contents: Mapping[str, SlideContent], findings: Findings) -> None:
    tiles = {slide: content.usual_tile for slide, content in contents.items() if content.tile_sides}
    if not tiles:
        return
    usual = Counter(tiles.values()).most_common(1)[0][0]
    findings.wrong += [
        f"slide '{slide}': its tiles are {tile[0]} x {tile[1]} pixels, those of most slides {usual[0]} x {usual[1]}"
        for slide, tile in tiles.items()
        if tile != usual
    ]


def _check_counts(rows: Sequence[SlideRow], contents: Mapping[str, SlideContent], findings: Findings) -> None:
    findings.wrong += [
        f"slide '{row.slide}': holds {contents[row.slide].spots} usable spots, the manifest says {row.spots}"
        for row in rows
        if row.slide in contents and row.spots is not None and row.spots != contents[row.slide].spots
    ]


def _table(rows: Sequence[SlideRow], contents: Mapping[str, SlideContent], sides: Mapping[str, str]) -> Table:
    table = make_table(
        ("slide", "split", "technology", "donor"), ("spots", "tile", "genes", "a spot", "wrong")
    )
    for row in rows:
        content = contents.get(row.slide, SlideContent())
        tile = content.usual_tile[0] if content.tile_sides else None
        about = (row.slide, sides.get(row.slide), row.technology, row.donor, content.spots, tile)
        add_row(table, *about, len(content.genes), f"{content.sentence:.1f}", len(content.faults))
    return table


def _compare(
    folder: Path, rows: Sequence[SlideRow], arguments: argparse.Namespace, findings: Findings
) -> None:
    source = raw_source(arguments.against, arguments.layer, arguments.genome, arguments.bin_microns)
    panel = folder / PANEL
    genes = tuple(read_own_text(panel).split()) if is_file(panel) else None
    tasks = {row.slide: (source, row.slide, folder, genes) for row in rows}
    found = each_slide("comparing spots", compare_slide, tasks, _known_spots(rows), arguments)
    compared = {slide: result for slide, result in found.items() if not isinstance(result, Failed)}
    findings.wrong += [result.why for result in found.values() if isinstance(result, Failed)]
    for slide, result in compared.items():
        for what, told in _DIFFERENCES.items():
            names = getattr(result, what)
            if names:
                findings.wrong.append(
                    f"slide '{slide}': {told}: {many(len(names), 'spot')}, such as {names[0]}"
                )
    mismatches = sum(result.mismatches for result in compared.values())
    told = "1 mismatch" if mismatches == 1 else f"{mismatches} mismatches"
    print(f"against {arguments.against}: {told} in {many(sum(r.spots for r in compared.values()), 'spot')}")


_DIFFERENCES = {
    "sentences": "the gene sentence is another than the counts give",
    "coordinates": "the coordinates are others than the source has",
    "missing": "not in the shards",
    "strange": "not in the source",
}
