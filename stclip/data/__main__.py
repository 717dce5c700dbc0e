"""Data sets from the command line: `python -m stclip.data --help`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from stclip.config import DataConfig
from stclip.data.synthetic import SYNTHETIC, builtin_spec, ensure_builtin
from stclip.errors import InputError
from stclip.one_line_parser import OneLineParser


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line as a namespace; `command` is the function to call with it."""
    parser = OneLineParser(prog="python -m stclip.data", description="Make data sets.", allow_abbrev=False)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    known = "; ".join(f"{name}: {spec.about}" for name, spec in SYNTHETIC.items())
    synthetic = commands.add_parser(
        "synthetic",
        help="make a built-in data set",
        description=f"Make a built-in data set ({known}).",
        allow_abbrev=False,
    )
    synthetic.add_argument(
        "name", nargs="?", default="synthetic_medium", metavar="NAME", help="default: %(default)s"
    )
    synthetic.add_argument(
        "--root", type=Path, metavar="DIR", help="where data sets lie (default: data/processed)"
    )
    synthetic.add_argument("--quiet", action="store_true", help="no progress bar")
    synthetic.set_defaults(command=make_builtin)
    return parser.parse_args(arguments)


def make_builtin(arguments: argparse.Namespace) -> None:
    """Make a built-in data set unless it is there, and print its folder."""
    from stclip.progress import ProgressBar

    builtin_spec(arguments.name)
    with ProgressBar(f"making {arguments.name}", arguments.quiet) as bar:
        folder = ensure_builtin(DataConfig(dataset=arguments.name, root=arguments.root), bar.update)
    print(folder)


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status: 0, or 2 for bad input."""
    parsed = parse(arguments)
    try:
        parsed.command(parsed)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
