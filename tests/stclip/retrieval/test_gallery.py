"""Recall against full matrices and an enumeration of every order of tied candidates."""

from itertools import permutations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from stclip.errors import ConfigError
from stclip.retrieval import (
    RecallAtK,
    chance_recall,
    gallery_recall,
    mean_over_slides,
    partner_ranks,
    ranking,
    slide_metrics,
    slide_recall,
)


def features(spots, dim=8, seed=0, noise=0.7):
    """Unit vectors whose pairs are alike, float32."""
    rng = torch.Generator().manual_seed(seed)
    image = F.normalize(torch.randn(spots, dim, generator=rng), dim=1)
    return image, F.normalize(image + noise * torch.randn(spots, dim, generator=rng) / dim**0.5, dim=1)


def tied_features(spots, seed=0, dim=2):
    """Small integers: many ties, and dot products without rounding."""
    rng = torch.Generator().manual_seed(seed)
    return tuple(torch.randint(-1, 2, (spots, dim), generator=rng).float() for _ in "ab")


def slow_hits(queries, gallery, right, k):
    """Mean over every order of the candidates of "a right answer is among the first k", for each query."""
    n = len(queries)
    scores = (queries @ gallery.T).numpy()
    hits = np.zeros(n)
    orders = list(permutations(range(n)))
    for order in orders:
        for i in range(n):
            first = sorted(order, key=lambda j: -scores[i, j])[:k]  # stable: ties stay in this order
            hits[i] += bool(right[i] & set(first))
    return hits / len(orders)


def slow_ranks(queries, gallery):
    """Mean of the best and the worst place that ties allow."""
    scores = queries @ gallery.T
    own = scores.diagonal()[:, None]
    return (1 + ((scores > own).sum(1) + (scores >= own).sum(1) - 1) / 2).double().numpy()


def full_matrix_recall(image, gene, slide_ids, k, right):
    """Mean over queries, directions, slides where nothing is tied. right: bool [N, N]."""
    slides = []
    for slide in slide_ids.unique():
        rows = (slide_ids == slide).nonzero()[:, 0]
        ok = right[rows][:, rows]
        directions = []
        for scores in (image[rows] @ gene[rows].T, gene[rows] @ image[rows].T):
            top = scores.argsort(dim=1, descending=True)[:, :k]
            directions.append(ok.gather(1, top).any(1).double().mean())
        slides.append(torch.stack(directions).mean())
    return float(torch.stack(slides).mean())


@pytest.mark.parametrize("chunk", [1, 7, 64, 4096])
def test_gallery_recall_is_the_full_matrix(chunk):
    image, gene = features(83, noise=2.0)
    slide_ids = torch.tensor([4, 0, 9])[torch.randint(3, (83,), generator=torch.Generator().manual_seed(1))]
    neighbors = torch.randint(-1, 83, (83, 3), generator=torch.Generator().manual_seed(2))
    right = torch.eye(83, dtype=torch.bool)
    ring = right.clone()
    for i in range(83):
        for j in neighbors[i].tolist():
            ring[i, j] |= j >= 0
    metrics = gallery_recall(image, gene, slide_ids, (1, 5, 10), neighbors, chunk)
    sizes = slide_ids.unique(return_counts=True)[1].tolist()
    for k in (1, 5, 10):
        chance = np.mean([min(k / n, 1) for n in sizes])
        assert metrics[f"R@{k}"] == pytest.approx(
            full_matrix_recall(image, gene, slide_ids, k, right), abs=1e-12
        )
        assert metrics[f"ring_R@{k}"] == pytest.approx(
            full_matrix_recall(image, gene, slide_ids, k, ring), abs=1e-12
        )
        assert metrics[f"chance_R@{k}"] == pytest.approx(chance)
        assert metrics[f"lift_R@{k}"] == pytest.approx(metrics[f"R@{k}"] / chance)
        assert chance < metrics[f"R@{k}"] < metrics[f"ring_R@{k}"] < 1
    without = gallery_recall(image, gene, slide_ids, (1, 5, 10), None, chunk)
    assert without == {name: value for name, value in metrics.items() if "ring" not in name}


