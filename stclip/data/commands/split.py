"""`python -m stclip.data split`: which slides train, validate and test, no donor on two sides."""

from __future__ import annotations

import argparse
import csv
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from stclip.config import DataConfig
from stclip.data.commands.parsers import Commands
from stclip.data.donors import DONORS
from stclip.data.duplicates import Duplicate, find_duplicates
from stclip.data.locate import dataset_dir
from stclip.data.slide_table import (
    SlideRow,
    catalogue_slides,
    count_spots,
    dataset_slides,
    read_manifest,
    read_section,
)
from stclip.data.split_search import search_split
from stclip.data.splits import SPLITS, Splits, write_splits
from stclip.errors import InputError, unknown_name
from stclip.paths import user_path
from stclip.words import many

SHARES = {"train": "0.7", "val": "0.1", "test": "0.2"}


def add(commands: Commands) -> None:
    """Describe the command."""
    parser = commands.add_parser(
        "split",
        help="choose the slides that train, validate and test",
        description="Write train_samples.txt, val_samples.txt and test_samples.txt. No donor stands on two sides, and no section "
        "that is there under two ids; the latter are looked for.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "name",
        metavar="NAME",
        help="a data set, by name or folder; or a catalogue: a .csv with id, donor, st_technology",
    )
    parser.add_argument(
        "--root", type=Path, metavar="DIR", help="where data sets lie (default: data/processed)"
    )
    parser.add_argument(
        "--out",
        type=user_path,
        metavar="DIR",
        help="where the files go (default: into the data set; needed with a catalogue)",
    )
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
    parser.set_defaults(command=run)


def run(arguments: argparse.Namespace) -> int:
    """Write the split and say what it is. Raises InputError when it cannot be made as asked."""
    if arguments.name.endswith(".csv"):
        if arguments.out is None:
            raise InputError(
                f"{arguments.name} is a catalogue, not a data set: say with --out where the split goes"
            )
        slides, folder, out = catalogue_slides(user_path(arguments.name)), None, arguments.out
        duplicates: list[Duplicate] = []
    else:
        folder = dataset_dir(DataConfig(dataset=arguments.name, root=arguments.root))
        slides, out = dataset_slides(folder), arguments.out or folder
        duplicates = _duplicates(folder, slides)
    donors = merged_donors(slides, duplicates)
    splits = _split(slides, donors, duplicates, arguments)
    out.mkdir(parents=True, exist_ok=True)
    write_splits(out, splits)
    if folder is None:
        _write_donors(out / DONORS, donors, splits)
    elif out == folder:
        _note_in_manifest(folder, donors, duplicates, arguments)
    _say(slides, splits, donors, duplicates, out)
    return 0


def merged_donors(slides: Sequence[SlideRow], duplicates: Sequence[Duplicate]) -> dict[str, str]:
    """Slide -> donor, for slides whose donor is known or that are a duplicate; slides of one section have one donor."""
    donors = {row.slide: row.donor for row in slides if row.donor is not None}
    for pair in duplicates:
        one, other = donors.get(pair.a, pair.a), donors.get(pair.b, pair.b)
        joined = " = ".join(sorted({*one.split(" = "), *other.split(" = ")}))
        donors = {slide: joined if donor in (one, other) else donor for slide, donor in donors.items()}
        donors[pair.a] = donors[pair.b] = joined
    return donors


def _duplicates(folder: Path, slides: Sequence[SlideRow]) -> list[Duplicate]:
    spots = {row.slide: count_spots(folder, row.slide) if row.spots is None else row.spots for row in slides}
    sizes = {row.slide: row.image_size for row in slides if row.image_size}
    return find_duplicates(spots, sizes, lambda slide: read_section(folder, slide))


def _split(
    slides: Sequence[SlideRow],
    donors: Mapping[str, str],
    duplicates: Sequence[Duplicate],
    arguments: argparse.Namespace,
) -> Splits:
    groups = _groups(slides, donors, duplicates, arguments.by)
    given = {split: getattr(arguments, split) for split in SPLITS}
    if not any(_share(text) is None for text in given.values()):
        shares = [_share(text) or 0.0 for text in given.values()]
        if not math.isclose(sum(shares), 1.0, abs_tol=1e-6) or min(shares) <= 0:
            got = ", ".join(f"--{split} {text}" for split, text in given.items())
            raise InputError(f"the three shares must be above 0 and sum to 1, got {got}")
        if len(set(groups.values())) < len(SPLITS):
            raise InputError(_too_few(len(slides), len(set(groups.values())), arguments.by))
        strata = {row.slide: (row.technology if arguments.stratify else None) or "unknown" for row in slides}
        return search_split(groups, strata, shares, arguments.seed)
    return _named_split(given, groups, arguments.by)


