"""Gene symbols as the data sets spell them, brought to one spelling, so that a gene is one word on all slides."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from stclip.errors import DataError, shorten

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

HUMAN = "Homo sapiens"
ENSEMBL = re.compile(r"^ENS[A-Z]*G\d{6,}")
# The prefix of Space Ranger with several genomes, GRCh38_TP53 and mm10___Tp53; other programs write GRCh38-TP53.
GENOME = re.compile(
    r"^(GRC[a-z]\d+(?:\.p\d+)?|hg\d+|mm\d+|rn\d+|mRatBN\d+(?:\.\d+)?|Rnor_\d+(?:\.\d+)?)[-_]+(?=.)",
    re.IGNORECASE,
)
_CONTROL = re.compile(  # probes of imaging platforms that stand for no gene
    r"^(?:BLANK|NegControl|NegPrb|Negative|antisense|(?:Unassigned|Deprecated|Intergenic)(?:Region|Codeword)?)"
    r"(?:Probe|Codeword)?[-_ ]?",
    re.IGNORECASE,
)
_BYTES = re.compile(r"^b(['\"])(.*)\1$")  # a name that went through str(bytes)
_NOT_A_GENE = re.compile(
    r"[-+]?[\d.]+(?:e[-+]?\d+)?"  # a row's number, an Entrez id, a date as a spreadsheet counts it
    r"|\d{1,2}-(?:jan|feb|mar|apr|may|jun|jul|aug|sept?|oct|nov|dec)[a-z]*(?:-\d+)?"  # what a spreadsheet makes of MARCH1
    r"|(?:jan|feb|mar|apr|may|jun|jul|aug|sept?|oct|nov|dec)[a-z]*-\d{2,4}"
    r"|\d{4}-\d{2}-\d{2}.*"
    r"|(?:V|X|var|feature|column|Unnamed:)[-_ ]?\d+"  # what R and pandas call columns without names
    r"|nan|none|null|<na>|n/?a|",
    re.IGNORECASE,
)
_VERSION = re.compile(r"^(.+)\.\d+$")
# Names of clones end in a dot and a number that tells genes of one clone apart: AC241377.1, RP11-206L10.2.
_CLONE = re.compile(r"^(?:[A-Z]{1,2}\d{5,6}|[A-Z]\w*[-.]\w*\d[A-Z]\d+)\.\d+$", re.IGNORECASE)
_ORF = re.compile(r"^C(\d+|X|Y)ORF(\d+.*)$")  # HGNC writes C1orf159, the only lower case in a human symbol
# HLA.A: a hyphen that R's make.names took for a minus sign.
_DOTTED = re.compile(r"^[A-Z]\w*\.[A-Z]", re.IGNORECASE)
FEWEST_OTHER_CASE = 5  # symbols in two spellings that differ in case, and
OTHER_CASE = 0.05  # share of them, from which on a matrix holds genes of two species


def gene_name(name: str) -> str | None:
    """The name without outer blanks and the marks of Python's bytes.

    None for what names no gene: a number, a date, nothing, control characters.
    """
    name = name.strip()
    quoted = _BYTES.match(name)
    name = quoted[2].strip() if quoted else name
    return None if _NOT_A_GENE.fullmatch(name) or not name.isprintable() else name


def harmonised(name: str, species: str | None = None, versions: bool = True) -> str | None:
    """One spelling of a gene's name; None for a control probe, or nothing at all. Without a species it is taken for human.

    Outer blanks and a genome's prefix go; so does, unless `versions` is false, a version (`ENSG00000141510.12`, `WDFY4.1`)
    that is not part of a clone's name (`AC241377.1`). Blanks inside become `-`, since a sentence is split at blanks. Human
    symbols are written in capitals but for `orf`, as HGNC does; those of other species keep their case, which carries meaning
    there (`mt-Nd1`).
    """
    known = gene_name(name)
    if known is None:
        return None
    name = "-".join(GENOME.sub("", known).split())
    if not name or _CONTROL.match(name):
        return None
    version = None if _CLONE.match(name) else _VERSION.match(name)
    name = version.group(1) if version and (versions or ENSEMBL.match(name)) else name
    return _ORF.sub(r"C\1orf\2", name.upper()) if species in (None, HUMAN) else name


def panel_symbols(words: Iterable[str], species: str | None) -> tuple[str, ...]:
    """The symbols of a panel, sorted: as they are, and without a number at the end that may be a version."""
    found = {harmonised(word, species, versions) for word in words for versions in (True, False)}
    return tuple(sorted(symbol for symbol in found if symbol is not None))


@dataclass(frozen=True)
class SymbolMap:
    """From the columns of a count matrix to harmonised symbols; columns of one symbol are added up."""

    symbols: tuple[str, ...]  # sorted
    assignment: csr_matrix  # float32 [columns, symbols], one 1 a row, none for a column that is no gene
    others: tuple[str, ...]  # columns that stand for no gene: control probes, numbers, dates
    joined: dict[str, list[str]]  # symbol -> the columns that were added up, where they are several

    @property
    def controls(self) -> int:
        """Columns that stand for no gene."""
        return len(self.others)

    @property
    def merged(self) -> int:
        """Columns that joined another of the same symbol."""
        return sum(len(names) - 1 for names in self.joined.values())

    @classmethod
    def of(cls, names: Sequence[str], species: str | None = None, where: str = "a matrix") -> SymbolMap:
        """Of a matrix whose columns have these names; see `harmonised`.

        A number at a name's end is taken away where it tells apart columns of one gene (`VIM`, `VIM.1`), not where it is part of
        the name (`NKX2.1` and `NKX2.5`, whose hyphens R made dots: they get them back). Raises DataError, naming `where`, when
        genes of two species would be added up.
        """
        from scipy.sparse import csr_matrix

        found = _spelled(names, species)
        columns: dict[str, list[str]] = {}
        for name, symbol in zip(names, found, strict=True):
            if symbol is not None:
                columns.setdefault(symbol, []).append(name)
        _check_one_species(columns, where)
        symbols = sorted(columns)
        place = {symbol: at for at, symbol in enumerate(symbols)}
        pairs = [(at, place[symbol]) for at, symbol in enumerate(found) if symbol is not None]
        rows, places = zip(*pairs, strict=True) if pairs else ((), ())
        ones = csr_matrix((np.ones(len(pairs), np.float32), (rows, places)), shape=(len(found), len(symbols)))
        others = tuple(name for name, symbol in zip(names, found, strict=True) if symbol is None)
        return cls(tuple(symbols), ones, others, {s: own for s, own in columns.items() if len(own) > 1})

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


def _spelled(names: Sequence[str], species: str | None) -> list[str | None]:
    """The symbols of a matrix's columns, which together tell what a dot in a name is."""
    genes = [gene_name(name) for name in names]
    there = {name for name in genes if name is not None}
    dotted = sum(bool(_DOTTED.match(name)) for name in there)
    hyphens = sum("-" in name for name in there)
    stems = Counter(stem[1] for name in there if (stem := _VERSION.match(name)) and not _CLONE.match(name))
    found: list[str | None] = []
    for name in genes:
        stem = None if name is None or _CLONE.match(name) or ENSEMBL.match(name) else _VERSION.match(name)
        if name is None:
            found.append(None)
            continue
        if stem is not None and (stem[1] in there or (hyphens > dotted and stems[stem[1]] == 1)):
            name = stem[1]  # the number tells columns of one gene apart
        if dotted > hyphens:
            name = _hyphens_back(name)
        found.append(harmonised(name, species, versions=False))
    return found


