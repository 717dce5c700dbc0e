"""An argparse parser whose errors look like all others: one line on stderr, then exit status 2."""

from __future__ import annotations

import argparse
import sys
from typing import NoReturn

from stclip.errors import InputError


class OneLineParser(argparse.ArgumentParser):
    """`argparse.ArgumentParser` without the usage in front of every error."""

    def error(self, message: str) -> NoReturn:
        """Print one line and exit with 2."""
        print(f"error: {InputError(f'{message}; --help shows all flags')}", file=sys.stderr)
        sys.exit(2)
