"""Gene sentences in the order of what is unusual on the slide, instead of what is most expressed."""

from __future__ import annotations

from typing import Literal

import numpy as np

SentenceOrder = Literal["none", "slide"]


def ordered_genes(
    genes: np.ndarray, slide_index: np.ndarray, num_genes: int, how: SentenceOrder
) -> np.ndarray:
    """Sentences [N, T] (gene ids, most expressed first, padded with -1) of spots on slides `slide_index` [N], int32 [N, T].

    `none`: as they are. `slide`: the same genes, ordered by how much more they weigh in this sentence than on average over the
    slide's spots among the N; a gene at rank r (from 0) weighs 1 / log2(r + 2), a gene that is not in a sentence 0. What all
    spots of a slide have in common then stands last. Of equal genes the more expressed comes first.
    """
    genes = np.asarray(genes, dtype=np.int32)
    if how == "none":
        return genes
    if how != "slide":
        raise ValueError(f"how must be none or slide, got {how!r}")
    weights = 1.0 / np.log2(np.arange(genes.shape[1]) + 2.0)
    out = np.empty_like(genes)
    for slide in np.unique(slide_index):
        rows = np.flatnonzero(slide_index == slide)
        own = genes[rows]
        there = own >= 0
        totals = np.bincount(own[there], np.broadcast_to(weights, own.shape)[there], num_genes)
        unusual = np.where(there, weights - totals[np.where(there, own, 0)] / len(rows), -np.inf)
        out[rows] = np.take_along_axis(own, np.argsort(-unusual, axis=1, kind="stable"), axis=1)
    return out
