"""What a report is made of: sections of paragraphs, lists and tables, in plain text.

Whoever writes them down escapes them (`sweeps.reporting.markdown`, `sweeps.reporting.html_page`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Table:
    """`rows` have as many cells as `head`."""

    head: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True)
class Bullets:
    """A list of sentences."""

    lines: Sequence[str]


Block = str | Table | Bullets  # a string is a paragraph


@dataclass(frozen=True)
class Section:
    """A title and what stands under it."""

    title: str
    blocks: Sequence[Block]


@dataclass(frozen=True)
class Report:
    """`title` and `status` come first, then `found`; what has figures of it shows them between `found` and `ran`."""

    title: str
    status: str
    found: Sequence[Section]
    ran: Sequence[Section]
