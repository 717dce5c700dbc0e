"""Tables of slides on the terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.markup import escape
from rich.table import Table

from stclip.errors import printable


def make_table(left: Sequence[str], right: Sequence[str]) -> Table:
    """A table without lines, columns of words on the left, of numbers on the right."""
    table = Table(box=None, pad_edge=False)
    for name in left:
        table.add_column(name, overflow="fold", min_width=len(name))
    for name in right:
        table.add_column(name, justify="right")
    return table


def add_row(table: Table, *cells: object) -> None:
    """One row; None is shown as `-`, and what data put into a name cannot style or move anything."""
    table.add_row(*(escape(printable("-" if cell is None else str(cell))) for cell in cells))
