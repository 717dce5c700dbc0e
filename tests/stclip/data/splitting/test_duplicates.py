"""One section under two ids is found; two sections of one block are not taken for one."""

import numpy as np
import pytest

from stclip.data.splitting import duplicates
from stclip.data.splitting.duplicates import Section, compare_sections, find_duplicates


def section(seed, spots=60, xy_noise=0.0, word_noise=0.0, biology=0):
    """Sentences of 20 out of 80 genes; sections of one block share the genes that are high everywhere."""
    everywhere = np.random.default_rng(biology).normal(0, 2, 80)
    rng = np.random.default_rng(seed)
    at = np.arange(spots)
    xy = np.stack([100.0 * (at % 10), 100.0 * (at // 10)], axis=1) + rng.normal(0, 3, (spots, 2))
    level = everywhere + rng.normal(0, 1, (spots, 80))
    again = np.random.default_rng(99)
    level = level + again.normal(0, word_noise, level.shape)
    words = [" ".join(f"G{g:02d}" for g in np.argsort(-row)[:20]) for row in level]
    return Section(xy + again.normal(0, xy_noise, xy.shape), words)


def test_the_same_section_processed_anew():
    matched, correlation = compare_sections(section(1), section(1, xy_noise=5, word_noise=0.2))
    assert matched == 1.0 and correlation > 0.8


def test_two_sections_of_one_block_have_only_the_tissue_in_common():
    matched, correlation = compare_sections(section(1), section(2))
    assert matched > 0.9 and abs(correlation) < 0.1


def test_the_order_of_the_genes_counts():
    one = section(1)
    backwards = Section(one.xy, [" ".join(reversed(text.split())) for text in one.sentences])
    assert compare_sections(one, one)[1] == pytest.approx(1.0)
    assert compare_sections(one, backwards)[1] < 0.9


def test_spots_that_are_all_alike_are_not_correlated():
    one = section(1)
    alike = Section(one.xy, ["A B"] * 60)
    assert compare_sections(alike, alike) == (1.0, 0.0)


def test_spots_between_the_others_are_not_matched():
    one = section(1)
    assert compare_sections(one, Section(one.xy + 50, one.sentences)) == (0.0, 0.0)  # spots are 100 apart


def test_the_spots_that_are_compared_lie_all_over_the_slide(monkeypatch):
    monkeypatch.setattr(duplicates, "SAMPLE", 10)
    one, other = section(1), section(2)
    half = Section(one.xy, [*one.sentences[:30], *other.sentences[30:]])
    assert compare_sections(one, half)[1] == pytest.approx(0.5, abs=0.15)


@pytest.mark.parametrize(("moved", "found"), [(30, 1), (31, 0)])
def test_a_pair_has_half_of_its_spots_in_common_or_more(moved, found):
    one = section(1)
    elsewhere = one.xy + 5000.0 * (np.arange(60) < moved)[:, None]
    sections = {"A": one, "B": Section(elsewhere, one.sentences)}
    assert len(find_duplicates({"A": 60, "B": 60}, {}, sections.get)) == found


@pytest.mark.parametrize(("fewer", "found"), [(98, 1), (97, 0)])
def test_a_pair_differs_by_two_in_a_hundred_spots_or_less(fewer, found):
    assert len(find_duplicates({"A": 100, "B": fewer}, {}, lambda slide: section(1))) == found


def test_a_slide_whose_image_is_not_known_is_compared():
    assert len(find_duplicates({"A": 60, "B": 60}, {"A": (10, 20)}, lambda slide: section(1))) == 1


def test_fewer_spots_on_one_side():
    whole = section(1)
    part = Section(whole.xy[5:], whole.sentences[5:])
    assert compare_sections(whole, part) == pytest.approx((1.0, 1.0), abs=0.02)
    assert compare_sections(part, whole) == pytest.approx((1.0, 1.0), abs=0.02)


def test_elsewhere_is_not_matched():
    here = section(1)
    assert compare_sections(here, Section(here.xy + 5000, here.sentences)) == (0.0, 0.0)


@pytest.mark.parametrize("count", [0, 1])
def test_too_few_spots_to_say(count):
    one = Section(np.zeros((count, 2)), ["A"] * count)
    assert compare_sections(one, section(1)) == (0.0, 0.0)


def test_only_candidates_are_read():
    sections = {
        "A": section(1),
        "B": section(1, xy_noise=5, word_noise=0.2),
        "C": section(2),
        "D": section(3),
    }
    asked = []

    def read(slide):
        asked.append(slide)
        return sections[slide]

    spots = {"A": 60, "B": 60, "C": 60, "D": 90}
    sizes = {"A": (10, 20), "B": (10, 20), "C": (11, 20), "D": (10, 20)}
    found = find_duplicates(spots, sizes, read)
    assert [(pair.a, pair.b) for pair in found] == [("A", "B")] and found[0].correlation > 0.8
    assert sorted(asked) == ["A", "B"]  # C has another image, D another number of spots
    asked.clear()
    # Without the sizes C is compared, and is another section.
    assert [(pair.a, pair.b) for pair in find_duplicates(spots, {}, read)] == [("A", "B")]
    assert sorted(asked) == ["A", "B", "C"]  # each once
