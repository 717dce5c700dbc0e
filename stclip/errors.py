"""What a user can put right: one line that says what, where, and the way out."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class InputError(ValueError):
    """A rule that the user's input broke. Command lines print the message and exit with 2."""


class ConfigError(InputError):
    """A YAML file or an override that cannot be accepted."""


class DataError(InputError):
    """A data set (shard, split file, slide, spot) that cannot be accepted."""


def unknown_name(kind: str, name: str, known: Iterable[str]) -> str:
    """One line for a name that is not in a list: the name, the nearest known one, and all of them."""
    names = sorted(known)
    near = get_close_matches(name, names, n=1, cutoff=0.5)
    hint = f"; did you mean '{near[0]}'?" if near else "."
    return f"unknown {kind} '{name}'{hint} Known: {', '.join(names)}"
