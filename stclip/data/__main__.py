"""Data sets from the command line: `python -m stclip.data --help`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from stclip.data.commands import check, hest, info, split, synthetic, visium
from stclip.errors import InputError
from stclip.terminal.output import run_command
from stclip.terminal.parser import OneLineParser

COMMANDS = (synthetic, hest, visium, split, check, info)


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line as a namespace; `command` is the function to call with it."""
    parser = OneLineParser(
        prog="python -m stclip.data", description="Make data sets, and look at them.", allow_abbrev=False
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for one in COMMANDS:
        one.add(commands)
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status: 0; 1 when something of the data is wrong, 2 for bad input, 130 after Ctrl-C."""
    parsed = parse(arguments)
    try:
        return int(parsed.command(parsed))
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted; the same command goes on where it was", file=sys.stderr)
        return 130


if __name__ == "__main__":
    run_command(main)
