"""A report as Markdown. Every name and value from the files is escaped."""

from __future__ import annotations

import html
import re
from collections.abc import Sequence
from typing import Any

from sweeps.reporting.blocks import Block, Bullets, Report, Table
from sweeps.text import printable

_MARKDOWN = re.compile(r"([\\`*\[\]|~#]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9]))")  # _ within a word is no markup


def markdown_text(report: Report) -> str:
    """The content of report.md."""
    parts = [f"# {md(report.title)}", md(report.status)]
    for section in (*report.found, *report.ran):
        parts += [f"## {section.title}", *map(_block, section.blocks)]
    return "\n\n".join(parts) + "\n"


def md(value: Any) -> str:
    """A value as inert Markdown text: one line, no markup, no table cell's end, no HTML."""
    return _MARKDOWN.sub(r"\\\1", html.escape(printable(str(value)), quote=False))


def _block(block: Block) -> str:
    if isinstance(block, Table):
        return "\n".join(map(_line, [[*map(md, block.head)], ["---"] * len(block.head), *_cells(block)]))
    if isinstance(block, Bullets):
        return "\n".join(f"- {md(line)}" for line in block.lines)
    return md(block)


def _cells(table: Table) -> list[list[str]]:
    return [[md(cell) for cell in row] for row in table.rows]


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
