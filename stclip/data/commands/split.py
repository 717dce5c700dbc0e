"""`python -m stclip.data split`: which slides train, validate and test, no donor on two sides."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from stclip.data.commands.parsers import Commands, add_dataset, add_source, dataset_folder
from stclip.data.commands.raw_formats import is_raw, raw_section, raw_slides, raw_source
from stclip.data.shards.donors import DONORS, write_csv_donors
from stclip.data.shards.splits import SPLITS, Splits, write_splits
from stclip.data.splitting.catalogue import unchecked_sections
from stclip.data.splitting.duplicates import Duplicate, find_duplicates
from stclip.data.splitting.plan import merged_donors, plan_split
from stclip.data.splitting.record import write_split_record
from stclip.data.splitting.slide_table import SlideRow, catalogue_slides, dataset_slides, read_section
from stclip.errors import InputError
from stclip.files.paths import is_file, user_path
from stclip.terminal.text import many

SHARES = {"train": "0.7", "val": "0.1", "test": "0.2"}


def add(commands: Commands) -> None:
    """Describe the command."""
    parser = commands.add_parser(
        "split",
        help="choose the slides that train, validate and test",
        description="Write train_samples.txt, val_samples.txt and test_samples.txt. No donor stands on two sides, and no section "
        "that is there under two ids; such sections are looked for, but a catalogue alone cannot tell them.",
        allow_abbrev=False,
    )
    add_dataset(
        parser,
        "a data set, by name or folder; or what slides will be brought in from: their folder, or a catalogue, a .csv with id, "
        "donor, st_technology",
    )
    parser.add_argument(
        "--out", type=user_path, metavar="DIR",
        help="where the files go (default: into the data set; needed for what is not one yet)",
    )  # fmt: skip
    for split, share in SHARES.items():
        parser.add_argument(
            f"--{split}", default=share, metavar="SHARE",
            help="share of the slides, or their ids with commas between them (default: %(default)s)",
        )  # fmt: skip
    parser.add_argument(
        "--by", choices=("donor", "slide"), default="donor",
        help="what stays on one side (default: %(default)s); by slide, the test says nothing of new donors",
    )  # fmt: skip
    parser.add_argument(
        "--stratify",
        choices=("technology",),
        help="keep the shares in each technology too, as far as that is possible",
    )
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="default: %(default)s")
    add_source(parser)
    parser.set_defaults(command=run)


def run(arguments: argparse.Namespace) -> int:
    """Write the split and say what it is; exit status 1 when slides were left out of it that cannot be used.

    Raises InputError when it cannot be made as asked.
    """
    slides, duplicates, folder, errors = _slides(arguments)
    for error in errors:
        print(f"error: {error}", file=sys.stderr)
    if not slides:
        raise InputError(f"{arguments.name}: none of its slides can be used")
    out = arguments.out or folder
    if out is None:
        raise InputError(f"{arguments.name} is no data set yet: say with --out where the split files go")
    donors = merged_donors(slides, duplicates)
    given = {split: getattr(arguments, split) for split in SPLITS}
    splits = plan_split(
        slides, donors, duplicates, given, arguments.by, arguments.stratify == "technology", arguments.seed
    )
    try:
        _write(out, splits, donors, duplicates, arguments)
    except OSError as error:
        raise InputError(
            f"{out}: cannot be written to ({error.strerror or error}); choose another --out"
        ) from None
    _say(slides, splits, donors, duplicates, out)
    if _is_catalogue(user_path(arguments.name)):
        print(f"note: {unchecked_sections(user_path(arguments.name), donors)}")
    return 1 if errors else 0


def _slides(
    arguments: argparse.Namespace,
) -> tuple[list[SlideRow], list[Duplicate], Path | None, list[str]]:
    """The slides, duplicates among them, the data set's folder (None for what is none yet), and what is wrong with others."""
    place = user_path(arguments.name)
    if is_raw(place):
        source = raw_source(place, arguments.layer, arguments.genome, arguments.bin_microns)
        rows, errors = raw_slides(source)
        unusable: dict[str, str] = {}
        found = find_duplicates(
            [row.slide for row in rows], lambda slide: raw_section(source, slide), unusable
        )
        return [row for row in rows if row.slide not in unusable], found, None, [*errors, *unusable.values()]
    if _is_catalogue(place):
        return catalogue_slides(place), [], None, []
    folder = dataset_folder(arguments)
    rows = dataset_slides(folder)
    return (
        rows,
        find_duplicates([row.slide for row in rows], lambda slide: read_section(folder, slide)),
        folder,
        [],
    )


def _is_catalogue(place: Path) -> bool:
    return place.suffix == ".csv"


def _write(
    out: Path,
    splits: Splits,
    donors: Mapping[str, str],
    duplicates: Sequence[Duplicate],
    arguments: argparse.Namespace,
) -> None:
    out.mkdir(parents=True, exist_ok=True)
    write_splits(out, splits)
    slides = [slide for split in SPLITS for slide in getattr(splits, split)]
    if all(slide in donors for slide in slides) and (duplicates or not is_file(out / DONORS)):
        write_csv_donors(out / DONORS, {slide: donors[slide] for slide in slides})
    record = {
        "by": arguments.by,
        "stratify": arguments.stratify,
        "seed": arguments.seed,
        **{split: getattr(arguments, split) for split in SPLITS},
        "duplicates": [[pair.a, pair.b] for pair in duplicates],
        "sections_compared": not _is_catalogue(user_path(arguments.name)),
    }
    write_split_record(out, record)


def _say(
    slides: Sequence[SlideRow],
    splits: Splits,
    donors: Mapping[str, str],
    duplicates: Sequence[Duplicate],
    out: Path,
) -> None:
    known = {row.slide: row for row in slides}
    for pair in duplicates:
        print(f"one section under two ids: {pair.a} and {pair.b} ({pair.told}); they stay on one side")
    for split in SPLITS:
        names = getattr(splits, split)
        whose = f" of {many(len({donors.get(s, s) for s in names}), 'donor')}" if donors else ""
        kinds = [known[slide].technology or "technology unknown" for slide in names]
        told = ", ".join(f"{kinds.count(kind)} {kind}" for kind in sorted(set(kinds)))
        print(f"{split}: {many(len(names), 'slide')}{whose} ({told})")
    own = {donors[s] for s in splits.test if s in donors}
    crossing = own & {donors[s] for s in (*splits.train, *splits.val) if s in donors}
    if crossing:
        print(
            f"note: {many(len(crossing), 'donor')} of test slides also on another side: the test says nothing of new donors"
        )
    print(out)
