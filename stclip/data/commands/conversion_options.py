"""What the converters have in common: their options, the choice of slides and genes, what is said at the end."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from stclip.data.commands.each_slide import each_slide
from stclip.data.commands.parsers import add_work, count
from stclip.data.raw.conversion import Converted, convert, odd_sizes, survey
from stclip.data.raw.convert import ConversionSettings
from stclip.data.raw.slide import SlideFacts, Source
from stclip.data.raw.slide_pool import Failed
from stclip.data.raw.symbols import HUMAN, panel_symbols
from stclip.data.raw.variable_genes import slide_variability, variable_genes
from stclip.data.shards.donors import DONORS
from stclip.data.shards.splits import SPLITS, Splits, entries, read_slides, split_file, write_splits
from stclip.data.splitting.record import SPLIT_RECORD
from stclip.errors import DataError, InputError, printable, shorten, unknown_name
from stclip.files.paths import is_file, is_folder, user_path
from stclip.files.whole_files import read_own_text, write_whole
from stclip.terminal.progress import ProgressBar
from stclip.terminal.text import many

VARIABLE = "hvg:"
NAMES_SHOWN = 3  # of columns that joined another, or are of no gene


def add_options(parser: argparse.ArgumentParser, raw_help: str) -> None:
    """The options of every converter."""
    defaults = ConversionSettings()
    parser.add_argument("--raw", type=user_path, required=True, metavar="DIR", help=raw_help)
    parser.add_argument(
        "--out", type=user_path, required=True, metavar="DIR",
        help="the data set's folder, such as data/processed/NAME; made where missing",
    )  # fmt: skip
    parser.add_argument(
        "--slides", type=user_path, metavar="FILE", help="only the slides that this file names, an id a line"
    )
    parser.add_argument("--species", metavar="NAME", help=f"only slides of this species, such as '{HUMAN}'")
    parser.add_argument(
        "--genes", default="hvg:2000", metavar="WHICH",
        help="the genes that sentences are written of: all; hvg:N, the N that vary most on the training slides; or a file "
        "with a symbol a line (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--split", type=user_path, metavar="DIR",
        help="the folder of the split files that say which slides train (default: those in --out, where there are some); "
        "used by hvg:N, and copied to --out",
    )  # fmt: skip
    parser.add_argument(
        "--top",
        type=count,
        default=defaults.top,
        metavar="N",
        help="genes of a sentence (default: %(default)s)",
    )
    parser.add_argument(
        "--min-genes", type=count, default=defaults.min_genes, metavar="N",
        help="leave out spots that express fewer of the genes (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--tile-size",
        type=count,
        metavar="PX",
        help="resize tiles to so many pixels a side (default: as they are)",
    )
    add_work(parser)


def run_conversion(source: Source, arguments: argparse.Namespace) -> int:
    """Convert what the options ask for, and say what came of it. Exit status 1 when a slide could not be used."""
    if not is_folder(arguments.raw):
        raise InputError(f"--raw {arguments.raw}: no such folder; give the one that holds the slides")
    slides = _chosen(source, arguments.slides)
    facts, errors = survey(source, slides, arguments.species)
    if not facts and not errors:
        raise InputError(
            f"--species '{arguments.species}': none of {len(slides)} slides is of it; check its spelling"
        )
    if arguments.tile_size is None:
        odd = odd_sizes(facts)
        errors |= odd
        facts = {slide: found for slide, found in facts.items() if slide not in odd}
    split = arguments.split or (arguments.out if is_file(split_file(arguments.out, "train")) else None)
    panel = _panel(source, facts, errors, split, arguments)
    settings = ConversionSettings(arguments.top, arguments.min_genes, arguments.tile_size, panel)
    with ProgressBar("converting spots", arguments.quiet) as bar:
        done = convert(source, facts, arguments.out, settings, arguments.jobs, bar.update)
    if arguments.split is not None and arguments.split.resolve() != arguments.out.resolve():
        _copy_split(arguments.split, arguments.out)
    done.errors = {**errors, **done.errors}
    _say(done, arguments.out)
    return 1 if done.errors else 0


def _chosen(source: Source, file: Path | None) -> Sequence[str]:
    there = source.slides()
    if file is None:
        return there
    slides = list(dict.fromkeys(_lines(file, "--slides", "one slide id a line")))
    for slide in slides:
        if slide not in there:
            raise InputError(f"--slides {file}: {unknown_name('slide', slide, there)}")
    return slides


def _lines(file: Path, flag: str, what: str) -> list[str]:
    try:
        text = file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"{flag} {file}: cannot be read as text ({error}); give a file with {what}"
        ) from None
    found = entries(text.splitlines())
    if not found:
        raise InputError(f"{flag} {file}: is empty; give a file with {what}")
    return found


def _panel(
    source: Source,
    facts: dict[str, SlideFacts],
    errors: dict[str, str],
    split: Path | None,
    arguments: argparse.Namespace,
) -> tuple[str, ...] | None:
    """The genes of `--genes`. A slide that cannot be read moves from `facts` to `errors`."""
    genes: str = arguments.genes
    if genes == "all":
        return None
    if not genes.startswith(VARIABLE):
        words = _lines(user_path(genes), "--genes", "one gene symbol a line, or give all or hvg:N")
        species = arguments.species or next((f.species for f in facts.values() if f.species), HUMAN)
        return panel_symbols(words, species)
    number = genes.removeprefix(VARIABLE)
    if not number.isdecimal() or int(number) < 1:
        raise InputError(f"--genes must be all, hvg:N with N from 1 up, or a file, got '{genes}'")
    training = _training(facts, split)
    tasks = {slide: (source, slide, facts[slide].species) for slide in training}
    found = each_slide("finding variable genes", slide_variability, tasks, len(training), arguments)
    for slide in [slide for slide, value in found.items() if isinstance(value, Failed)]:
        errors[slide] = found.pop(slide).why
        del facts[slide]
    return variable_genes(list(found.values()), int(number))


def _training(facts: Mapping[str, SlideFacts], split: Path | None) -> list[str]:
    if split is None:
        print(
            "note: genes are chosen on all slides, also those that will test; give the split with --split, or split the data "
            "set and run this command again",
            file=sys.stderr,
        )
        return list(facts)
    training = [slide for slide in read_slides(split, "train") if slide in facts]
    if not training:
        raise DataError(
            f"{split_file(split, 'train')}: names none of the slides that are brought in ({', '.join(list(facts)[:3])}, ...); "
            "give their split"
        )
    return training


def _copy_split(source: Path, out: Path) -> None:
    """The three files, and what lies with them: whose the slides are, how the split was made."""
    write_splits(out, Splits(*(read_slides(source, name) for name in SPLITS)))
    for name in (DONORS, SPLIT_RECORD):
        if is_file(source / name):
            write_whole(out / name, read_own_text(source / name))


def _say(done: Converted, out: Path) -> None:
    for error in done.errors.values():
        print(f"error: {error}", file=sys.stderr)
    records = done.records.values()
    spots, near_empty = sum(r.spots for r in records), sum(r.near_empty for r in records)
    unmatched, joined = sum(r.unmatched for r in records), [own for r in records for own in r.joined.items()]
    merged = sum(len(names) - 1 for _, names in joined)
    there = f" ({done.kept} of them there already)" if done.kept else ""
    print(
        f"{out}: {many(len(done.records), 'slide')}{there}, {many(spots, 'spot')}; left out: {near_empty} near-empty, "
        f"{unmatched} with counts or a tile only; {many(merged, 'column')} joined another of the same gene"
        + _such_as(sorted({f"{symbol}: {' + '.join(names)}" for symbol, names in joined}))
        + _no_genes([name for r in records for name in r.others])
        + (f"; {many(len(done.errors), 'slide')} could not be used" if done.errors else "")
    )


def _no_genes(names: Sequence[str]) -> str:
    return (
        f"; {many(len(names), 'column')} of no gene left out" + _such_as(sorted(set(names))) if names else ""
    )


def _such_as(shown: Sequence[str]) -> str:
    """A few of many, in brackets; nothing of none."""
    more = ", ..." if len(shown) > NAMES_SHOWN else ""
    return f" ({shorten(printable('; '.join(shown[:NAMES_SHOWN])), 200)}{more})" if shown else ""
