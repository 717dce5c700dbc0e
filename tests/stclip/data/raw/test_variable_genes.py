"""The most variable genes: the score against the plain formula, the choice by votes of slides."""

import numpy as np
import pytest

from stclip.data.raw.hest import HestFolder
from stclip.data.raw.variable_genes import (
    SlideVariability,
    normalised_dispersion,
    slide_variability,
    variable_genes,
)
from tests.stclip.data.hest_folders import slide_of, write_hest


def test_the_score_is_the_dispersion_against_genes_of_like_mean():
    rng = np.random.default_rng(0)
    mean = rng.gamma(1, 2, 200)
    variance = mean * rng.gamma(2, 1, 200)
    score = normalised_dispersion(mean, variance)
    order = np.argsort(mean)
    for members in np.array_split(order, 10):  # 200 genes, 10 bins
        dispersion = np.log(variance[members] / mean[members])
        away = dispersion - np.median(dispersion)
        assert np.allclose(score[members], away / np.median(np.abs(away)))


@pytest.mark.parametrize("genes", [0, 1, 3])
def test_few_genes_are_one_bin(genes):
    assert np.isfinite(normalised_dispersion(np.ones(genes), np.ones(genes))).all()


def test_a_slide_is_scored_whole_whatever_the_blocks(tmp_path, monkeypatch):
    one = slide_of(0, spots=50)
    source = HestFolder(write_hest(tmp_path, {"S1": one}))
    found = slide_variability(source, "S1", None)
    share = 1e4 * one.counts / one.counts.sum(1, keepdims=True)
    wanted = normalised_dispersion(share.mean(0), share.var(0))
    assert np.allclose(found.score, wanted, atol=1e-4)
    monkeypatch.setattr("stclip.data.raw.variable_genes.BLOCK", 7)
    assert np.allclose(slide_variability(source, "S1", None).score, wanted, atol=1e-4)


def test_a_gene_that_is_hardly_there_has_no_score(tmp_path):
    one = slide_of(0)
    one.counts[:, 5] = 0
    one.counts[:2, 5] = 100  # two of thirty spots
    found = slide_variability(HestFolder(write_hest(tmp_path, {"S1": one})), "S1", None)
    assert np.isnan(found.score[5]) and np.isfinite(np.delete(found.score, 5)).all()


def of(**scores):
    return SlideVariability(tuple(sorted(scores)), np.array([scores[gene] for gene in sorted(scores)]))


def test_votes_come_before_scores():
    slides = [of(A=1.0, C=0.0), of(A=2.0, C=1.5), of(A=-9.0, C=10.0)]
    # Two votes to one; by the median score, 1 and 1.5, it would be C.
    assert variable_genes(slides, 1) == ("A",)
    assert variable_genes(slides, 9) == ("A", "C")


def test_equal_votes_go_by_the_median_score_then_the_alphabet():
    slides = [of(A=9.0, B=1.0, C=2.0), of(A=0.0, B=3.0, C=4.0), of(A=0.0, B=5.0, C=4.0)]
    assert variable_genes(slides, 1) == ("C",)  # one vote each, medians 0, 3, 4
    assert variable_genes([of(A=1.0, B=1.0)], 1) == ("A",)


def test_a_slide_that_lacks_a_gene_has_no_say_in_it():
    assert variable_genes([of(A=1.0, B=float("nan")), of(B=2.0)], 2) == ("A", "B")
