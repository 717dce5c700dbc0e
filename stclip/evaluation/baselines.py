"""A regularised canonical correlation analysis (CCA), in closed form, tuned on val."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from stclip.config.schema import KS

if TYPE_CHECKING:
    from stclip.data.store import SpotStore
    from stclip.retrieval import SlideRecall

RIDGES = (0.1, 0.3, 1.0, 3.0, 10.0)  # in units of the mean variance of a feature
DIMS = (8, 16, 32, 64)


@dataclass(frozen=True)
class Cca:
    """Canonical directions: columns of `image_map` [p, d] and `gene_map` [q, d], strongest first."""

    image_mean: np.ndarray
    gene_mean: np.ndarray
    image_map: np.ndarray
    gene_map: np.ndarray
    correlations: np.ndarray  # [d], of the ridge-regularised problem, in 0..1, descending

    def project_x(self, features: np.ndarray, dim: int | None = None) -> np.ndarray:
        """Image features [n, p] -> float32 [n, dim], every direction times its correlation."""
        return self._project(features, self.image_mean, self.image_map, dim)

    def project_y(self, sentences: np.ndarray, dim: int | None = None) -> np.ndarray:
        """Gene features [n, q] -> float32 [n, dim], every direction times its correlation."""
        return self._project(sentences, self.gene_mean, self.gene_map, dim)

    def _project(
        self, values: np.ndarray, mean: np.ndarray, directions: np.ndarray, dim: int | None
    ) -> np.ndarray:
        return np.asarray((values - mean) @ (directions[:, :dim] * self.correlations[:dim]), dtype=np.float32)


def sentence_matrix(genes: np.ndarray, num_genes: int) -> np.ndarray:
    """Gene sentences [N, T] (ids, most expressed first, padded with -1) as float32 [N, num_genes].

    A gene at rank r (from 0) has 1 / log2(r + 2), the discount of DCG (Järvelin & Kekäläinen 2002); others 0.
    """
    out = np.zeros((len(genes), num_genes), np.float32)
    row, rank = np.nonzero(genes >= 0)
    out[row, genes[row, rank]] = 1.0 / np.log2(rank + 2.0)
    return out


def fit_cca(x: np.ndarray, y: np.ndarray, ridge: float, dim: int) -> Cca:
    """Regularised CCA (Vinod 1976) of x [n, p] and y [n, q]: `dim` directions, at most min(p, q).

    Maximises aᵀ Cxy b under aᵀ (Cxx + ridge · tr(Cxx) / p · I) a = 1, and the same for b, in closed form.
    `ridge` > 0 has no unit. Raises ValueError for a ridge or dim that is not positive, fewer than 2 rows, or
    unequal rows.
    """
    return Covariances.of(x, y).directions(ridge, dim)


@dataclass(frozen=True)
class Covariances:
    """Second moments of two sides, each in its own principal axes: one more ridge costs one small SVD."""

    image: _Side
    gene: _Side
    cross: np.ndarray  # [p, q] cross-covariance between principal axes

    @classmethod
    def of(cls, x: np.ndarray, y: np.ndarray) -> Covariances:
        """Of x [n, p] and y [n, q]. Raises ValueError for fewer than 2 rows or unequal rows."""
        if len(x) != len(y) or len(x) < 2:
            raise ValueError(f"CCA needs at least 2 rows, as many in x as in y, got {len(x)} and {len(y)}")
        image, gene = _Side.of(x), _Side.of(y)
        cross = (x - image.mean).T @ (y - gene.mean) / (len(x) - 1)
        return cls(image, gene, image.axes.T @ cross @ gene.axes)

    def directions(self, ridge: float, dim: int) -> Cca:
        """The `dim` strongest directions. Raises ValueError for a ridge or dim that is not positive."""
        if not ridge > 0 or dim < 1:
            raise ValueError(f"CCA needs ridge > 0 and dim >= 1, got ridge {ridge} and dim {dim}")
        image, gene = self.image.whitening(ridge), self.gene.whitening(ridge)
        left, correlations, right = np.linalg.svd(image[:, None] * self.cross * gene, full_matrices=False)
        return Cca(
            image_mean=self.image.mean,
            gene_mean=self.gene.mean,
            image_map=self.image.axes @ (image[:, None] * left[:, :dim]),
            gene_map=self.gene.axes @ (gene[:, None] * right[:dim].T),
            correlations=correlations[:dim],
        )


@dataclass(frozen=True)
class _Side:
    mean: np.ndarray
    variances: np.ndarray  # along the principal axes
    axes: np.ndarray  # [p, p], columns

    @classmethod
    def of(cls, x: np.ndarray) -> _Side:
        mean = x.mean(0, dtype=np.float64).astype(x.dtype)
        away = x - mean
        variances, axes = np.linalg.eigh(away.T @ away / (len(x) - 1))
        return cls(mean, np.maximum(variances, 0.0), axes)

    def whitening(self, ridge: float) -> np.ndarray:
        floor = ridge * self.variances.mean()
        return 1.0 / np.sqrt(np.maximum(self.variances + floor, np.finfo(np.float32).tiny))


@dataclass(frozen=True)
class Baseline:
    """What something without training retrieves. `val`, `test`: the metrics of `gallery_recall`; `test` and `slides` (test
    slide id -> its metrics, see `stclip.retrieval.slide_metrics`) are empty where test was not read. `params`: what was
    chosen on val."""

    val: dict[str, float]
    test: dict[str, float]
    slides: dict[str, dict[str, float]]
    params: dict[str, float]


def tuned_cca(
    store: SpotStore,
    features: np.ndarray,
    ks: Sequence[int] = KS,
    test: bool = True,
    genes: np.ndarray | None = None,
) -> Baseline:
    """CCA between scaled image features [N, F] of a store's spots and their gene sentences, int [N, T], `genes` or the store's.

    Fitted on the train slides; ridge and dimension (`params`: `ridge`, `dim`) are those with the best R@max(ks) on
    val; the test slides are read once, and only with `test`.
    """
    from stclip.evaluation.evaluate import by_slide
    from stclip.retrieval import mean_over_slides

    train = store.spots("train")
    sentences = sentence_matrix(store.genes if genes is None else genes, len(store.vocabulary))
    covariances = Covariances.of(features[train], sentences[train])

    def slides(cca: Cca, dim: int, split: Literal["val", "test"], rings: bool = False) -> list[SlideRecall]:
        rows = store.spots(split)
        image, gene = cca.project_x(features[rows], dim), cca.project_y(sentences[rows], dim)
        return _slides(image, gene, store.slide_index[rows], ks, _neighbors(store, rows) if rings else None)

    models = {ridge: covariances.directions(ridge, max(DIMS)) for ridge in RIDGES}
    tried = {
        (ridge, dim): mean_over_slides(slides(cca, dim, "val"))
        for ridge, cca in models.items()
        for dim in DIMS
    }
    ridge, dim = max(tried, key=lambda setting: tried[setting][f"R@{max(ks)}"])
    tested = slides(models[ridge], dim, "test", rings=True) if test else []
    return Baseline(
        val=tried[ridge, dim],
        test=mean_over_slides(tested) if tested else {},
        slides=by_slide(tested, store),
        params={"ridge": ridge, "dim": float(dim)},
    )


def _neighbors(store: SpotStore, rows: np.ndarray) -> np.ndarray:
    """The neighbours of a split's spots as rows of the split, whose spots stand together in the store."""
    near = np.asarray(store.neighbor_ids[rows], dtype=np.int64)
    return np.where(near >= 0, near - rows[0], -1)


def _slides(
    image: np.ndarray, gene: np.ndarray, slides: np.ndarray, ks: Sequence[int], neighbors: np.ndarray | None
) -> list[SlideRecall]:
    import torch

    from stclip.retrieval import slide_recall

    def unit(x: np.ndarray) -> torch.Tensor:
        return torch.nn.functional.normalize(torch.from_numpy(x), dim=1)

    near = None if neighbors is None else torch.from_numpy(neighbors)
    index = torch.from_numpy(np.asarray(slides))
    return slide_recall(unit(image), unit(gene), index, ks=tuple(ks), neighbor_ids=near)
