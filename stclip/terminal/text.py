"""Words that fit their number."""

from __future__ import annotations


def many(count: int, word: str, plural: str | None = None) -> str:
    """`1 seed`, `5 seeds`; `plural` for a word that takes more than an s."""
    return f"{count} {word if count == 1 else plural or f'{word}s'}"
