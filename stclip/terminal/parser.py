"""An argparse parser whose errors look like all others: one line on stderr, then exit status 2."""

from __future__ import annotations

import argparse
import sys
from typing import Any, NoReturn

from stclip.errors import InputError


class OneLineParser(argparse.ArgumentParser):
    """`argparse.ArgumentParser` without the usage in front of every error, which refuses empty values.

    An empty value is what a script gives whose variable is not set (`--results "$OUT"`): it would count as a flag that was
    left out, or as the folder one stands in.
    """

    def _get_value(self, action: argparse.Action, arg_string: str) -> Any:
        if not arg_string.strip():
            raise argparse.ArgumentError(
                action, f"is empty, got '{arg_string}'; give a value, or leave it out"
            )
        return super()._get_value(action, arg_string)

    def error(self, message: str) -> NoReturn:
        """Print one line and exit with 2."""
        print(f"error: {InputError(f'{message}; --help shows all flags')}", file=sys.stderr)
        sys.exit(2)
