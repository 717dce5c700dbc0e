"""ClipLoss and SpatialLoss against slow, obvious references: value and gradients, in float64."""

import math

import pytest
import torch
import torch.nn.functional as F

from stclip.config.registry import LOSSES
from stclip.errors import ConfigError
from stclip.losses import ClipLoss, SpatialLoss


def spatial(alpha_scale=0.5, reg=0.0, cap=None):
    return SpatialLoss(alpha_scale, reg, cap, local_loss=True, gather_with_grad=True)


def clip():
    return ClipLoss(local_loss=True, gather_with_grad=True)


def slow_target(ids, neighbors, alphas, alpha_scale):
    """The soft target, an entry at a time: dense [B, B]."""
    size = len(ids)
    q = torch.zeros(size, size, dtype=torch.float64)
    for i in range(size):
        q[i, i] += 1
        for neighbor, alpha in zip(neighbors[i].tolist(), alphas[i].tolist(), strict=True):
            for j in range(size):
                if neighbor >= 0 and int(ids[j]) == neighbor:
                    q[i, j] += max(0.0, alpha_scale * alpha)
                    break
        q[i] /= q[i].sum()
    return q


def slow_loss(image, gene, logit_scale, q, reg, cap=None):
    """The loss, a row at a time. With a cap, the gradient at the cap is that of `s` itself."""
    scale = logit_scale
    if cap is not None and logit_scale.item() > cap:
        scale = logit_scale - (logit_scale.item() - cap)  # a constant moved it: same gradient
    z = image @ gene.T
    entropy, gap = 0.0, 0.0
    for rows in (z, z.T):
        for i in range(len(rows)):
            p = torch.exp(scale * rows[i]) / torch.exp(scale * rows[i]).sum()
            entropy = entropy - (q[i] * torch.log(p)).sum() / len(rows) / 2
            gap = gap + ((p * rows[i]).sum() - (q[i] * rows[i]).sum()) / len(rows) / 2
    return entropy + reg * gap**2


def make(size, k, seed=0, dim=5, present=0.6):
    """Random features, ids, neighbours (some elsewhere, some padding) and weights."""
    rng = torch.Generator().manual_seed(seed)
    image, gene = (
        F.normalize(torch.randn(size, dim, generator=rng, dtype=torch.float64), dim=1) for _ in "ab"
    )
    ids = torch.randperm(1000, generator=rng)[:size]
    neighbors = torch.full((size, k), -1)
    for i in range(size):
        others = ids[torch.randperm(size, generator=rng)]
        others = others[others != ids[i]][:k]
        neighbors[i, : len(others)] = others
    kind = torch.rand(size, k, generator=rng)
    neighbors[kind > present] = 5000  # another slide's spot
    neighbors[kind > (1 + present) / 2] = -1
    alphas = torch.rand(size, k, generator=rng)
    alphas[neighbors < 0] = 0
    return image, gene, ids, neighbors, alphas / alphas.sum(1, keepdim=True).clamp(min=1e-6)


def grads(loss, *leaves):
    return torch.autograd.grad(loss, leaves)


def leaf(tensor):
    return tensor.clone().requires_grad_()