def test_median_rank_is_the_mean_over_directions_and_slides():
    image, gene = features(40, noise=3.0)
    slide_ids = torch.arange(40) // 25
    expected = []
    for rows in (slice(0, 25), slice(25, 40)):
        sides = (slow_ranks(image[rows], gene[rows]), slow_ranks(gene[rows], image[rows]))
        expected.append(np.mean([np.median(ranks) for ranks in sides]))
    assert gallery_recall(image, gene, slide_ids)["median_rank"] == pytest.approx(np.mean(expected))


@pytest.mark.parametrize("seed", range(3))
def test_ties_count_as_the_mean_over_all_orders(seed):
    n = 6
    image, gene = tied_features(n, seed)
    rng = torch.Generator().manual_seed(seed)
    neighbors = torch.randint(-1, n, (n, 3), generator=rng)
    neighbors[0] = torch.tensor([0, 0, 0])  # its own id
    neighbors[1] = torch.tensor([4, 4, 4])  # one neighbour three times
    own = [{i} for i in range(n)]
    ring = [{i, *neighbors[i].tolist()} - {-1} for i in range(n)]
    (slide,) = slide_recall(image, gene, torch.zeros(n, dtype=torch.int64), (1, 2, 4), neighbors, chunk=4)
    for k in (1, 2, 4):
        for right, recall in ((own, slide.recall), (ring, slide.ring)):
            expected = (slow_hits(image, gene, right, k).mean(), slow_hits(gene, image, right, k).mean())
            assert recall[k] == pytest.approx(expected, abs=1e-12)
        chance_ring = slow_hits(torch.ones(n, 1), torch.ones(n, 1), ring, k).mean()
        assert slide.chance_ring[k] == pytest.approx(chance_ring, abs=1e-12)
    np.testing.assert_allclose(slide.ranks, [slow_ranks(image, gene), slow_ranks(gene, image)])


@pytest.mark.parametrize("chunk", [1, 2, 17, 4096])
def test_a_collapsed_model_scores_chance(chunk):
    # Values that a matrix product rounds; with few queries at once it rounds equal columns differently.
    image, gene = features(1, dim=33)
    spots = 37
    slide_ids = torch.arange(spots) // 30  # slides of 30 and 7 spots
    neighbors = (torch.arange(spots)[:, None] + torch.tensor([1, 2])) % spots
    collapsed = image.repeat(spots, 1), gene.repeat(spots, 1)
    metrics = gallery_recall(*collapsed, slide_ids, (1, 5, 10), neighbors, chunk)
    for k in (1, 5, 10):
        assert metrics[f"R@{k}"] == pytest.approx((k / 30 + min(k / 7, 1)) / 2, abs=1e-12)
        assert metrics[f"lift_R@{k}"] == pytest.approx(1, abs=1e-12)
        assert metrics[f"ring_R@{k}"] == pytest.approx(metrics[f"chance_ring_R@{k}"], abs=1e-12)
    assert metrics["median_rank"] == pytest.approx((15.5 + 4) / 2)


def test_a_slide_of_one_spot_scores_one_with_chance_one():
    image, gene = features(1)
    metrics = gallery_recall(image, -gene, torch.tensor([5]), (1, 10), torch.tensor([[-1, -1]]))
    assert set(metrics.values()) == {1.0}
    both = slide_recall(*features(4), torch.tensor([2, 1, 2, 2]), (1,))
    assert [(slide.slide_id, slide.spots, slide.rows.tolist()) for slide in both] == [
        (1, 1, [1]),
        (2, 3, [0, 2, 3]),
    ]
    assert both[0].recall[1] == (1.0, 1.0)


