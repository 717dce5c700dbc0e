"""Words that fit their number."""

from __future__ import annotations


def many(count: int, word: str) -> str:
    """`1 seed`, `5 seeds`."""
    return f"{count} {word}{'' if count == 1 else 's'}"