def _too_few(slides: int, groups: int, by: str) -> str:
    if by == "slide":
        return f"{many(groups, 'section')} cannot be split onto three sides; bring in more slides"
    return (
        f"{many(slides, 'slide')} of {many(groups, 'donor')} cannot be split by donor onto three sides; get slides of more "
        "donors, or use --by slide, and mind that the test then says nothing of new donors"
    )


def _groups(
    slides: Sequence[SlideRow], donors: Mapping[str, str], duplicates: Sequence[Duplicate], by: str
) -> dict[str, str]:
    if by == "donor":
        unknown = [row.slide for row in slides if row.slide not in donors]
        if unknown:
            raise InputError(
                f"the donor of {len(unknown)} of {len(slides)} slides is not known (such as {unknown[0]}); write donors.csv with "
                "the columns slide,donor into the data set, or use --by slide"
            )
        return (
            dict(donors) if len(donors) == len(slides) else {row.slide: donors[row.slide] for row in slides}
        )
    groups = {row.slide: row.slide for row in slides}
    for pair in duplicates:
        joined, old = groups[pair.a], groups[pair.b]
        groups = {slide: joined if group == old else group for slide, group in groups.items()}
    return groups


def _share(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _named_split(given: Mapping[str, str], groups: Mapping[str, str], by: str) -> Splits:
    """A split whose slides are named; no group may stand on two sides."""
    sides: dict[str, tuple[str, ...]] = {}
    for split, text in given.items():
        if _share(text) is not None:
            raise InputError(
                f"--{split} is the share {text} while another is a list of slides; give three shares or three lists"
            )
        sides[split] = tuple(word.strip() for word in text.split(",") if word.strip())
        for slide in sides[split]:
            if slide not in groups:
                raise InputError(f"--{split}: {unknown_name('slide', slide, groups)}")
    seen: dict[str, tuple[str, str]] = {}
    for split, slides in sides.items():
        for slide in slides:
            first, where = seen.setdefault(groups[slide], (slide, split))
            if where != split:
                what = "the donor" if by == "donor" else "the section"
                raise InputError(
                    f"slides '{first}' in {where} and '{slide}' in {split} share {what} '{groups[slide]}'; keep them on one side"
                    + (
                        ", or use --by slide, and mind that the test then says nothing of new donors"
                        if by == "donor"
                        else ""
                    )
                )
    return Splits(**sides)


def _write_donors(path: Path, donors: Mapping[str, str], splits: Splits) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["slide", "donor"])
        writer.writerows([slide, donors[slide]] for split in SPLITS for slide in getattr(splits, split))


def _note_in_manifest(
    folder: Path, donors: Mapping[str, str], duplicates: Sequence[Duplicate], arguments: argparse.Namespace
) -> None:
    """How the split was made, and the donors with duplicates joined, for who reads the data set later."""
    manifest: dict[str, Any] = read_manifest(folder)
    manifest["split"] = {
        "by": arguments.by,
        "stratify": arguments.stratify,
        "seed": arguments.seed,
        **{split: getattr(arguments, split) for split in SPLITS},
        "duplicates": [[pair.a, pair.b] for pair in duplicates],
    }
    if donors:
        manifest["donor"] = dict(donors)
    partial = folder / ".manifest.json.partial"
    partial.write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")
    partial.replace(folder / "manifest.json")


def _say(
    slides: Sequence[SlideRow],
    splits: Splits,
    donors: Mapping[str, str],
    duplicates: Sequence[Duplicate],
    out: Path,
) -> None:
    known = {row.slide: row for row in slides}
    for pair in duplicates:
        print(
            f"one section under two ids: {pair.a} and {pair.b} ({pair.matched:.0%} of the spots lie at a spot of the other, "
            f"their expression correlates by {pair.correlation:.2f}); they stay on one side"
        )
    for split in SPLITS:
        names = getattr(splits, split)
        whose = f" of {many(len({donors.get(s, s) for s in names}), 'donor')}" if donors else ""
        kinds: dict[str, int] = {}
        for slide in names:
            kind = known[slide].technology or "technology unknown"
            kinds[kind] = kinds.get(kind, 0) + 1
        told = ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items()))
        print(f"{split}: {many(len(names), 'slide')}{whose} ({told})")
    crossing = {donors.get(s) for s in splits.test} & {
        donors.get(s) for s in (*splits.train, *splits.val)
    } - {None}
    if crossing:
        print(
            f"note: {many(len(crossing), 'donor')} of test slides also on the other sides: what is measured says nothing of new "
            "donors"
        )
    print(out)
