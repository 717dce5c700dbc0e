"""Towers and the dual encoder: shapes, masks, invariances."""

import pytest
import torch

from stclip.config import AugmentConfig, GeneTowerConfig, ImageTowerConfig, ModelConfig
from stclip.model.augment import jitter_colors, turn_tiles
from stclip.model.dual_encoder import DualEncoder
from stclip.model.genes import BagTower
from stclip.model.image import CnnTower


def tiles(count=5, side=32):
    return torch.randint(
        0, 256, (count, side, side, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )


def bag(**changes):
    torch.manual_seed(0)
    return BagTower(GeneTowerConfig(width=16, **changes), num_genes=30, max_genes=8, embed_dim=4)


@pytest.mark.parametrize("learnable", [True, False])
@pytest.mark.parametrize(("name", "inputs"), [("cnn", tiles()), ("stain", torch.randn(5, 7))])
def test_embeddings_have_unit_length_and_gradients_reach_every_weight(name, inputs, learnable):
    config = ModelConfig(
        image=ImageTowerConfig(name=name, width=32), learnable_temperature=learnable, embed_dim=6
    )
    encoder = DualEncoder(config, AugmentConfig(), input_dim=7, num_genes=30, max_genes=8)
    genes = torch.randint(0, 30, (5, 8))
    image_features, gene_features = encoder.encode_image(inputs), encoder.encode_genes(genes)
    assert image_features.shape == gene_features.shape == (5, 6)
    torch.testing.assert_close(image_features.norm(dim=1), torch.ones(5))
    torch.testing.assert_close(gene_features.norm(dim=1), torch.ones(5))
    torch.testing.assert_close(encoder.logit_scale, torch.tensor(1 / 0.07))
    (encoder.logit_scale * (image_features * gene_features.roll(1, 0)).sum()).backward()
    assert all(p.grad is not None for p in encoder.parameters())
    assert ("log_logit_scale" in dict(encoder.named_parameters())) == learnable


def test_padding_and_what_stands_behind_it_do_not_matter():
    tower = bag().eval()
    short = torch.tensor([[3, 4, 5, -1, -1]])
    longer = torch.tensor([[3, 4, 5, -1, -1, -1, -1, -1]])
    torch.testing.assert_close(tower(short), tower(longer))
    assert torch.isfinite(tower(torch.full((1, 8), -1))).all()


def test_rank_matters():
    tower = bag().eval()
    assert not torch.allclose(tower(torch.tensor([[3, 4, 5]])), tower(torch.tensor([[5, 4, 3]])))


def test_bag_equals_a_loop_over_genes():
    tower = bag().eval()
    genes = torch.tensor([[2, 7, 11, -1]])
    weights = torch.exp(tower.rank_start + tower.rank_weight)[:3]
    weights = weights / weights.pow(2).sum().sqrt()
    total = sum(w * tower.embedding.weight[g] for w, g in zip(weights, (2, 7, 11), strict=True))
    expected = tower.norm(total)
    torch.testing.assert_close(tower(genes)[0], tower.linear(expected) + tower.mlp(expected))


def test_gene_dropout_acts_while_training_only():
    tower = bag(gene_dropout=0.5, dropout=0.0)
    genes = torch.randint(0, 30, (4, 8), generator=torch.Generator().manual_seed(1))
    torch.manual_seed(0)
    assert not torch.allclose(tower(genes), tower(genes))
    tower.eval()
    torch.testing.assert_close(tower(genes), tower(genes))


def test_turns_move_pixels_without_changing_them():
    pixels = tiles(64, 8)
    torch.manual_seed(0)
    moved = turn_tiles(pixels, AugmentConfig())
    assert not torch.equal(moved, pixels)
    assert torch.equal(moved.flatten(1, 2).sort(dim=1).values, pixels.flatten(1, 2).sort(dim=1).values)
    off = turn_tiles(pixels, AugmentConfig(flips=False, quarter_turns=False))
    assert torch.equal(off, pixels)


def test_all_eight_orientations_occur():
    corners = torch.arange(4).reshape(1, 2, 2, 1).expand(400, 2, 2, 3)
    torch.manual_seed(0)
    seen = {tuple(t[..., 0].flatten().tolist()) for t in turn_tiles(corners, AugmentConfig())}
    assert len(seen) == 8


def test_tiles_that_are_not_square_are_flipped_only():
    assert turn_tiles(torch.zeros(4, 8, 6, 3), AugmentConfig()).shape == (4, 8, 6, 3)


def test_jitter_is_contrast_then_brightness_and_tint():
    pixels = tiles(8, 8).permute(0, 3, 1, 2).float() / 255
    torch.manual_seed(0)
    jittered = jitter_colors(pixels, 0.4)
    torch.manual_seed(0)
    contrast, brightness, tint = (2 * torch.rand(8, n, 1, 1) - 1 for n in (1, 1, 3))
    mean = pixels.mean(dim=(1, 2, 3), keepdim=True)
    expected = ((pixels - mean) * (1 + 0.4 * contrast) + mean) * (1 + 0.4 * brightness) * (1 + 0.2 * tint)
    torch.testing.assert_close(jittered, expected.clamp(0, 1))
    assert torch.equal(jitter_colors(pixels, 0.0), pixels)


@pytest.mark.parametrize("side", [16, 32, 64])
def test_cnn_takes_any_tile_size(side):
    tower = CnnTower(
        ImageTowerConfig(name="cnn", width=32), AugmentConfig(), input_dim=side, embed_dim=6
    ).eval()
    assert tower(tiles(3, side)).shape == (3, 6)
