"""The spots of a slide in a form that is compared fast: numbers for barcodes, sentences and genes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from stclip.data.raw.barcodes import without_lane

TOP = 50  # genes of a sentence that are compared
LEAST_WORDS = 8  # of a sentence that can tell a spot from others
SKETCH = 48  # numbers that stand for a spot's expression where a glance is enough
ROUNDING = 1e-6  # product of two norms below which nothing is left of both but the rounding of the mean
BLOCK = 2048  # spots in memory at once


class Vocabulary:
    """Genes as numbers, the same on all slides, and a random direction for each."""

    def __init__(self) -> None:
        self._ids: dict[str, int] = {}
        self._rng = np.random.default_rng(0)
        self._directions = np.zeros((0, SKETCH), np.float32)

    def genes(self, sentences: Sequence[str]) -> np.ndarray:
        """The first genes of each sentence, int32 [N, TOP], padded with -1."""
        out = np.full((len(sentences), TOP), -1, np.int32)
        for row, sentence in enumerate(sentences):
            words = sentence.split(maxsplit=TOP)[:TOP]
            out[row, : len(words)] = [self._ids.setdefault(word, len(self._ids)) for word in words]
        missing = len(self._ids) - len(self._directions)
        more = self._rng.standard_normal((max(missing, 0), SKETCH), dtype=np.float32)
        self._directions = np.concatenate([self._directions, more])
        return out

    def sketches(self, genes: np.ndarray) -> np.ndarray:
        """float16 [N, SKETCH] of genes [N, TOP]: unit vectors, whose products are about the correlations of expression."""
        directions = np.concatenate([self._directions, np.zeros((1, SKETCH), np.float32)])  # of no gene
        blocks = [genes[at : at + BLOCK] for at in range(0, len(genes), BLOCK)]
        sums = [np.einsum("nts,t->ns", directions[block], _weights(TOP)) for block in blocks]
        values = np.concatenate([np.zeros((0, SKETCH), np.float32), *sums])
        values -= values.mean(0) if len(values) else 0
        norms = np.linalg.norm(values, axis=1, keepdims=True)
        return (values / np.where(norms > ROUNDING, norms, 1.0)).astype(np.float16)


@dataclass(frozen=True)
class SectionSpots:
    """The spots of one slide."""

    xy: np.ndarray  # float64 [N, 2], pixels
    genes: np.ndarray  # int32 [N, TOP], padded with -1
    lengths: np.ndarray  # int [N], genes of each
    sketches: np.ndarray  # float16 [N, SKETCH]
    barcodes: np.ndarray  # int64, ascending: those that stand once on the slide,
    barcode_rows: np.ndarray  # and their spots
    sentences: np.ndarray  # int64, ascending: those that stand once on the slide and are long enough to tell,
    sentence_rows: np.ndarray  # and their spots

    @classmethod
    def of(
        cls, xy: np.ndarray, sentences: Sequence[str], names: Sequence[str], vocabulary: Vocabulary
    ) -> SectionSpots:
        """Of spots at `xy` [N, 2] with these sentences and names."""
        genes = vocabulary.genes(sentences)
        lengths = (genes >= 0).sum(1)
        told = np.flatnonzero(lengths >= LEAST_WORDS)
        hashes, rows = _single([hash(sentences[row]) for row in told.tolist()])
        barcodes, barcode_rows = _single([hash(without_lane(name)) for name in names])
        sketches = vocabulary.sketches(genes)
        return cls(xy, genes, lengths, sketches, barcodes, barcode_rows, hashes, told[rows])

    @cached_property
    def tree(self) -> Any:
        """Of the places, to find the nearest."""
        from scipy.spatial import cKDTree

        return cKDTree(self.xy)

    @cached_property
    def spacing(self) -> float:
        """The distance of neighbours; 0 where there are none."""
        if len(self.xy) < 2:
            return 0.0
        return float(np.median(np.asarray(self.tree.query(self.xy, k=2)[0])[:, 1]))


def correlations(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Of the expression of each pair of spots, genes int32 [N, TOP] each, less each side's mean; 0 where nothing is left."""
    there, at = np.unique(np.concatenate([left, right]), return_inverse=True)
    at = at.reshape(2, *left.shape)
    sides = []
    for genes in at:
        values = np.zeros((len(genes), len(there)), np.float32)
        np.put_along_axis(values, genes, np.broadcast_to(_weights(TOP), genes.shape), axis=1)
        values[:, there < 0] = 0
        sides.append(values - values.mean(0))
    x, y = sides
    norms = np.linalg.norm(x, axis=1) * np.linalg.norm(y, axis=1)
    known = norms > ROUNDING
    return np.where(known, (x * y).sum(1) / np.where(known, norms, 1.0), 0.0)


def _weights(count: int) -> np.ndarray:
    return (1.0 / np.log2(np.arange(count) + 2.0)).astype(np.float32)


def _single(values: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """The values that stand there once, ascending, and where."""
    found, first, counts = np.unique(np.array(values, dtype=np.int64), return_index=True, return_counts=True)
    return found[counts == 1], first[counts == 1]
