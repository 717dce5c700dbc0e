"""One physical section under two ids, as two publications list it: such slides must not stand on both sides of a split."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

NEAR_COUNT = 0.02  # of the larger count of spots: how far the other may be from it
LEAST_MATCHED = 0.5  # share of spots that must lie where a spot of the other lies
LEAST_CORRELATION = 0.5  # mean over matched spots; two sections of one block stay well below
SAMPLE = 500  # matched spots that are compared
ROUNDING = 1e-6  # product of two norms below which nothing is left of both but the rounding of the mean


@dataclass(frozen=True)
class Section:
    """What two slides are compared by."""

    xy: np.ndarray  # float64 [N, 2], pixels
    sentences: Sequence[str]


@dataclass(frozen=True)
class Duplicate:
    """Two slides that show one section."""

    a: str
    b: str
    matched: float  # share of the spots of the smaller that lie at a spot of the other
    correlation: float  # mean correlation of the expression of matched spots


def find_duplicates(
    spots: Mapping[str, int],
    image_sizes: Mapping[str, tuple[int, int]],
    read: Callable[[str], Section],
) -> list[Duplicate]:
    """The pairs among slides that show one section.

    Candidates have images of the same size (where both are known) and nearly as many spots (`spots`, by slide); `read` gives
    what is on a slide, and is asked for candidates only.
    """
    sections: dict[str, Section] = {}
    found = []
    for a, b in combinations(sorted(spots), 2):
        sizes = image_sizes.get(a), image_sizes.get(b)
        if None not in sizes and sizes[0] != sizes[1]:
            continue
        if abs(spots[a] - spots[b]) > NEAR_COUNT * max(spots[a], spots[b]):
            continue
        for slide in (a, b):
            if slide not in sections:
                sections[slide] = read(slide)
        matched, correlation = compare_sections(sections[a], sections[b])
        if matched >= LEAST_MATCHED and correlation >= LEAST_CORRELATION:
            found.append(Duplicate(a, b, matched, correlation))
    return found


def compare_sections(a: Section, b: Section) -> tuple[float, float]:
    """The share of matched spots, and the mean correlation of their expression; 0 where nothing is matched.

    A spot of the smaller slide is matched to the nearest of the other when that is within half the distance of neighbours.
    Expression is the gene sentence, a gene at rank r (from 0) weighing 1 / log2(r + 2), less the slide's mean: what all spots of
    a tissue have in common does not count.
    """
    from scipy.spatial import cKDTree

    if len(a.xy) > len(b.xy):
        a, b = b, a
    if len(a.xy) < 2:
        return 0.0, 0.0
    tree = cKDTree(b.xy)
    spacing = float(np.median(np.asarray(tree.query(b.xy, k=2)[0])[:, 1]))
    distance, nearest = map(np.asarray, tree.query(a.xy))
    rows = np.flatnonzero(distance <= spacing / 2)
    if not len(rows):
        return 0.0, 0.0
    share = len(rows) / len(a.xy)
    rows = rows[np.linspace(0, len(rows) - 1, min(SAMPLE, len(rows))).astype(int)]
    left = [a.sentences[row] for row in rows]
    right = [b.sentences[at] for at in nearest[rows]]
    x, y = _expression(left, right)
    return share, float(np.mean(_correlations(x, y)))


def _expression(left: Sequence[str], right: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Both sides' sentences as float32 [n, genes], less each side's mean."""
    genes = {gene: at for at, gene in enumerate(sorted({g for s in (*left, *right) for g in s.split()}))}
    sides = []
    for sentences in (left, right):
        values = np.zeros((len(sentences), len(genes)), np.float32)
        for row, sentence in enumerate(sentences):
            for rank, gene in enumerate(sentence.split()):
                values[row, genes[gene]] = 1.0 / np.log2(rank + 2.0)
        sides.append(values - values.mean(0))
    return sides[0], sides[1]


def _correlations(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    norms = np.linalg.norm(x, axis=1) * np.linalg.norm(y, axis=1)
    known = norms > ROUNDING
    return np.where(known, (x * y).sum(1) / np.where(known, norms, 1.0), 0.0)
