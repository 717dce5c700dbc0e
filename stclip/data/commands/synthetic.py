"""`python -m stclip.data synthetic`: make a built-in data set."""

from __future__ import annotations

import argparse
from pathlib import Path

from stclip.config import DataConfig
from stclip.data.builtin.synthetic import SYNTHETIC, builtin_spec, ensure_builtin
from stclip.data.commands.parsers import Commands
from stclip.terminal.progress import ProgressBar


def add(commands: Commands) -> None:
    """Describe the command."""
    known = "; ".join(f"{name}: {spec.about}" for name, spec in SYNTHETIC.items())
    parser = commands.add_parser(
        "synthetic",
        help="make a built-in data set",
        description=f"Make a built-in data set ({known}).",
        allow_abbrev=False,
    )
    parser.add_argument(
        "name", nargs="?", default="synthetic_medium", metavar="NAME", help="default: %(default)s"
    )
    parser.add_argument(
        "--root", type=Path, metavar="DIR", help="where data sets lie (default: data/processed)"
    )
    parser.add_argument("--quiet", action="store_true", help="no progress bar")
    parser.set_defaults(command=run)


def run(arguments: argparse.Namespace) -> int:
    """Make a built-in data set unless it is there, and print its folder."""
    builtin_spec(arguments.name)
    with ProgressBar(f"making {arguments.name}", arguments.quiet) as bar:
        folder = ensure_builtin(DataConfig(dataset=arguments.name, root=arguments.root), bar.update)
    print(folder)
    return 0