def assert_same(module, image, gene, scale, ids, neighbors, alphas):
    """Value and the three gradients of `module` are those of the slow loss."""
    fast_leaves = [leaf(image), leaf(gene), leaf(scale)]
    slow_leaves = [leaf(image), leaf(gene), leaf(scale)]
    terms = module(*fast_leaves, ids, neighbors, alphas)
    q = slow_target(ids, neighbors, alphas, module.neighbor_alpha_scale)
    slow = slow_loss(*slow_leaves, q, module.temp_reg_weight, module.cap_logit_scale)
    torch.testing.assert_close(terms["loss"], slow, rtol=1e-10, atol=1e-12)
    for fast_grad, slow_grad in zip(
        grads(terms["loss"], *fast_leaves), grads(slow, *slow_leaves), strict=True
    ):
        torch.testing.assert_close(fast_grad, slow_grad, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("reg", [0.0, 0.7])
@pytest.mark.parametrize(("size", "k"), [(1, 3), (2, 1), (7, 6), (5, 9), (16, 6), (9, 0)])
def test_spatial_loss_is_the_slow_loss(size, k, reg):
    image, gene, ids, neighbors, alphas = make(size, k, seed=size)
    scale = torch.tensor(11.3, dtype=torch.float64)
    assert_same(spatial(0.8, reg), image, gene, scale, ids, neighbors, alphas.double())


def test_all_neighbors_present_and_none_present():
    image, gene, ids, neighbors, alphas = make(8, 4, present=1.0)
    scale = torch.tensor(6.0, dtype=torch.float64)
    assert (neighbors >= 0).all()
    assert_same(spatial(2.0, 0.3), image, gene, scale, ids, neighbors, alphas.double())
    elsewhere = torch.full_like(neighbors, 7777)
    alone = spatial(2.0)(image, gene, scale, ids, elsewhere, alphas)["loss"]
    torch.testing.assert_close(alone, clip()(image, gene, scale)["loss"], rtol=1e-12, atol=0)


def test_a_neighbor_beyond_the_largest_and_below_the_smallest_id_is_ignored():
    image, gene, _, _, _ = make(4, 1)
    ids = torch.tensor([30, 10, 20, 40])
    neighbors = torch.tensor([[41], [9], [39], [0]])
    scale = torch.tensor(6.0, dtype=torch.float64)
    loss = spatial(5.0)(image, gene, scale, ids, neighbors, torch.ones(4, 1))["loss"]
    torch.testing.assert_close(loss, clip()(image, gene, scale)["loss"])


def test_padding_is_ignored_whatever_its_weight():
    image, gene, ids, neighbors, alphas = make(6, 4)
    scale = torch.tensor(6.0, dtype=torch.float64)
    absent = neighbors < 0
    assert absent.any()
    filled = torch.where(absent, torch.nan, alphas)
    expected = spatial()(image, gene, scale, ids, neighbors, alphas)["loss"]
    assert spatial()(image, gene, scale, ids, neighbors, filled)["loss"] == expected


def test_duplicate_and_own_neighbor_ids_add_up():
    image, gene, _, _, _ = make(3, 3)
    ids = torch.tensor([5, 8, 2])
    neighbors = torch.tensor([[8, 8, 5], [2, -1, -1], [2, 2, 2]])
    alphas = torch.tensor([[0.5, 0.25, 0.25], [1.0, 0, 0], [0.5, 0.25, 0.25]], dtype=torch.float64)
    scale = torch.tensor(4.0, dtype=torch.float64)
    expected = torch.tensor([[1.5, 1.5, 0], [0, 1, 2], [0, 0, 3]], dtype=torch.float64)
    expected /= expected.sum(1, keepdim=True)
    torch.testing.assert_close(slow_target(ids, neighbors, alphas, 2.0), expected)
    assert_same(spatial(2.0, 0.4), image, gene, scale, ids, neighbors, alphas)


def test_of_a_tile_twice_in_the_batch_the_first_gets_the_weight():
    image, gene, _, _, _ = make(4, 1)
    ids = torch.tensor([7, 3, 7, 9])
    neighbors = torch.tensor([[-1], [7], [-1], [-1]])
    assert_same(
        spatial(1.5, 0.2),
        image,
        gene,
        torch.tensor(5.0, dtype=torch.float64),
        ids,
        neighbors,
        torch.ones(4, 1),
    )


def test_negative_weights_count_as_zero():
    image, gene, ids, neighbors, alphas = make(6, 4, present=1.0)
    scale = torch.tensor(6.0, dtype=torch.float64)
    plain = clip()(image, gene, scale)["loss"]
    torch.testing.assert_close(spatial(-3.0)(image, gene, scale, ids, neighbors, alphas)["loss"], plain)
    mixed = alphas.double().clone()
    mixed[:, 0] *= -1
    assert_same(spatial(3.0, 0.1), image, gene, scale, ids, neighbors, mixed)


def test_with_both_weights_zero_it_is_clip_loss():
    image, gene, ids, neighbors, alphas = make(12, 6)
    leaves = [leaf(image), leaf(gene), leaf(torch.tensor(14.0, dtype=torch.float64))]
    ours = spatial(0.0, 0.0, cap=40.0)(*leaves, ids, neighbors, alphas)["loss"]
    plain = clip()(*leaves)["loss"]
    torch.testing.assert_close(ours, plain, rtol=1e-12, atol=0)
    torch.testing.assert_close(grads(ours, *leaves), grads(plain, *leaves), rtol=1e-9, atol=1e-12)


def test_clip_loss_is_the_slow_loss():
    image, gene, _, _, _ = make(9, 1)
    scale = torch.tensor(20.0, dtype=torch.float64)
    fast_leaves, slow_leaves = ([leaf(image), leaf(gene), leaf(scale)] for _ in "ab")
    fast = clip()(*fast_leaves)["loss"]
    slow = slow_loss(*slow_leaves, torch.eye(9, dtype=torch.float64), 0.0)
    torch.testing.assert_close(fast, slow)
    torch.testing.assert_close(grads(fast, *fast_leaves), grads(slow, *slow_leaves))


def test_numbers_one_can_check_by_hand():
    # Two spots, z = [[1, 0], [0, 1]], s = ln 3: p = 3/4 for the partner, 1/4 for the other, in all four rows.
    # Spot 0 has spot 1 as its neighbour with weight 1: q_0 = (1/2, 1/2), q_1 = (0, 1).
    eye = torch.eye(2, dtype=torch.float64)
    scale = torch.tensor(math.log(3), dtype=torch.float64)
    terms = spatial(1.0, reg=16.0)(
        eye, eye, scale, torch.tensor([4, 6]), torch.tensor([[6], [-1]]), torch.ones(2, 1)
    )
    contrastive = ((math.log(4 / 3) + math.log(4)) / 2 + math.log(4 / 3)) / 2
    gap = ((3 / 4 - 1 / 2) + (3 / 4 - 1)) / 2  # sure by 1/4 too much, then by 1/4 too little
    assert gap == 0 and terms["gap"].item() == pytest.approx(gap, abs=1e-12)
    assert terms["contrastive"].item() == pytest.approx(contrastive)
    assert terms["loss"].item() == pytest.approx(contrastive)
    alone = spatial(0.0, reg=16.0)(
        eye, eye, scale, torch.tensor([4, 6]), torch.tensor([[6], [-1]]), torch.ones(2, 1)
    )
    assert alone["gap"].item() == pytest.approx(-1 / 4)
    assert alone["temp_reg"].item() == pytest.approx(1.0)
    assert alone["loss"].item() == pytest.approx(math.log(4 / 3) + 1.0)


@pytest.mark.parametrize("reg", [0.0, 0.5])
def test_the_cap_holds_forward_and_lets_the_gradient_through(reg):
    image, gene, ids, neighbors, alphas = make(7, 4)
    assert_same(
        spatial(0.5, reg, cap=4.0),
        image,
        gene,
        torch.tensor(9.0, dtype=torch.float64),
        ids,
        neighbors,
        alphas.double(),
    )
    above, at = (leaf(torch.tensor(value, dtype=torch.float64)) for value in (9.0, 4.0))
    capped = spatial(0.5, reg, cap=4.0)(image, gene, above, ids, neighbors, alphas)
    uncapped = spatial(0.5, reg, cap=None)(image, gene, at, ids, neighbors, alphas)
    assert capped["logit_scale"].item() == 4.0
    assert capped["loss"].item() == uncapped["loss"].item()
    (through,) = grads(capped["loss"], above)
    assert through.item() == grads(uncapped["loss"], at)[0].item() != 0


def test_the_gap_is_the_derivative_of_the_contrastive_term():
    image, gene, ids, neighbors, alphas = make(10, 4)
    scale = leaf(torch.tensor(8.0, dtype=torch.float64))
    terms = spatial(0.5, 0.0)(image, gene, scale, ids, neighbors, alphas)
    torch.testing.assert_close(grads(terms["loss"], scale)[0], terms["gap"])


def test_terms_add_up():
    image, gene, ids, neighbors, alphas = make(10, 4)
    terms = spatial(0.5, 3.0)(image, gene, torch.tensor(8.0), ids, neighbors, alphas)
    assert set(terms) == {"loss", "contrastive", "temp_reg", "gap", "logit_scale"}
    assert terms["temp_reg"] > 0
    torch.testing.assert_close(terms["loss"], terms["contrastive"] + terms["temp_reg"])


def test_from_batch_is_the_same_call_for_every_loss():
    image, gene, ids, neighbors, alphas = make(6, 4)
    scale = torch.tensor(8.0)
    batch = {"tile_ids": ids, "neighbor_tile_ids": neighbors, "neighbor_alphas": alphas}
    direct = {"clip": (clip(), ()), "spatial": (spatial(), (ids, neighbors, alphas))}
    assert direct.keys() == LOSSES.keys()
    for loss, more in direct.values():
        assert loss.from_batch(image, gene, scale, batch)["loss"] == loss(image, gene, scale, *more)["loss"]


@pytest.mark.parametrize("name", LOSSES)
def test_only_the_loss_itself_carries_a_gradient(name):
    image, gene, ids, neighbors, alphas = make(6, 4)
    batch = {"tile_ids": ids, "neighbor_tile_ids": neighbors, "neighbor_alphas": alphas}
    loss = {"clip": clip(), "spatial": spatial(0.5, 3.0, cap=40.0)}[name]
    terms = loss.from_batch(leaf(image), leaf(gene), leaf(torch.tensor(8.0)), batch)
    assert [term for term, value in terms.items() if value.requires_grad] == ["loss"]


def test_a_large_scale_and_a_sure_model_stay_finite():
    eye = torch.eye(4)[:, [1, 2, 3, 0]].requires_grad_()
    scale = torch.tensor(1000.0, requires_grad=True)
    ids, neighbors = torch.arange(4), torch.tensor([[1], [2], [3], [0]])
    terms = spatial(0.5, 0.05)(eye, torch.eye(4), scale, ids, neighbors, torch.ones(4, 1))
    for value in (terms["loss"], *grads(terms["loss"], eye, scale)):
        assert torch.isfinite(value).all()


def test_half_precision_features_are_scored_in_float32():
    image, gene, ids, neighbors, alphas = make(6, 4)
    image, gene = image.bfloat16(), gene.bfloat16()
    scale = torch.tensor(40.0)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed = spatial(0.5, 0.1)(image, gene, scale, ids, neighbors, alphas)["loss"]
        plain = clip()(image, gene, scale)["loss"]
    exact = spatial(0.5, 0.1)(image.double(), gene.double(), scale, ids, neighbors, alphas)["loss"]
    torch.testing.assert_close(mixed.double(), exact, rtol=1e-5, atol=1e-5)
    exact = clip()(image.double(), gene.double(), scale)["loss"]
    torch.testing.assert_close(plain.double(), exact, rtol=1e-5, atol=1e-5)


def test_wrong_settings_and_shapes_are_named():
    with pytest.raises(ConfigError, match=r"temp_reg_weight must be at least 0, got -1"):
        spatial(reg=-1)
    with pytest.raises(ConfigError, match=r"cap_logit_scale must be above 0, got 0"):
        spatial(cap=0)
    image, gene, ids, neighbors, alphas = make(6, 4)
    scale = torch.tensor(8.0)
    with pytest.raises(ValueError, match=r"must both be \[B, D\], got \[6, 5\] and \[5, 5\]"):
        clip()(image, gene[:5], scale)
    with pytest.raises(
        ValueError, match=r"neighbor ids and alphas \[B, k\], got \[6\], \[6, 4\] and \[6, 3\]"
    ):
        spatial()(image, gene, scale, ids, neighbors, alphas[:, :3])
    with pytest.raises(ValueError, match=r"got \[5\], \[6, 4\] and \[6, 4\]"):
        spatial()(image, gene, scale, ids[:5], neighbors, alphas)
    with pytest.raises(ValueError, match=r"got \[6\], \[5, 4\] and \[5, 4\]"):
        spatial()(image, gene, scale, ids, neighbors[:5], alphas[:5])
    with pytest.raises(ValueError, match=r"got \[6\], \[6\] and \[6\]"):
        spatial()(image, gene, scale, ids, neighbors[:, 0], alphas[:, 0])
    with pytest.raises(ValueError, match=r"must both be \[B, D\], got \[6\] and \[6\]"):
        clip()(image[:, 0], gene[:, 0], scale)
