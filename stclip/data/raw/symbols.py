"""Gene symbols as the data sets spell them, brought to one spelling, so that a gene is one word on all slides."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from stclip.errors import DataError, shorten

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

HUMAN = "Homo sapiens"
_GENOME = re.compile(
    r"^(?:GRCh|GRCm|hg|mm)\d+_+", re.IGNORECASE
)  # Space Ranger's prefix with several genomes
_CONTROL = re.compile(  # probes of imaging platforms that stand for no gene
    r"^(?:BLANK|NegControl|NegPrb|Negative|antisense|(?:Unassigned|Deprecated|Intergenic)(?:Region|Codeword)?)"
    r"(?:Probe|Codeword)?[-_ ]?",
    re.IGNORECASE,
)
_VERSION = re.compile(r"^(.+)\.\d+$")
# Names of clones end in a dot and a number that tells genes of one clone apart: AC241377.1, RP11-206L10.2.
_CLONE = re.compile(r"^(?:[A-Z]{1,2}\d{5,6}|[A-Z]\w*-\w*\d[A-Z]\d+)\.\d+$", re.IGNORECASE)
_ORF = re.compile(r"^C(\d+|X|Y)ORF(\d+.*)$")  # HGNC writes C1orf159, the only lower case in a human symbol


def harmonised(name: str, species: str | None = None) -> str | None:
    """One spelling of a gene's name; None for a control probe, or nothing at all. Without a species it is taken for human.

    Outer blanks and a genome's prefix go; so does a version (`ENSG00000141510.12`, `WDFY4.1`) unless it is part of a
    clone's name (`AC241377.1`). Blanks inside become `-`, since a sentence is split at blanks. Human symbols are written in
    capitals but for `orf`, as HGNC does; those of other species keep their case, which carries meaning there (`mt-Nd1`).
    """
    name = "-".join(_GENOME.sub("", name.strip()).split())
    if not name or _CONTROL.match(name):
        return None
    version = None if _CLONE.match(name) else _VERSION.match(name)
    name = version.group(1) if version else name
    return _ORF.sub(r"C\1orf\2", name.upper()) if species in (None, HUMAN) else name


@dataclass(frozen=True)
class SymbolMap:
    """From the columns of a count matrix to harmonised symbols; columns of one symbol are added up."""

    symbols: tuple[str, ...]  # sorted
    assignment: csr_matrix  # float32 [columns, symbols], one 1 a row, none for a column that is no gene
    controls: int  # columns that stand for no gene
    merged: int  # columns that joined another of the same symbol

    @classmethod
    def of(cls, names: Sequence[str], species: str | None = None) -> SymbolMap:
        """Of a matrix whose columns have these names; see `harmonised`."""
        found = [harmonised(name, species) for name in names]
        return cls._assigned(found, sorted({symbol for symbol in found if symbol is not None}))

    @classmethod
    def _assigned(cls, found: Sequence[str | None], symbols: Sequence[str]) -> SymbolMap:
        from scipy.sparse import csr_matrix

        place = {symbol: at for at, symbol in enumerate(symbols)}
        rows = [at for at, symbol in enumerate(found) if symbol is not None]
        columns = [place[symbol] for symbol in found if symbol is not None]
        shape = (len(found), len(symbols))
        ones = csr_matrix((np.ones(len(rows), np.float32), (rows, columns)), shape=shape)
        return cls(tuple(symbols), ones, found.count(None), len(rows) - len(symbols))

    def merge(self, counts: csr_matrix) -> csr_matrix:
        """Counts [n, columns] -> [n, symbols]."""
        return (counts @ self.assignment).tocsr()

    def places(self, panel: Iterable[str] | None, where: str) -> np.ndarray:
        """The places of a panel's symbols among `symbols`, ascending, int64; all without a panel.

        Raises DataError, naming `where`, when none of them is there.
        """
        if panel is None:
            return np.arange(len(self.symbols))
        wanted = set(panel)
        places = np.array([at for at, symbol in enumerate(self.symbols) if symbol in wanted], dtype=np.int64)
        if not len(places):
            raise DataError(
                f"{where}: no gene in common with the panel: its {len(self.symbols)} genes are such as "
                f"{_few(self.symbols)}, the panel's {len(wanted)} such as {_few(sorted(wanted))}; "
                "give a panel of the same species and naming with --genes"
            )
        return places


def _few(names: Sequence[str]) -> str:
    return shorten(", ".join(names[:3]), 120)
