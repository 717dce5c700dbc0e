"""One section under two ids is found; two sections of one block are not taken for one."""

import numpy as np
import pytest

from stclip.data.splitting import duplicates
from stclip.data.splitting.duplicates import Section, find_duplicates
from stclip.errors import DataError


def section(seed, spots=60, xy_noise=0.0, word_noise=0.0, biology=0, words=20, names=None):
    """Sentences of 20 out of 80 genes; sections of one block share the genes that are high everywhere."""
    everywhere = np.random.default_rng(biology).normal(0, 2, 80)
    rng = np.random.default_rng(seed)
    at = np.arange(spots)
    xy = np.stack([100.0 * (at % 10), 100.0 * (at // 10)], axis=1) + rng.normal(0, 3, (spots, 2))
    level = everywhere + rng.normal(0, 1, (spots, 80))
    again = np.random.default_rng(99)
    level = level + again.normal(0, word_noise, level.shape)
    sentences = [" ".join(f"G{g:02d}" for g in np.argsort(-row)[:words]) for row in level]
    return Section(xy + again.normal(0, xy_noise, xy.shape), sentences, names or [])


def barcodes(count, suffix="-1"):
    """Those of a Visium slide, which all slides have."""
    return ["".join("ACGT"[(at >> 2 * digit) % 4] for digit in range(8)) + suffix for at in range(count)]


def found(a, b):
    return [(pair.a, pair.b, pair.by) for pair in find_duplicates(["A", "B"], {"A": a, "B": b}.get)]


def part(whole, rows):
    names = [whole.names[row] for row in rows] if len(whole.names) else []
    return Section(whole.xy[rows], [whole.sentences[row] for row in rows], names)


def test_two_sections_of_one_block_have_only_the_tissue_in_common():
    assert found(section(1), section(2)) == []


def test_the_order_of_the_genes_counts():
    one = section(1, words=80)
    backwards = Section(one.xy, [" ".join(reversed(text.split())) for text in one.sentences])
    assert found(one, backwards) == []


def test_spots_that_are_all_alike_are_not_correlated():
    alike = Section(section(1).xy, [" ".join("ABCDEFGHIJ" * 3)] * 60)
    assert found(alike, alike) == []


def test_spots_between_the_others_are_not_matched():
    one, anew = section(1), section(1, word_noise=0.2)
    assert found(one, Section(anew.xy + 50, anew.sentences)) == []  # spots are 100 apart


def test_the_spots_that_are_compared_lie_all_over_the_slide(monkeypatch):
    monkeypatch.setattr(duplicates, "SAMPLE", 10)
    monkeypatch.setattr(duplicates, "LEAST_CORRELATION", 0.0)
    one, anew, other = section(1), section(1, word_noise=0.2), section(2)
    half = Section(one.xy, [*anew.sentences[:30], *other.sentences[30:]])
    (pair,) = find_duplicates(["A", "B"], {"A": one, "B": half}.get)
    assert (pair.by, pair.matched) == ("places", 1.0) and pair.correlation == pytest.approx(0.5, abs=0.15)


@pytest.mark.parametrize("count", [0, 1])
def test_too_few_spots_to_say(count):
    one = Section(np.zeros((count, 2)), ["A"] * count)
    assert found(one, section(1)) == [] and found(one, one) == []


TURN = np.array([[0.0, 1.0], [-1.0, 0.0]])
ANEW = {
    "as it is": lambda one: one,
    "fewer spots": lambda one: part(one, range(0, 60, 2)),
    "a corner only": lambda one: part(one, range(12)),
    "another scale": lambda one: Section(one.xy * 0.37, one.sentences),
    "another crop": lambda one: Section(one.xy + np.array([1234, -567]), one.sentences),
    "turned": lambda one: Section(one.xy @ TURN + 5000, one.sentences),
    "in another order": lambda one: part(one, np.random.default_rng(0).permutation(60)),
    "a part made anew": lambda one: Section(one.xy, [*one.sentences[:40], *section(2).sentences[40:]]),
}


@pytest.mark.parametrize("words", [12, 30])
@pytest.mark.parametrize("kind", ANEW)
def test_equal_expression_tells_whatever_else_differs(kind, words):
    assert found(section(1, words=words), ANEW[kind](section(1, words=words))) == [("A", "B", "expression")]


def test_short_sentences_that_are_equal_by_chance_are_no_section():
    one, other = section(1, words=12), section(1, words=12)
    shuffled = np.random.default_rng(0).permutation(60)
    assert found(one, Section(one.xy[shuffled], other.sentences)) == []
    one, other = section(1, words=30), section(1, words=30)  # long ones are not equal by chance
    assert found(one, Section(one.xy[shuffled], other.sentences)) == [("A", "B", "expression")]


@pytest.mark.parametrize("suffix", ["-1", "-2", ""])
def test_counts_made_anew_are_told_by_barcodes(suffix):
    one = section(1, names=barcodes(60))
    anew = section(1, word_noise=0.2, names=barcodes(60, suffix))
    moved = Section(anew.xy * 0.37 + 900, anew.sentences, anew.names)
    assert found(one, moved) == [("A", "B", "barcodes")]
    assert found(one, part(moved, range(35))) == [("A", "B", "barcodes")]


def test_slides_that_have_the_barcodes_in_common_are_not_one_section():
    assert found(section(1, names=barcodes(60)), section(2, names=barcodes(60))) == []


def test_counts_made_anew_and_spots_called_anew_are_told_by_places():
    one, anew = section(1), section(1, xy_noise=5, word_noise=0.2)
    assert found(one, anew) == [("A", "B", "places")]
    scaled = Section(anew.xy * 0.37, anew.sentences, [str(at) for at in range(60)])
    assert found(one, scaled) == [("A", "B", "places")]


def test_two_bin_sizes_of_one_section():
    """Visium HD: four squares of half the side lie around the middle of a square, each with a part of its counts."""
    large = section(1)
    fine = [section(1, word_noise=0.3) for _ in range(4)]
    shifts = ([-25, -25], [25, -25], [-25, 25], [25, 25])
    xy = np.concatenate([large.xy + np.array(shift) for shift in shifts])
    assert found(large, Section(xy, [text for one in fine for text in one.sentences])) == [
        ("A", "B", "places")
    ]


@pytest.mark.parametrize(("moved", "pairs"), [(30, 1), (31, 0)])
def test_by_places_half_of_the_spots_have_to_match(moved, pairs):
    one, anew = section(1), section(1, word_noise=0.2)
    elsewhere = anew.xy + 5000.0 * (np.arange(60) < moved)[:, None]
    assert len(found(one, Section(elsewhere, anew.sentences))) == pairs


def test_each_slide_is_read_once_and_all_pairs_are_compared():
    sections = {
        "A": section(1),
        "B": section(2),
        "C": section(1, xy_noise=5, word_noise=0.2),
        "D": part(section(2), range(40)),
    }
    asked = []

    def read(slide):
        asked.append(slide)
        return sections[slide]

    pairs = find_duplicates(list(sections), read)
    assert [(pair.a, pair.b) for pair in pairs] == [("A", "C"), ("B", "D")] and sorted(asked) == [
        "A",
        "B",
        "C",
        "D",
    ]
    assert pairs[0].told.startswith(
        "100% of the spots lie at a spot of the other, their expression correlates by 0."
    )
    assert pairs[1].told == "100% of the spots have the very expression of a spot of the other"


def test_a_slide_that_cannot_be_read_is_left_out_where_that_is_wanted():
    def read(slide):
        if slide == "B":
            raise DataError("slide 'B': damaged")
        return section(1)

    with pytest.raises(DataError, match="slide 'B': damaged"):
        find_duplicates(["A", "B", "C"], read)
    unusable = {}
    assert len(find_duplicates(["A", "B", "C"], read, unusable)) == 1
    assert unusable == {"B": "slide 'B': damaged"}