def _hyphens_back(name: str) -> str:
    if ENSEMBL.match(name):
        return name
    clone = _CLONE.match(name)  # RP11.206L10.2: the last dot is its own
    stem, _, number = name.rpartition(".") if clone else (name, "", "")
    return f"{stem.replace('.', '-')}.{number}" if clone else stem.replace(".", "-")


def _check_one_species(columns: Mapping[str, Sequence[str]], where: str) -> None:
    """Human and mouse symbols differ in case only: many such pairs are two species, whose counts would be added up."""
    pairs = [pair for own in columns.values() if len(own) > 1 and (pair := _other_case(own)) is not None]
    if len(pairs) >= max(FEWEST_OTHER_CASE, OTHER_CASE * len(columns)):
        raise DataError(
            f"{where}: {len(pairs)} genes are there in two spellings such as {' and '.join(pairs[0])}, as genes of two species "
            "are, whose counts must not be added up; leave the columns of one species out"
        )


def _other_case(names: Sequence[str]) -> tuple[str, str] | None:
    """Two names that differ in case, and not in `orf` only."""
    seen: dict[str, str] = {}
    for name in names:
        first = seen.setdefault(name.upper(), name)
        if first.replace("orf", "ORF") != name.replace("orf", "ORF"):
            return first, name
    return None
