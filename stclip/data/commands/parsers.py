"""What the commands' parsers share."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from stclip.config import DataConfig
from stclip.data.store.locate import dataset_dir
from stclip.processors import usable_processors

if TYPE_CHECKING:
    Commands: TypeAlias = argparse._SubParsersAction[argparse.ArgumentParser]
else:
    Commands = argparse._SubParsersAction


def add_dataset(parser: argparse.ArgumentParser, name_help: str = "a data set, by name or folder") -> None:
    """NAME and --root, as all commands take them that read a data set."""
    parser.add_argument("name", metavar="NAME", help=name_help)
    parser.add_argument(
        "--root", type=Path, metavar="DIR", help="where data sets lie (default: data/processed)"
    )


def dataset_folder(arguments: argparse.Namespace) -> Path:
    """The folder of NAME. Raises DataError when there is none."""
    return dataset_dir(DataConfig(dataset=arguments.name, root=arguments.root))


def add_work(parser: argparse.ArgumentParser) -> None:
    """--jobs and --quiet, of the commands that work on many slides."""
    parser.add_argument(
        "--jobs", type=count, default=usable_processors(), metavar="N",
        help="slides at a time (default: the number of cores that this process may use, here %(default)s)",
    )  # fmt: skip
    parser.add_argument("--quiet", action="store_true", help="no progress bar")


def add_source(parser: argparse.ArgumentParser) -> None:
    """--layer, --genome and --bin-microns, of the commands that read slides of any format."""
    add_layer(parser)
    add_genome(parser)
    add_bins(parser)


def add_layer(parser: argparse.ArgumentParser) -> None:
    """--layer."""
    parser.add_argument(
        "--layer", metavar="NAME",
        help="the layer of .h5ad files that holds the raw counts; raw: their raw/X (default: X)",
    )  # fmt: skip


def add_genome(parser: argparse.ArgumentParser) -> None:
    """--genome."""
    parser.add_argument(
        "--genome", metavar="NAME",
        help="whose genes are taken where a matrix has those of several genomes, such as GRCh38",
    )  # fmt: skip


def add_bins(parser: argparse.ArgumentParser) -> None:
    """--bin-microns."""
    parser.add_argument(
        "--bin-microns", type=count, default=16, metavar="UM",
        help="of Visium HD: the side of the squares that are taken for spots (default: %(default)s)",
    )  # fmt: skip


def count(text: str) -> int:
    """A whole number from 1 up."""
    try:
        number = int(text)
    except ValueError:
        number = 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number from 1 up, got '{text}'")
    return number
