"""Which genes vary most between the spots of the training slides."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from stclip.data.raw.expression import check_counts
from stclip.data.raw.slide import Source
from stclip.data.raw.symbols import SymbolMap

BINS = 20
LEAST_IN_BIN = 20  # genes; a small panel has fewer bins
LEAST_SPOTS = 3  # a gene counts on a slide where it is expressed in so many spots,
LEAST_SHARE = 0.01  # and in this share of them
BLOCK = 1024  # spots in memory at once
LIBRARY = 1e4  # counts of a spot after normalisation


@dataclass(frozen=True)
class SlideVariability:
    """How variable each gene is on one slide."""

    symbols: tuple[str, ...]
    score: np.ndarray  # float64, normalised dispersion; NaN for a gene that is too rare to say


def slide_variability(
    source: Source, slide: str, species: str | None, tell: Callable[[int], None] = lambda slides: None
) -> SlideVariability:
    """Reads the counts of a slide once; `tell` hears of the slide's end. Raises DataError when they cannot be used."""
    with source.opened(slide) as raw:
        columns = SymbolMap.of(raw.genes, species, raw.where)
        size = len(columns.symbols)
        total, squares, expressed = np.zeros(size), np.zeros(size), np.zeros(size)
        spots = len(raw.names)
        for start in range(0, spots, BLOCK):
            stop = min(start + BLOCK, spots)
            block = raw.counts(start, stop)
            check_counts(block, raw.names[start:stop], raw.genes, raw.where, raw.way_out)
            counts = columns.merge(block)
            totals = np.asarray(counts.sum(1, dtype=np.float64)).ravel()
            scale = LIBRARY / np.where(totals > 0, totals, 1.0)
            values = counts.data * np.repeat(scale, np.diff(counts.indptr))
            total += np.bincount(counts.indices, values, size)
            squares += np.bincount(counts.indices, values**2, size)
            expressed += np.bincount(counts.indices, counts.data > 0, size)
    enough = expressed >= max(LEAST_SPOTS, LEAST_SHARE * spots)
    score = np.full(size, np.nan)
    mean = total[enough] / spots
    score[enough] = normalised_dispersion(mean, squares[enough] / spots - mean**2)
    tell(1)
    return SlideVariability(columns.symbols, score)


def normalised_dispersion(mean: np.ndarray, variance: np.ndarray) -> np.ndarray:
    """log(variance / mean) of each gene, against the genes of like mean, as Cell Ranger does (Zheng et al. 2017).

    `mean` > 0 and `variance` [genes], of library-normalised counts. Genes fall into up to 20 bins of equal number by their mean;
    from each the bin's median is taken, and what is left is divided by the bin's median absolute deviation (or by 1 where
    that is 0).
    """
    dispersion = np.log(np.maximum(variance, 1e-12) / mean)
    bins = max(1, min(BINS, len(mean) // LEAST_IN_BIN))
    edges = np.quantile(mean, np.linspace(0, 1, bins + 1)[1:-1]) if bins > 1 else np.zeros(0)
    place = np.searchsorted(edges, mean, side="right")
    score = np.empty_like(dispersion)
    for one in np.unique(place):
        inside = place == one
        away = dispersion[inside] - np.median(dispersion[inside])
        spread = np.median(np.abs(away))
        score[inside] = away / (spread if spread > 0 else 1.0)
    return score


def variable_genes(slides: Sequence[SlideVariability], count: int) -> tuple[str, ...]:
    """The `count` most variable genes, sorted by name; fewer when there are not so many.

    Each slide votes for its own `count` most variable ones, so that a shift between slides is not taken for variation; votes
    come first, then the median score over the slides that could tell, then the alphabet.
    """
    scores: dict[str, list[float]] = {}
    votes: dict[str, int] = {}
    for slide in slides:
        known = np.flatnonzero(~np.isnan(slide.score))
        order = known[np.lexsort((known, -slide.score[known]))]
        for rank, gene in enumerate(order):
            symbol = slide.symbols[gene]
            scores.setdefault(symbol, []).append(float(slide.score[gene]))
            votes[symbol] = votes.get(symbol, 0) + (rank < count)
    ranked = sorted(scores, key=lambda symbol: (-votes[symbol], -float(np.median(scores[symbol])), symbol))
    return tuple(sorted(ranked[:count]))
