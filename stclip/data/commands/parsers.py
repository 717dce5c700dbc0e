"""What the commands' parsers share."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from stclip.config import DataConfig
from stclip.data.locate import dataset_dir
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


def count(text: str) -> int:
    """A whole number from 1 up."""
    try:
        number = int(text)
    except ValueError:
        number = 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number from 1 up, got '{text}'")
    return number
