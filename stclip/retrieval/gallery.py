"""Recall@K: how often a spot's partner is among the K most similar candidates.

Two metrics: over the gallery of a whole slide (`gallery_recall`, the metric of record, which does not change
with the batch size) and inside a batch (`RecallAtK`). In both a tie counts as its expectation under a random
order of the tied candidates, so that a collapsed model scores chance.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torchmetrics import Metric

from stclip.config.schema import KS
from stclip.errors import ConfigError
from stclip.retrieval.ranking import Places, find_partners


class RecallAtK(Metric):
    """Share of rows of a batch's logits whose target is among the K largest; K is clamped to the candidates.

    Args:
        k: number of candidates looked at, 1 or more.

    Raises:
        ConfigError: k below 1.
    """

    is_differentiable = False
    higher_is_better = True
    full_state_update = False
    hits: Tensor
    rows: Tensor

    def __init__(self, k: int) -> None:
        super().__init__()
        if k < 1:
            raise ConfigError(f"K of Recall@K must be 1 or more, got {k}")
        self.k = k
        self.add_state("hits", torch.tensor(0.0), dist_reduce_fx="sum")
        self.add_state("rows", torch.tensor(0), dist_reduce_fx="sum")

    def update(self, logits: Tensor, target: Tensor) -> None:
        """Add B queries: logits [B, candidates], target int64 [B], the column of each row's partner.

        A row whose partner's logit is NaN is a miss.
        """
        own = logits.gather(1, target[:, None])
        ahead = (~(logits <= own)).sum(1)  # NaN counts as ahead
        tied = (logits == own).sum(1).clamp(min=1)
        k = min(self.k, logits.shape[1])  # else a row of NaN, in which all are ahead, would be a hit
        self.hits += ((k - ahead) / tied).clamp(0, 1).sum()
        self.rows += len(logits)

    def compute(self) -> Tensor:
        """Recall in 0..1; NaN when nothing was added."""
        return self.hits / self.rows


@dataclass(frozen=True)
class SlideRecall:
    """Retrieval in the gallery of one slide. A pair is (image->gene, gene->image), means over the spots."""

    slide_id: int
    spots: int  # size of the gallery, and number of queries in each direction
    recall: dict[int, tuple[float, float]]  # by K
    chance: dict[int, float]  # by K: the same for a random order
    ring: dict[int, tuple[float, float]]  # by K, the spot or one of its neighbours; empty without neighbours
    chance_ring: dict[int, float]
    median_rank: tuple[float, float]  # 1 is best
    rows: np.ndarray  # int64 [spots], rows of the features that are this slide
    ranks: np.ndarray  # float64 [2, spots], each spot's expected rank in either direction


def chance_recall(n: int, k: int) -> float:
    """Recall@K of a random order of n candidates: min(k / n, 1). Raises ValueError when n or k is below 1."""
    if n < 1 or k < 1:
        raise ValueError(f"chance_recall needs n and k of 1 or more, got n = {n}, k = {k}")
    return min(k / n, 1.0)


def partner_ranks(query_features: Tensor, gallery_features: Tensor, chunk: int = 4096) -> np.ndarray:
    """Expected rank of each query's partner among all rows of one gallery, from 1 (most similar) to N.

    With a candidates more similar than the partner, and t others as similar, the rank is 1 + a + t / 2.

    Args:
        query_features: [N, D].
        gallery_features: [N, D]; row i is the partner of query i.
        chunk: queries compared at once; fewer when the gallery is large.

    Returns:
        float64 [N].

    Raises:
        ValueError: shapes that differ, no rows, features that are not finite.
    """
    _check_features(query_features, gallery_features)
    return find_partners(query_features, gallery_features, None, chunk).partner.ranks()


def gallery_recall(
    image_features: Tensor,
    gene_features: Tensor,
    slide_ids: Tensor,
    ks: Sequence[int] = KS,
    neighbor_ids: Tensor | None = None,
    chunk: int = 4096,
) -> dict[str, float]:
    """Recall of spots among all spots of their slide: mean over queries, then both directions, then slides.

    Arguments and errors are those of `slide_recall`, whose slides are averaged here with equal weights.

    Returns:
        For each K `R@K`, `chance_R@K` (a random order) and `lift_R@K` (their ratio); with neighbours also
        `ring_R@K` (a hit is the spot or one of its neighbours) and `chance_ring_R@K`. All but the lift are in
        0..1. And `median_rank`, 1 or more.
    """
    return mean_over_slides(slide_recall(image_features, gene_features, slide_ids, ks, neighbor_ids, chunk))


def mean_over_slides(slides: Sequence[SlideRecall]) -> dict[str, float]:
    """What `gallery_recall` returns, from its slides. Raises ValueError for none."""
    if not slides:
        raise ValueError("the mean over slides needs one slide or more, got none")
    metrics: dict[str, float] = {}
    for k in slides[0].recall:
        recall = float(np.mean([slide.recall[k] for slide in slides]))
        chance = float(np.mean([slide.chance[k] for slide in slides]))
        metrics |= {f"R@{k}": recall, f"chance_R@{k}": chance, f"lift_R@{k}": recall / chance}
        if slides[0].ring:
            metrics[f"ring_R@{k}"] = float(np.mean([slide.ring[k] for slide in slides]))
            metrics[f"chance_ring_R@{k}"] = float(np.mean([slide.chance_ring[k] for slide in slides]))
    metrics["median_rank"] = float(np.mean([slide.median_rank for slide in slides]))
    return metrics


def slide_metrics(slide: SlideRecall) -> dict[str, float]:
    """One slide's row of a table: `spots`, `R@K` (mean of both directions), `chance_R@K`, `median_rank`; with neighbours also
    `ring_R@K` and `chance_ring_R@K`."""
    found: dict[str, float] = {"spots": slide.spots}
    for k in slide.recall:
        found |= {f"R@{k}": float(np.mean(slide.recall[k])), f"chance_R@{k}": slide.chance[k]}
    for k in slide.ring:
        found |= {f"ring_R@{k}": float(np.mean(slide.ring[k])), f"chance_ring_R@{k}": slide.chance_ring[k]}
    return found | {"median_rank": float(np.mean(slide.median_rank))}


def slide_recall(
    image_features: Tensor,
    gene_features: Tensor,
    slide_ids: Tensor,
    ks: Sequence[int] = KS,
    neighbor_ids: Tensor | None = None,
    chunk: int = 4096,
) -> list[SlideRecall]:
    """Retrieval on each slide by itself, in the order of slide ids.

    Similarity is the dot product in float32 of the features as they are given (for cosines, normalise them
    before). A gallery of K spots or fewer has recall 1 and chance 1; so has a slide of one spot.

    Args:
        image_features: [N, D].
        gene_features: [N, D]; row i is of the same spot as row i of the images.
        slide_ids: int64 [N], in any order.
        ks: each 1 or more.
        neighbor_ids: int64 [N, k], for each spot the rows (of these same arrays) of its neighbours, padded
            with -1. Neighbours on another slide are not in the gallery and are ignored.
        chunk: queries compared at once; fewer when the gallery is large: similarities stay below 64 MB.

    Raises:
        ValueError: shapes that do not fit, no spots, features that are not finite, K below 1, a neighbour id
            that is not a row.
    """
    _check_features(image_features, gene_features)
    spots = len(image_features)
    if slide_ids.shape != (spots,):
        raise ValueError(
            f"slide_ids must be [{spots}], one for each row of features, got {list(slide_ids.shape)}"
        )
    if min(ks, default=0) < 1:
        raise ValueError(f"ks needs one K or more, each 1 or above, got {tuple(ks)}")
    if neighbor_ids is not None:
        _check_neighbors(neighbor_ids, spots)
    order = torch.argsort(slide_ids, stable=True)
    ids, counts = torch.unique_consecutive(slide_ids[order], return_counts=True)
    slides = []
    for slide_id, rows in zip(ids.tolist(), order.split(counts.tolist()), strict=True):
        rings = None if neighbor_ids is None else _rings(rows, neighbor_ids, spots)
        slides.append(_one_slide(slide_id, image_features, gene_features, rows, tuple(ks), rings, chunk))
    return slides


def _one_slide(
    slide_id: int,
    image: Tensor,
    gene: Tensor,
    rows: Tensor,
    ks: tuple[int, ...],
    rings: Tensor | None,
    chunk: int,
) -> SlideRecall:
    image, gene, n = image[rows], gene[rows], len(rows)
    found = (find_partners(image, gene, rings, chunk), find_partners(gene, image, rings, chunk))
    ranks = np.stack([direction.partner.ranks() for direction in found])

    def pair(k: int, ring: bool) -> tuple[float, float]:
        places = [direction.ring if ring else direction.partner for direction in found]
        return float(places[0].hits(k).mean()), float(places[1].hits(k).mean())

    chance_ring = {}
    if rings is not None:
        sizes = (rings >= 0).sum(1).cpu().numpy()
        anywhere = Places(np.zeros(n, np.int64), np.full(n, n), sizes)
        chance_ring = {k: float(anywhere.hits(k).mean()) for k in ks}
    return SlideRecall(
        slide_id=slide_id,
        spots=n,
        recall={k: pair(k, ring=False) for k in ks},
        chance={k: chance_recall(n, k) for k in ks},
        ring={} if rings is None else {k: pair(k, ring=True) for k in ks},
        chance_ring=chance_ring,
        median_rank=(float(np.median(ranks[0])), float(np.median(ranks[1]))),
        rows=rows.cpu().numpy(),
        ranks=ranks,
    )


def _rings(rows: Tensor, neighbor_ids: Tensor, spots: int) -> Tensor:
    """Right answers of a slide's queries, as positions in it: the spot, its neighbours; each once, or -1."""
    # The last one is for id -1.
    position = torch.full((spots + 1,), -1, dtype=torch.int64, device=rows.device)
    position[rows] = torch.arange(len(rows), device=rows.device)
    own = torch.arange(len(rows), device=rows.device)[:, None]
    answers = torch.cat([own, position[neighbor_ids[rows]]], dim=1).sort(dim=1).values
    answers[:, 1:][answers[:, 1:] == answers[:, :-1]] = -1
    return answers


def _check_features(first: Tensor, second: Tensor) -> None:
    if first.ndim != 2 or first.shape != second.shape or not len(first):
        raise ValueError(
            "image and gene features must both be [N, D] with N above 0, "
            f"got {list(first.shape)} and {list(second.shape)}"
        )
    for features in (first, second):
        broken = int((~torch.isfinite(features)).any(1).sum())
        if broken:
            raise ValueError(
                f"{broken} of {len(features)} spots have features that are NaN or infinite; nothing to rank"
            )


def _check_neighbors(neighbor_ids: Tensor, spots: int) -> None:
    if neighbor_ids.ndim != 2 or len(neighbor_ids) != spots:
        raise ValueError(f"neighbor_ids must be [{spots}, k], got {list(neighbor_ids.shape)}")
    if neighbor_ids.numel() and not -1 <= int(neighbor_ids.min()) <= int(neighbor_ids.max()) < spots:
        raise ValueError(
            f"neighbor_ids must be rows of the features, 0 to {spots - 1}, or -1; "
            f"got {int(neighbor_ids.min())} to {int(neighbor_ids.max())}"
        )
