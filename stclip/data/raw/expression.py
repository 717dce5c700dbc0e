"""Counts of a slide, a block of spots at a time: checked, and ranked into gene sentences."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from stclip.errors import DataError

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix


def check_counts(
    counts: csr_matrix, spots: Sequence[str], genes: Sequence[str], where: str, way_out: str
) -> None:
    """Raise DataError unless all are counts: finite, >= 0, whole.

    The message names the slide's file `where`, a spot, a gene, and the `way_out`: where raw counts belong.
    """
    values = counts.data
    for wrong, what in (
        (~np.isfinite(values), "must be finite"),
        (values < 0, "must not be negative"),
        (values != np.floor(values), "must be whole numbers"),
    ):
        if wrong.any():
            at = int(np.flatnonzero(wrong)[0])
            row = int(np.searchsorted(counts.indptr, at, side="right")) - 1
            raise DataError(
                f"{where}: counts {what}, got {values[at]:g} for gene '{genes[counts.indices[at]]}' of spot "
                f"'{spots[row]}' ({int(wrong.sum())} such in these {len(spots)} spots); {way_out}"
            )


def gene_sentences(counts: csr_matrix, symbols: Sequence[str], top: int) -> list[list[str]]:
    """For each row of counts [n, genes]: its expressed genes, most expressed first, at most `top`.

    `symbols` are the columns' names, sorted: equal counts stand in the order of the alphabet. Within a spot, library-size
    normalisation and log1p keep the order, so the counts themselves are compared, which no rounding can tie.
    """
    sentences = []
    for row in range(counts.shape[0]):
        span = slice(counts.indptr[row], counts.indptr[row + 1])
        values, genes = counts.data[span], counts.indices[span]
        expressed = values > 0
        values, genes = values[expressed], genes[expressed]
        if len(values) > top:
            kept = values >= np.partition(values, -top)[-top]
            values, genes = values[kept], genes[kept]
        order = np.lexsort((genes, -values))[:top]
        sentences.append([symbols[gene] for gene in genes[order]])
    return sentences
