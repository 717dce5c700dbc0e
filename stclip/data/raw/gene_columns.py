"""Which columns of a count matrix are genes, of which genome, and where their names stand."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from stclip.data.raw.symbols import ENSEMBL, GENOME, gene_name
from stclip.errors import DataError, shorten, unknown_name
from stclip.terminal.text import many

GENE_EXPRESSION = "Gene Expression"  # the type of a feature that is a gene, as 10x has it
OTHER_FEATURES = (
    "Antibody Capture",
    "CRISPR Guide Capture",
    "Multiplexing Capture",
    "Antigen Capture",
    "Custom",
    "Peaks",
)
SYMBOL_COLUMNS = (
    "gene_symbols", "gene_symbol", "gene_name", "gene_names", "feature_name", "features", "symbol", "symbols", "SYMBOL",
    "Symbol", "hgnc_symbol", "gene_short_name", "gene", "genes", "Gene", "name", "_index", "index",
)  # fmt: skip
ID_COLUMNS = ("gene_ids", "gene_id", "ensembl_id", "ensembl_ids", "ensembl", "feature_id", "id", "ENSEMBL")
_SPECIES = re.compile(r"^(ENS[A-Z]*G)\d{6,}")
# The share of names that may be no genes, or ids, where names count as genes, or as symbols.
MOST_OTHERS = 0.5


@dataclass(frozen=True)
class GeneColumns:
    """The columns that are read, and what they are called, without a genome's prefix."""

    places: np.ndarray  # int64, places among all columns
    names: list[str]


def gene_columns(
    candidates: Mapping[str, Sequence[str]],
    kinds: Sequence[str] | None,
    genomes: Sequence[str] | None,
    genome: str | None,
    where: str,
) -> GeneColumns:
    """The genes among the columns, named by the first of `candidates` (a name a column, the best first) that holds symbols.

    `kinds` are 10x's feature types, of which only gene expression is taken; `genomes` the genome of each column where the file
    says it; `genome` the one to take. Raises DataError, naming `where`: no gene expression, names that are no genes, several
    genomes and none chosen.
    """
    count = len(next(iter(candidates.values())))
    places = _expressed(kinds, count, where)
    some = {key: [str(names[at]) for at in places] for key, names in candidates.items()}
    names = _named(some, where)
    said = None if genomes is None else [str(genomes[at]) for at in places]
    labels = _genomes(names, some, said)
    kept = _of_genome(labels, names, genome, where)
    return GeneColumns(places[kept], [_without_prefix(names[at], labels[at]) for at in kept])


def _expressed(kinds: Sequence[str] | None, count: int, where: str) -> np.ndarray:
    if kinds is None:
        return np.arange(count)
    found = np.flatnonzero(np.array([str(kind) == GENE_EXPRESSION for kind in kinds], dtype=bool))
    if len(found) or not count:
        return found
    told = ", ".join(f"'{kind}' ({number})" for kind, number in Counter(map(str, kinds)).most_common(4))
    raise DataError(
        f"{where}: has no feature of the type '{GENE_EXPRESSION}', its features are {told}; give a matrix of gene expression"
    )


def _named(candidates: Mapping[str, Sequence[str]], where: str) -> list[str]:
    """A name for each column: from the first candidate that holds symbols, else from the first that holds ids of genes.

    What is no gene there is looked up in the others.
    """
    genes = {key: [gene_name(name) for name in names] for key, names in candidates.items()}
    usable = {
        key: found
        for key, found in genes.items()
        if _share(found, lambda name: name is not None) > MOST_OTHERS
    }
    if not usable:
        shown = "; ".join(f"{key}: {_few(names)}" for key, names in list(candidates.items())[:4])
        raise DataError(
            f"{where}: its columns are not named by genes ({shown}); write gene symbols where the names stand"
        )
    symbols = [key for key, found in usable.items() if _share(found, _is_id) <= MOST_OTHERS]
    order = [
        *symbols,
        *(key for key in usable if key not in symbols),
        *(key for key in genes if key not in usable),
    ]
    first = next(iter(candidates.values()))
    return [
        next((name for key in order if (name := genes[key][at]) is not None), str(first[at]))
        for at in range(len(first))
    ]


def _genomes(
    names: Sequence[str], candidates: Mapping[str, Sequence[str]], said: Sequence[str] | None
) -> list[str | None]:
    """The genome of each column: by its name's prefix, else as the file says, else by the species of its Ensembl id."""
    found: list[str | None] = []
    for at, name in enumerate(names):
        prefix = next(
            (
                match
                for text in (name, *(c[at] for c in candidates.values()))
                if (match := GENOME.match(text))
            ),
            None,
        )
        told = (
            said[at].strip()
            if said is not None and said[at].strip().lower() not in ("", "nan", "none")
            else None
        )
        found.append(prefix[1] if prefix else told)
    if any(label is not None for label in found):
        return found
    for at in range(len(names)):
        ids = (match for texts in candidates.values() if (match := _SPECIES.match(texts[at])))
        found[at] = next((match[1] for match in ids), None)
    return found


def _of_genome(
    labels: Sequence[str | None], names: Sequence[str], genome: str | None, where: str
) -> list[int]:
    """The places of the columns of one genome: the one that there is, or else the one asked for."""
    there = Counter(label for label in labels if label is not None)
    if genome is not None:
        if genome not in there:
            raise DataError(f"{where}: {unknown_name('genome', genome, there)}")
        return [at for at, label in enumerate(labels) if label == genome]
    if len(there) > 1:
        told = " and ".join(f"{name} ({many(count, 'column')})" for name, count in there.most_common(3))
        raise DataError(
            f"{where}: holds genes of {len(there)} genomes, {told}, whose counts must not be added up; choose one, as in "
            f"--genome {there.most_common(1)[0][0]}"
        )
    own = {
        _without_prefix(name, label) for name, label in zip(names, labels, strict=True) if label is not None
    }
    both = [name for name, label in zip(names, labels, strict=True) if label is None and name in own]
    if both:
        label = next(iter(there))
        raise DataError(
            f"{where}: {many(len(both), 'gene')} such as {both[0]} stand there both with the genome {label} and without one; "
            f"take those with it by --genome {label}"
        )
    return list(range(len(labels)))


def _without_prefix(name: str, genome: str | None) -> str:
    bare = GENOME.sub("", name)
    if bare == name and genome and name.startswith((f"{genome}_", f"{genome}-")):
        bare = name[len(genome) :].lstrip("_-")
    return bare or name


def _is_id(name: str | None) -> bool:
    return name is not None and bool(ENSEMBL.match(GENOME.sub("", name)))


def _share(names: Sequence[str | None], is_so: Callable[[str | None], bool]) -> float:
    return sum(map(is_so, names)) / max(1, len(names))


def _few(names: Sequence[str]) -> str:
    return shorten(", ".join(names[:3]) or "none", 80)
