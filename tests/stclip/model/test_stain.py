"""The frozen encoder `stain`: invariances, reference values, edge cases."""

import subprocess
import sys

import numpy as np
import pytest
import torch

from stclip.model.stain import StainFeatures
from stclip.model.stain_statistics import STAIN_MATRIX, stain_maps

features = StainFeatures()


def random_tiles(n, height, width, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (n, height, width, 3), dtype=torch.uint8, generator=generator)


def value(tiles, name):
    return features(tiles)[:, features.names.index(name)]


@pytest.mark.parametrize(("height", "width"), [(8, 8), (9, 12), (33, 31), (64, 64)])
@pytest.mark.parametrize(
    "turn",
    [
        lambda t: t.flip(1),
        lambda t: t.flip(2),
        lambda t: torch.rot90(t, 1, (1, 2)),
        lambda t: torch.rot90(t, 3, (1, 2)),
    ],
)
def test_flips_and_quarter_turns_change_nothing(height, width, turn):
    tiles = random_tiles(4, height, width)
    torch.testing.assert_close(features(turn(tiles)), features(tiles), rtol=1e-3, atol=1e-4)


def test_shape_names_and_chunks():
    tiles = random_tiles(7, 16, 20)
    out = features(tiles)
    assert out.shape == (7, features.dim) and out.dtype == torch.float32
    assert len(set(features.names)) == features.dim and 80 <= features.dim <= 200
    torch.testing.assert_close(features(tiles, chunk=3), out)
    assert features(tiles[:0]).shape == (0, features.dim)


def test_different_tiles_differ_and_the_order_of_a_batch_does_not_matter():
    tiles = random_tiles(6, 16, 16)
    out = features(tiles)
    torch.testing.assert_close(features(tiles.flip(0)), out.flip(0))
    assert not torch.allclose(out[0], out[1])


@pytest.mark.parametrize("grey", [0, 1, 128, 255])
@pytest.mark.parametrize("side", [8, 64])
def test_an_even_tile_is_finite_and_has_no_texture(grey, side):
    tiles = torch.full((2, side, side, 3), grey, dtype=torch.uint8)
    assert torch.isfinite(features(tiles)).all()
    for statistic in (
        "full/red/spread",
        "full/eosin/skewness",
        "full/haematoxylin/peaks_5",
        "full/red/direction",
    ):
        assert value(tiles, statistic).abs().max() < 1e-4, statistic


def test_the_smallest_step_on_an_even_tile_stays_bounded():
    tiles = torch.full((1, 64, 64, 3), 200, dtype=torch.uint8)
    tiles[0, 10, 10] = 201
    out = features(tiles)
    assert torch.isfinite(out).all() and out.abs().max() < 1000


def test_stain_maps_find_the_dyes_that_were_put_in():
    stains = np.array(STAIN_MATRIX)
    stains /= np.linalg.norm(stains, axis=1, keepdims=True)
    amounts = np.random.default_rng(0).uniform(0.0, 0.6, (1, 8, 8, 3))
    tiles = np.rint(256.0 * np.exp(-amounts @ stains) - 1.0).astype(np.uint8)
    found = stain_maps(torch.from_numpy(tiles))[:, 3:].permute(0, 2, 3, 1).numpy()
    np.testing.assert_allclose(found, amounts, atol=0.06)  # eight bits


def test_simple_statistics_against_numpy():
    tiles = random_tiles(3, 10, 14)
    red = tiles[..., 0].numpy() / 255.0
    np.testing.assert_allclose(value(tiles, "full/red/mean"), red.mean((1, 2)), rtol=1e-5)
    np.testing.assert_allclose(value(tiles, "full/red/spread"), red.std((1, 2)), rtol=1e-5)
    gx, gy = (red[:, 1:-1, 2:] - red[:, 1:-1, :-2]) / 2, (red[:, 2:, 1:-1] - red[:, :-2, 1:-1]) / 2
    np.testing.assert_allclose(value(tiles, "full/red/gradient"), np.hypot(gx, gy).mean((1, 2)), rtol=1e-4)
    h = stain_maps(tiles)[:, 3].numpy()
    away = h - h.mean((1, 2), keepdims=True)
    lagged = (away[:, :, 2:] * away[:, :, :-2]).mean((1, 2)) + (away[:, 2:] * away[:, :-2]).mean((1, 2))
    expected = 0.5 * lagged / (away**2).mean((1, 2))
    np.testing.assert_allclose(
        value(tiles, "full/haematoxylin/autocorrelation_2"), expected, rtol=1e-3, atol=1e-5
    )


def tile_with_nuclei(number):
    """A pale tile with `number` round dark blue nuclei on a grid."""
    y, x = np.mgrid[:64, :64]
    tile = np.full((64, 64, 3), (235, 200, 220), np.uint8)
    for k in range(number):
        cx, cy = 10 + 14 * (k % 4), 10 + 14 * (k // 4)
        depth = np.exp(-((x - cx) ** 2 + (y - cy) ** 2) / 8.0)[:, :, None]
        tile = np.rint(tile * (1 - depth) + np.array([70, 50, 120]) * depth).astype(np.uint8)
    return torch.from_numpy(tile)


def test_peaks_count_nuclei():
    tiles = torch.stack([tile_with_nuclei(k) for k in (0, 1, 5, 16)])
    found = value(tiles, "full/haematoxylin/peaks_9") * 64 * 64 / 1000
    torch.testing.assert_close(found, torch.tensor([0.0, 1.0, 5.0, 16.0]), rtol=0, atol=1e-3)


def test_direction_tells_fibres_from_noise():
    stripes = (128 + 80 * np.sin(np.arange(32) / 1.5)).astype(np.uint8)
    fibres = torch.from_numpy(np.broadcast_to(stripes[None, :, None, None], (1, 32, 32, 3)).copy())
    assert value(fibres, "full/red/direction")[0] > 0.99
    assert value(random_tiles(1, 32, 32), "full/red/direction")[0] < 0.3


@pytest.mark.parametrize(
    "tiles",
    [
        torch.zeros((2, 16, 16, 3)),
        torch.zeros((2, 3, 16, 16), dtype=torch.uint8),
        torch.zeros((2, 7, 16, 3), dtype=torch.uint8),
        torch.zeros((16, 16, 3), dtype=torch.uint8),
    ],
)
def test_other_inputs_are_refused(tiles):
    with pytest.raises(ValueError, match=r"tiles must be uint8 \[N, H, W, 3\] with H, W >= 8, got"):
        features(tiles)


def test_looking_up_the_encoder_does_not_import_torch():
    code = (
        "import sys; from stclip.model.stain import StainFeatures; StainFeatures.version\n"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    ("side", "center", "middle"), [(32, 0.5, slice(8, 24)), (33, 0.5, slice(8, 25)), (32, 0.1, slice(12, 20))]
)
def test_a_wide_tile_is_looked_at_twice(side, center, middle):
    tiles = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (3, side, side, 3), dtype=np.uint8))
    both = StainFeatures(center)
    found = both(tiles)
    once = StainFeatures()
    expected = torch.cat([once(tiles[:, middle, middle]), once(tiles)], dim=1)
    torch.testing.assert_close(found, expected)
    assert both.dim == 2 * once.dim == found.shape[1]
    assert both.names[0] == f"middle/{once.names[0]}" and both.names[-1] == f"whole/{once.names[-1]}"
