"""Sentences ordered by what is unusual on a slide, against the definition written out."""

import numpy as np
import pytest

from stclip.data.batches.relative_sentences import ordered_genes


def by_definition(genes, slides):
    out = np.full(genes.shape, -1)
    for row, sentence in enumerate(genes):
        unusual = []
        for rank, gene in enumerate(sentence):
            if gene < 0:
                continue
            weights = []
            for other in np.flatnonzero(slides == slides[row]):
                places = [r for r, g in enumerate(genes[other]) if g == gene]
                weights.append(1 / np.log2(places[0] + 2) if places else 0.0)
            unusual.append((-(1 / np.log2(rank + 2) - np.mean(weights)), rank, gene))
        ordered = [gene for _, _, gene in sorted(unusual)]
        out[row, : len(ordered)] = ordered
    return out


@pytest.mark.parametrize("seed", range(4))
def test_the_order_is_the_definitions(seed):
    rng = np.random.default_rng(seed)
    genes = np.stack([rng.permutation(9)[:6] for _ in range(15)]).astype(np.int32)
    for row, length in enumerate(rng.integers(0, 7, 15)):
        genes[row, length:] = -1
    slides = rng.integers(0, 3, 15)
    found = ordered_genes(genes, slides, 9, "slide")
    assert found.dtype == np.int32 and (found == by_definition(genes, slides)).all()


def test_what_all_spots_share_stands_last():
    genes = np.array([[0, 1, 2], [0, 3, 4], [0, 5, 6]], np.int32)
    assert ordered_genes(genes, np.zeros(3, int), 7, "slide")[:, -1].tolist() == [0, 0, 0]


def test_a_slide_has_no_part_in_another():
    genes = np.array([[0, 1], [0, 2], [3, 0]], np.int32)
    alone = ordered_genes(genes[:2], np.zeros(2, int), 4, "slide")
    assert (ordered_genes(genes, np.array([0, 0, 1]), 4, "slide")[:2] == alone).all()


def test_none_leaves_them_as_they_are():
    genes = np.array([[2, 0, -1]], np.int32)
    assert (ordered_genes(genes, np.zeros(1, int), 3, "none") == genes).all()
    with pytest.raises(ValueError, match="how must be none or slide, got 'train'"):
        ordered_genes(genes, np.zeros(1, int), 3, "train")
