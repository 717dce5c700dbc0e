"""One physical section under two ids, as two publications list it: such slides must not stand on both sides of a split.

Publications differ in what surrounds a section: image size, scale, crop, names of spots, spots left out, counts made anew. So
all pairs of slides are compared, and each of three things tells: spots with the same expression, whatever else differs; spots
of one barcode, or spots at one place, whose expression correlates.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from stclip.data.splitting.section_spots import SectionSpots, Vocabulary, correlations
from stclip.errors import DataError

LEAST_EQUAL = 0.1  # share of the smaller slide's spots that must have the very sentence of one of the other,
LEAST_COMMON = 10  # and how many must
LONG = 20  # words: shorter sentences may be equal by chance, and count only where the spots lie alike too,
LEAST_ALIKE = 0.8  # which is so for this share of them
LEAST_MATCHED = 0.5  # share of spots that must have a barcode, or a place, of the other
LEAST_CORRELATION = 0.5  # mean over matched spots; two sections of one block stay well below
SAMPLE = 500  # matched spots that are compared,
FIRST = 64  # and those that are looked at first:
LEAST_FIRST = 0.25  # with less correlation, the others are not


@dataclass(frozen=True)
class Section:
    """What two slides are compared by."""

    xy: np.ndarray  # float64 [N, 2], pixels
    sentences: Sequence[str]
    names: Sequence[str] = ()  # of the spots, such as barcodes; may be missing


@dataclass(frozen=True)
class Duplicate:
    """Two slides that show one section."""

    a: str
    b: str
    by: str  # "expression", "barcodes" or "places": what told
    matched: float  # share of the spots of the smaller for which it holds
    correlation: float  # mean correlation of the expression of matched spots

    @property
    def told(self) -> str:
        """The reason, in words."""
        if self.by == "expression":
            return f"{self.matched:.0%} of the spots have the very expression of a spot of the other"
        how = "have a barcode" if self.by == "barcodes" else "lie at a spot"
        return f"{self.matched:.0%} of the spots {how} of the other, their expression correlates by {self.correlation:.2f}"


def find_duplicates(
    slides: Sequence[str], read: Callable[[str], Section], unusable: dict[str, str] | None = None
) -> list[Duplicate]:
    """The pairs among slides that show one section; `read` gives what is on a slide, and is asked once for each.

    About 350 bytes a spot are kept meanwhile. A slide that `read` raises DataError for goes with its message into `unusable`;
    without that the error is raised.
    """
    vocabulary = Vocabulary()
    spots = {}
    for slide in sorted(slides):
        try:
            section = read(slide)
        except DataError as error:
            if unusable is None:
                raise
            unusable[slide] = str(error)
            continue
        spots[slide] = SectionSpots.of(section.xy, section.sentences, section.names, vocabulary)
    found = []
    for a, b in combinations(spots, 2):
        for by, compare in (("expression", _equal), ("barcodes", _by_barcode), ("places", _by_place)):
            evidence = compare(spots[a], spots[b])
            if evidence is not None:
                found.append(Duplicate(a, b, by, *evidence))
                break
    return found


def _equal(a: SectionSpots, b: SectionSpots) -> tuple[float, float] | None:
    """Spots with a sentence that stands once on each of the slides."""
    _, left, right = np.intersect1d(a.sentences, b.sentences, assume_unique=True, return_indices=True)
    share = len(left) / max(1, min(len(a.xy), len(b.xy)))
    if len(left) < LEAST_COMMON or share < LEAST_EQUAL:
        return None
    left, right = a.sentence_rows[left], b.sentence_rows[right]
    if np.median(a.lengths[left]) < LONG and _alike(a.xy[left], b.xy[right], b.spacing) < LEAST_ALIKE:
        return None
    return share, 1.0


def _by_barcode(a: SectionSpots, b: SectionSpots) -> tuple[float, float] | None:
    _, left, right = np.intersect1d(a.barcodes, b.barcodes, assume_unique=True, return_indices=True)
    return _confirmed(a, b, a.barcode_rows[left], b.barcode_rows[right])


def _by_place(a: SectionSpots, b: SectionSpots) -> tuple[float, float] | None:
    """Spots nearer to one of the other than half the distance of neighbours, at whichever scale the images are published.

    Of two distances, as of two sizes of squares, the larger counts.
    """
    small, large = (a, b) if len(a.xy) <= len(b.xy) else (b, a)
    if len(small.xy) < 2 or not small.spacing or not large.spacing:
        return None
    some = np.unique(np.linspace(0, len(small.xy) - 1, FIRST).astype(int))
    for scale in dict.fromkeys((1.0, large.spacing / small.spacing)):
        rows, places = _at_one_place(small, large, scale, some)
        if len(rows) < LEAST_MATCHED * 0.8 * len(some) or not _worth_it(small, large, rows, places):
            continue
        rows, places = _at_one_place(small, large, scale, np.arange(len(small.xy)))
        evidence = _confirmed(small, large, rows, places)
        if evidence is not None:
            return evidence
    return None


def _confirmed(
    a: SectionSpots, b: SectionSpots, left: np.ndarray, right: np.ndarray
) -> tuple[float, float] | None:
    """Share and correlation of matched spots, where both are high.

    Expression is the gene sentence, a gene at rank r (from 0) weighing 1 / log2(r + 2), less the slide's mean: what all spots of
    a tissue have in common does not count.
    """
    share = len(left) / max(1, min(len(a.xy), len(b.xy)))
    if share < LEAST_MATCHED:
        return None
    if not _worth_it(a, b, left, right):
        return None
    some = np.linspace(0, len(left) - 1, min(SAMPLE, len(left))).astype(int)
    correlation = float(np.mean(correlations(a.genes[left[some]], b.genes[right[some]])))
    return (share, correlation) if correlation >= LEAST_CORRELATION else None


def _worth_it(a: SectionSpots, b: SectionSpots, left: np.ndarray, right: np.ndarray) -> bool:
    """Whether some of the matched spots are alike at a glance."""
    some = np.unique(np.linspace(0, len(left) - 1, FIRST).astype(int))
    products = a.sketches[left[some]] * b.sketches[right[some]]
    return float(products.sum(1, dtype=np.float32).mean()) >= LEAST_FIRST


def _at_one_place(
    small: SectionSpots, large: SectionSpots, scale: float, rows: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Those of `rows` of `small` that lie at a spot of `large` once they are scaled, and those spots."""
    if not len(rows) or not large.spacing:
        return np.zeros(0, int), np.zeros(0, int)
    distance, nearest = map(np.asarray, large.tree.query(small.xy[rows] * scale))
    near = distance <= max(large.spacing, small.spacing * scale) / 2
    return rows[near], nearest[near]


def _alike(xy: np.ndarray, other: np.ndarray, spacing: float) -> float:
    """The share of places that one shift, scaling or turn of the image takes to the places of `other`."""
    places = np.column_stack([xy, np.ones(len(xy))])
    kept = np.arange(len(xy))
    away = np.zeros(len(xy))
    for _ in range(3):
        fit = np.linalg.lstsq(places[kept], other[kept], rcond=None)[0]
        away = np.linalg.norm(places @ fit - other, axis=1)
        kept = np.argsort(away, kind="stable")[: max(4, int(0.8 * len(xy)))]
    return float((away <= spacing / 2).mean())
