"""CCA against a generalised eigenproblem, and as the baseline of a data set."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.linalg import eigh

from stclip.config import DataConfig
from stclip.data.batches.frozen_features import scale_features
from stclip.data.builtin.synthetic import SyntheticSpec, make_synthetic
from stclip.data.store import open_store
from stclip.evaluation.baselines import DIMS, RIDGES, Covariances, fit_cca, sentence_matrix, tuned_cca
from stclip.retrieval import gallery_recall


def two_views(n=200, p=7, q=5, seed=0):
    """Two sides that share three latent directions, the first the strongest."""
    rng = np.random.default_rng(seed)
    latent = rng.normal(size=(n, 3)) * [1.0, 0.7, 0.4]
    x = latent @ rng.normal(size=(3, p)) + 0.5 * rng.normal(size=(n, p)) + 3.0
    y = latent @ rng.normal(size=(3, q)) + 0.5 * rng.normal(size=(n, q)) - 1.0
    return x, y


def reference_cca(x, y, ridge):
    """Correlations (descending), image and gene directions, from the eigenproblem of both sides at once."""
    p, q = x.shape[1], y.shape[1]
    x, y = x - x.mean(0), y - y.mean(0)
    n = len(x) - 1
    cxx, cyy, cxy = x.T @ x / n, y.T @ y / n, x.T @ y / n
    cxx = cxx + ridge * np.trace(cxx) / p * np.eye(p)
    cyy = cyy + ridge * np.trace(cyy) / q * np.eye(q)
    cross = np.block([[np.zeros((p, p)), cxy], [cxy.T, np.zeros((q, q))]])
    both = np.block([[cxx, np.zeros((p, q))], [np.zeros((q, p)), cyy]])
    values, vectors = eigh(cross, both)
    order = np.argsort(values)[::-1][: min(p, q)]
    directions = vectors[:, order] * np.sqrt(2.0)  # eigh scales the two sides together
    return values[order], directions[:p], directions[p:]


@pytest.mark.parametrize("ridge", [1e-6, 0.1, 5.0])
@pytest.mark.parametrize(("p", "q"), [(7, 5), (4, 9)])
def test_cca_against_the_generalised_eigenproblem(ridge, p, q):
    x, y = two_views(p=p, q=q)
    cca = fit_cca(x, y, ridge, dim=10)
    values, image, gene = reference_cca(x, y, ridge)
    np.testing.assert_allclose(cca.correlations, values, atol=1e-8)
    for k in range(3):  # a pair of directions is known up to one common sign
        sign = np.sign(cca.image_map[:, k] @ image[:, k])
        np.testing.assert_allclose(cca.image_map[:, k], sign * image[:, k], atol=1e-6)
        np.testing.assert_allclose(cca.gene_map[:, k], sign * gene[:, k], atol=1e-6)


def test_projections_are_centred_weighted_and_cut():
    x, y = two_views()
    cca = fit_cca(x, y, 0.1, dim=4)
    expected = (x - x.mean(0)) @ cca.image_map * cca.correlations
    np.testing.assert_allclose(cca.project_x(x), expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(cca.project_y(y, dim=2), cca.project_y(y)[:, :2], rtol=1e-6)
    assert cca.project_x(x, dim=100).shape == (len(x), 4)


def test_covariances_are_reused_for_every_ridge():
    x, y = two_views()
    shared = Covariances.of(x, y)
    for ridge in (0.01, 1.0):
        np.testing.assert_allclose(
            shared.directions(ridge, 3).correlations, fit_cca(x, y, ridge, 3).correlations
        )


def test_constant_features_and_fewer_rows_than_features():
    x, y = two_views(n=6)
    x[:, 0] = 2.0
    cca = fit_cca(x.astype(np.float32), y.astype(np.float32), 0.1, 5)
    assert np.isfinite(cca.project_x(x)).all() and np.isfinite(cca.project_y(y)).all()
    everything_constant = fit_cca(np.ones((6, 3)), y, 0.1, 2)
    np.testing.assert_allclose(everything_constant.project_x(np.ones((6, 3))), 0.0, atol=1e-12)


@pytest.mark.parametrize(("ridge", "dim"), [(0.0, 2), (-1.0, 2), (float("nan"), 2), (0.1, 0)])
def test_bad_settings(ridge, dim):
    x, y = two_views()
    with pytest.raises(ValueError, match="CCA needs ridge > 0 and dim >= 1, got ridge"):
        fit_cca(x, y, ridge, dim)


def test_bad_rows():
    x, y = two_views()
    with pytest.raises(ValueError, match="at least 2 rows, as many in x as in y, got 200 and 199"):
        fit_cca(x, y[:-1], 0.1, 2)
    with pytest.raises(ValueError, match="got 1 and 1"):
        fit_cca(x[:1], y[:1], 0.1, 2)


def test_sentence_matrix():
    genes = np.array([[2, 0, -1], [1, -1, -1], [-1, -1, -1]])
    expected = [[1 / np.log2(3), 0, 1.0, 0], [0, 1.0, 0, 0], [0, 0, 0, 0]]
    np.testing.assert_allclose(sentence_matrix(genes, 4), np.array(expected, np.float32))


@dataclass
class ArrayStore:
    """The part of a SpotStore that the baseline reads."""

    genes: np.ndarray
    slide_index: np.ndarray
    rows: dict
    vocabulary: tuple
    neighbor_ids: np.ndarray  # int32 [N, 2]: the spots before and after
    slides: tuple = tuple(f"S{k:02d}" for k in range(12))

    def spots(self, split):
        return self.rows[split]


def planted(signal, seed=0):
    """12 slides of 30 spots; the features are the sentence matrix, turned, plus noise."""
    rng = np.random.default_rng(seed)
    n, num_genes = 360, 20
    genes = np.stack([rng.permutation(num_genes)[:8] for _ in range(n)]).astype(np.int32)
    features = signal * sentence_matrix(genes, num_genes) @ rng.normal(size=(num_genes, 25))
    features = (features + rng.normal(size=(n, 25))).astype(np.float32)
    slides = np.repeat(np.arange(12, dtype=np.int32), 30)
    rows = {name: np.flatnonzero((slides >= a) & (slides < b)) for name, a, b in
            (("train", 0, 8), ("val", 8, 10), ("test", 10, 12))}  # fmt: skip
    place = np.arange(n, dtype=np.int32)
    near = np.stack([np.where(place % 30, place - 1, -1), np.where(place % 30 < 29, place + 1, -1)], 1)
    return ArrayStore(genes, slides, rows, tuple(f"G{k}" for k in range(num_genes)), near), features


def test_baseline_finds_what_is_there_and_nothing_else():
    strong = tuned_cca(*planted(signal=2.0))
    nothing = tuned_cca(*planted(signal=0.0))
    assert strong.test["R@1"] > 15 * strong.test["chance_R@1"]
    assert nothing.test["R@10"] < 1.4 * nothing.test["chance_R@10"]
    assert strong.params["ridge"] in RIDGES and strong.params["dim"] in DIMS


def test_the_setting_is_the_best_of_all_on_val_and_its_numbers_are_those_of_its_unit_vectors():
    store, features = planted(signal=0.45, seed=3)
    sentences = sentence_matrix(store.genes, len(store.vocabulary))
    train = store.spots("train")

    def recalls(ridge, dim, split, neighbors=None):
        cca, rows = fit_cca(features[train], sentences[train], ridge, dim), store.spots(split)
        sides = (cca.project_x(features[rows]), cca.project_y(sentences[rows]))
        unit = [F.normalize(torch.from_numpy(side), dim=1) for side in sides]
        return gallery_recall(*unit, torch.from_numpy(store.slide_index[rows]), (1, 5), neighbors)

    by_setting = {(ridge, dim): recalls(ridge, dim, "val") for ridge in RIDGES for dim in DIMS}
    best = max(by_setting, key=lambda setting: by_setting[setting]["R@5"])
    assert best[0] != RIDGES[0] and best[1] != DIMS[0]  # or a wrong choice would not be seen
    assert best != max(by_setting, key=lambda setting: by_setting[setting]["R@1"])
    found = tuned_cca(store, features, ks=(1, 5))
    assert (found.params["ridge"], found.params["dim"]) == best
    assert found.val == pytest.approx(by_setting[best])
    # Of the 60 test spots, two slides in a row.
    near = [[i - 1 if i % 30 else -1, i + 1 if i % 30 < 29 else -1] for i in range(60)]
    assert found.test == pytest.approx(recalls(*best, "test", torch.tensor(near)))
    assert found.test["ring_R@1"] > found.test["R@1"]


def test_other_genes_than_the_stores_are_read_when_they_are_given():
    store, features = planted(signal=2.0)
    other, _ = planted(signal=2.0, seed=1)
    given = tuned_cca(store, features, genes=other.genes)
    assert given == tuned_cca(replace(store, genes=other.genes), features)


def test_the_mean_of_many_rows_is_not_rounded_row_by_row():
    x = np.full((300_000, 2), 0.1, np.float32)
    y = np.random.default_rng(0).normal(size=(len(x), 1))
    np.testing.assert_allclose(fit_cca(x, y, 0.1, 1).image_mean, 0.1, rtol=1e-6)


def test_settings_are_chosen_without_the_test_slides():
    store, features = planted(signal=0.5)
    before = tuned_cca(store, features)
    features[store.spots("test")] = np.random.default_rng(3).normal(size=(60, 25))
    after = tuned_cca(store, features)
    assert after.params == before.params and after.val == before.val
    assert after.test != before.test


def test_the_test_slides_are_read_only_when_asked_for():
    read, unread = tuned_cca(*planted(signal=2.0)), tuned_cca(*planted(signal=2.0), test=False)
    assert (unread.val, unread.params, unread.test, unread.slides) == (read.val, read.params, {}, {})
    assert list(read.slides) == ["S10", "S11"] and read.slides["S10"]["spots"] == 30
    for name in ("R@1", "R@10", "chance_R@5", "ring_R@5", "chance_ring_R@10", "median_rank"):
        assert np.mean([slide[name] for slide in read.slides.values()]) == pytest.approx(read.test[name])


def test_baseline_on_a_made_up_data_set(tmp_path: Path):
    make_synthetic(tmp_path / "tiny", SyntheticSpec("tiny", 3, 1, 1, spots=0.3, tile_size=16))
    store = open_store(DataConfig(dataset="tiny", root=tmp_path, image_size=16))
    colours = np.asarray(store.tiles, np.float32).mean((1, 2))
    features = scale_features(colours, store.slide_index, store.spots("train"), "train")
    found = tuned_cca(store, features, ks=(1, 3))
    assert {"R@1", "R@3", "chance_R@3"} <= found.test.keys()
    assert found.slides.keys() == {store.slides[-1]}
    assert found.slides[store.slides[-1]]["spots"] == len(store.spots("test"))