def test_a_slides_row_has_the_means_of_both_directions():
    image, gene = features(40, noise=1.5)
    slide_ids = torch.arange(40) // 20
    near = (torch.arange(40)[:, None] // 20 * 20) + (torch.arange(40)[:, None] + torch.tensor([1, 2])) % 20
    slides = slide_recall(image, gene, slide_ids, (1, 5), near)
    rows = [slide_metrics(slide) for slide in slides]
    assert [row["spots"] for row in rows] == [20, 20] and rows[0]["chance_R@5"] == 0.25
    whole = mean_over_slides(slides)
    assert whole["ring_R@1"] > whole["R@1"]
    for name in ("R@1", "R@5", "chance_R@1", "median_rank", "ring_R@1", "ring_R@5", "chance_ring_R@5"):
        assert sum(row[name] for row in rows) / 2 == pytest.approx(whole[name])
    alone = slide_metrics(slide_recall(image, gene, slide_ids, (1, 5))[0])
    assert not [name for name in alone if "ring" in name]
    with pytest.raises(ValueError, match="the mean over slides needs one slide or more, got none"):
        mean_over_slides([])


def test_a_gallery_smaller_than_k_is_found_whole():
    image, gene = features(3)
    metrics = gallery_recall(image, -gene, torch.zeros(3, dtype=torch.int64), (1, 3, 10))
    assert metrics["R@1"] == 0
    assert metrics["R@3"] == metrics["chance_R@3"] == metrics["R@10"] == metrics["chance_R@10"] == 1
    assert chance_recall(29, 1) == 1 / 29
    assert chance_recall(3, 10) == 1
    with pytest.raises(ValueError, match="n and k of 1 or more, got n = 0, k = 1"):
        chance_recall(0, 1)


def test_neighbors_on_another_slide_are_no_hits():
    # Each spot's most similar candidate on its slide is the wrong one; its neighbour is on the other slide.
    image = torch.eye(2).repeat(2, 1)
    gene = image[[1, 0, 3, 2]]
    slide_ids, neighbors = torch.tensor([0, 0, 1, 1]), torch.tensor([[3], [2], [1], [0]])
    metrics = gallery_recall(image, gene, slide_ids, (1,), neighbors)
    assert metrics["R@1"] == metrics["ring_R@1"] == 0
    assert metrics["chance_ring_R@1"] == metrics["chance_R@1"] == 0.5
    here = gallery_recall(image, gene, slide_ids, (1,), torch.tensor([[1], [0], [3], [-1]]))
    assert here["ring_R@1"] == pytest.approx(3 / 4)


def test_identical_spots_share_their_hits():
    # Rows 0 and 1 are the same tile and the same genes: neither can be told from the other.
    image = torch.tensor([[1.0, 0], [1, 0], [0, 1]])
    (slide,) = slide_recall(image, image, torch.zeros(3, dtype=torch.int64), (1, 2))
    assert slide.recall == {1: pytest.approx((2 / 3, 2 / 3)), 2: pytest.approx((1, 1))}
    assert slide.ranks.tolist() == [[1.5, 1.5, 1], [1.5, 1.5, 1]]


@pytest.mark.parametrize("chunk", [1, 5, 50])
def test_partner_ranks(chunk):
    image, gene = tied_features(31, dim=3)
    np.testing.assert_allclose(partner_ranks(image, gene, chunk), slow_ranks(image, gene))
    image, gene = features(31, noise=3.0)
    np.testing.assert_allclose(partner_ranks(image, gene, chunk), slow_ranks(image, gene))


def test_a_large_gallery_is_cut_into_smaller_chunks(monkeypatch):
    image, gene = features(40)
    slide_ids = torch.zeros(40, dtype=torch.int64)
    expected = gallery_recall(image, gene, slide_ids)
    sizes = []
    stand = ranking._stand
    monkeypatch.setattr(
        ranking, "_stand", lambda scores, *rest: sizes.append(len(scores)) or stand(scores, *rest)
    )
    monkeypatch.setattr(ranking, "_MAX_SCORES", 40 * 9)
    assert gallery_recall(image, gene, slide_ids) == expected
    assert sizes == [9, 9, 9, 9, 4] * 2
    sizes.clear()
    monkeypatch.setattr(ranking, "_MAX_SCORES", 39)  # not even one row: still a query at a time
    assert gallery_recall(image, gene, slide_ids) == expected
    assert sizes == [1] * 80


def test_half_precision_features_are_compared_in_float32():
    image, gene = (side.bfloat16() for side in features(60, noise=2.0))
    slide_ids = torch.zeros(60, dtype=torch.int64)
    assert gallery_recall(image, gene, slide_ids) == gallery_recall(image.float(), gene.float(), slide_ids)


def test_bad_input_is_named():
    image, gene = features(6)
    slide_ids = torch.zeros(6, dtype=torch.int64)
    broken = gene.clone()
    broken[[1, 4], 2] = torch.tensor([torch.nan, torch.inf])
    with pytest.raises(ValueError, match="2 of 6 spots have features that are NaN or infinite"):
        gallery_recall(image, broken, slide_ids)
    with pytest.raises(ValueError, match="2 of 6 spots"):
        partner_ranks(broken, gene)
    with pytest.raises(ValueError, match=r"with N above 0, got \[6, 8\] and \[5, 8\]"):
        gallery_recall(image, gene[:5], slide_ids)
    with pytest.raises(ValueError, match=r"got \[0, 8\] and \[0, 8\]"):
        gallery_recall(image[:0], gene[:0], slide_ids[:0])
    with pytest.raises(ValueError, match=r"slide_ids must be \[6\].*got \[5\]"):
        gallery_recall(image, gene, slide_ids[:5])
    with pytest.raises(ValueError, match=r"slide_ids must be \[6\].*got \[6, 1\]"):
        gallery_recall(image, gene, slide_ids[:, None])
    with pytest.raises(ValueError, match=r"each 1 or above, got \(0, 5\)"):
        gallery_recall(image, gene, slide_ids, (0, 5))
    with pytest.raises(ValueError, match=r"ks needs one K or more, each 1 or above, got \(\)"):
        gallery_recall(image, gene, slide_ids, ())
    with pytest.raises(ValueError, match=r"rows of the features, 0 to 5, or -1; got -1 to 6"):
        gallery_recall(image, gene, slide_ids, neighbor_ids=torch.tensor([[-1], [6], [0], [0], [0], [0]]))
    with pytest.raises(ValueError, match=r"rows of the features, 0 to 5, or -1; got -2 to 0"):
        gallery_recall(image, gene, slide_ids, neighbor_ids=torch.tensor([[-2], [0], [0], [0], [0], [0]]))
    with pytest.raises(ValueError, match=r"neighbor_ids must be \[6, k\], got \[5, 1\]"):
        gallery_recall(image, gene, slide_ids, neighbor_ids=torch.zeros(5, 1, dtype=torch.int64))


def test_in_batch_recall_over_batches_of_different_sizes():
    metric = RecallAtK(2)
    hits = rows = 0
    for size, candidates in ((8, 8), (5, 9), (3, 3)):
        logits = torch.randn(size, candidates, generator=torch.Generator().manual_seed(size))
        target = torch.randperm(candidates, generator=torch.Generator().manual_seed(1))[:size]
        metric.update(logits, target)
        hits += (logits.topk(2).indices == target[:, None]).any(1).sum().item()
        rows += size
    assert 0 < hits < rows
    assert metric.compute().item() == pytest.approx(hits / rows)
    metric.reset()
    metric.update(torch.eye(4), torch.arange(4))
    assert metric.compute() == 1


def test_in_batch_recall_clamps_k_shares_ties_and_misses_nan():
    def recall(k, logits):
        metric = RecallAtK(k)
        metric.update(logits, torch.arange(len(logits)))
        return metric.compute().item()

    assert recall(10, -torch.eye(3)) == 1
    assert recall(2, -torch.eye(3)) == 0
    assert recall(2, torch.zeros(5, 5)) == pytest.approx(2 / 5)
    assert recall(1, torch.tensor([[1.0, 1.0, 0.0], [0.0, 1.0, 0.0]])) == pytest.approx(3 / 4)
    one_row = torch.eye(3)
    one_row[1, 1] = torch.nan
    for k in (1, 3, 4, 10):  # also more than there are candidates
        assert recall(k, torch.full((3, 3), torch.nan)) == 0
        assert recall(k, one_row) == pytest.approx(2 / 3)
    with pytest.raises(ConfigError, match=r"Recall@K must be 1 or more, got 0"):
        RecallAtK(0)
