"""What a user can put right: one line that says what, where, and the way out."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

_LONGEST = 1500  # characters of a message
_LONGEST_NAME = 200


class InputError(ValueError):
    """A rule that the user's input broke. Command lines print the message and exit with 2.

    Whatever a message quotes, it is one printable line of at most about 1,500 characters: a name or a value from a
    file can neither break the line, nor move the cursor, nor fill the screen.
    """

    def __init__(self, message: str) -> None:
        super().__init__(shorten(printable(message), _LONGEST))


class ConfigError(InputError):
    """A YAML file or an override that cannot be accepted."""


class DataError(InputError):
    """A data set (shard, split file, slide, spot) that cannot be accepted."""


def printable(text: str) -> str:
    """One line without control characters, so that a name or an error from data cannot move the cursor."""
    return "".join(c for c in " ".join(text.split()) if c.isprintable())


def shorten(text: str, longest: int) -> str:
    """A text of at most `longest` characters: what is too long loses its middle."""
    half = (longest - 5) // 2
    return text if len(text) <= longest else f"{text[:half]} ... {text[-half:]}"


def unknown_name(kind: str, name: str, known: Iterable[str]) -> str:
    """One line for a name that is not in a list: the name, the nearest known one, and all of them."""
    names, name = sorted(known), shorten(name, _LONGEST_NAME)
    near = get_close_matches(name, names, n=1, cutoff=0.5)
    hint = f"; did you mean '{near[0]}'?" if near else "."
    return f"unknown {kind} '{name}'{hint} Known: {', '.join(names)}"
