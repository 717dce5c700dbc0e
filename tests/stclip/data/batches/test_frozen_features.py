"""Frozen features: computed once, stored whole, scaled."""

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from threading import Thread

import numpy as np
import pytest
import torch

from stclip.data.batches import frozen_features as module
from stclip.data.batches.frozen_features import FeatureScaling, frozen_features, scale_features
from stclip.errors import ConfigError
from stclip.model.stain import StainFeatures


@dataclass
class TilesOnly:
    """The part of a SpotStore that frozen features read."""

    path: Path
    tiles: np.ndarray


@pytest.fixture
def store(tmp_path):
    rng = np.random.default_rng(0)
    return TilesOnly(tmp_path, rng.integers(0, 256, (11, 12, 12, 3), dtype=np.uint8))


def test_values_are_those_of_the_encoder_across_blocks(store, monkeypatch):
    monkeypatch.setattr(module, "_BLOCK", 4)
    found = frozen_features(store, "stain")
    expected = StainFeatures()(torch.from_numpy(store.tiles)).numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    assert found.dtype == np.float32 and isinstance(found, np.memmap) and not found.flags.writeable


def test_progress_is_told_block_by_block(store, monkeypatch):
    monkeypatch.setattr(module, "_BLOCK", 4)
    seen = []
    frozen_features(store, "stain", progress=lambda *counts: seen.append(counts))
    assert seen == [(0, 11), (4, 11), (8, 11), (11, 11)]  # first of all before another process is waited for


def test_computed_once_and_then_read(store, monkeypatch):
    first = np.array(frozen_features(store, "stain"))
    monkeypatch.setattr(module, "_compute", lambda *_: pytest.fail("computed again"))
    np.testing.assert_array_equal(frozen_features(store, "stain"), first)
    assert (store.path / f"features_stain_{StainFeatures.version}.npy").is_file()


def test_many_at_once_compute_once(store, monkeypatch):
    calls, compute = [], module._compute
    monkeypatch.setattr(module, "_compute", lambda *a: calls.append(1) or compute(*a))
    threads = [Thread(target=frozen_features, args=(store, "stain")) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(calls) == 1


def test_another_version_is_computed_anew(store, monkeypatch):
    frozen_features(store, "stain")
    monkeypatch.setattr(StainFeatures, "version", "next")
    frozen_features(store, "stain")
    assert (store.path / "features_stain_next.npy").is_file()


def test_an_interrupted_computation_leaves_nothing_that_is_taken_for_features(store, monkeypatch):
    def break_off(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(module, "_compute", break_off)
        with pytest.raises(KeyboardInterrupt):
            frozen_features(store, "stain")
    assert not list(store.path.glob("features_*"))
    assert len(frozen_features(store, "stain")) == 11


def test_a_folder_without_write_permission_gives_the_same_values(store, monkeypatch):
    monkeypatch.setattr(module.os, "access", lambda *_: False)
    found = frozen_features(store, "stain")
    assert not list(store.path.iterdir())
    np.testing.assert_allclose(found, StainFeatures()(torch.from_numpy(store.tiles)), rtol=1e-5, atol=1e-6)


def test_unknown_name(store):
    with pytest.raises(
        ConfigError, match=r"unknown frozen encoder 'stian'; did you mean 'stain'\? Known: hf:, stain"
    ):
        frozen_features(store, "stian")


def test_opening_stored_features_imports_no_torch(store):
    frozen_features(store, "stain")
    np.save(store.path / "tiles.npy", store.tiles)
    code = (
        "import sys, types, pathlib; from stclip.data.batches.frozen_features import frozen_features, scale_features\n"
        f"store = types.SimpleNamespace(path=pathlib.Path({str(store.path)!r}), tiles=[None] * 11)\n"
        "assert frozen_features(store, 'stain').shape[0] == 11\n"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_scaling_none_and_train():
    rng = np.random.default_rng(1)
    features = rng.normal(3.0, 2.0, (20, 3)).astype(np.float32)
    slides, train = np.repeat([0, 1], 10), np.arange(10)
    np.testing.assert_array_equal(scale_features(features, slides, train, "none"), features)
    scaled = scale_features(features, slides, train, "train")
    np.testing.assert_allclose(
        scaled, (features - features[:10].mean(0)) / features[:10].std(0), rtol=1e-4, atol=1e-5
    )
    assert scaled.dtype == np.float32


def test_scaling_by_slide():
    rng = np.random.default_rng(2)
    slides = np.array([2, 0, 2, 0, 2, 5])
    features = rng.normal(size=(6, 4)).astype(np.float32)
    scaled = scale_features(features, slides, np.arange(1), "slide")
    for slide in (0, 2):
        rows = features[slides == slide]
        np.testing.assert_allclose(
            scaled[slides == slide], (rows - rows.mean(0)) / rows.std(0), rtol=1e-4, atol=1e-5
        )
    np.testing.assert_array_equal(scaled[5], 0.0)  # alone on its slide
    with pytest.raises(ValueError, match="how must be none, train or slide, got 'spot'"):
        scale_features(features, slides, np.arange(1), "spot")


def test_constant_features_become_zero_in_every_row():
    features = np.full((6, 2), 0.1, np.float32)
    features[:, 1] = [0, 1, 2, 3, 4, 5]
    scaling = FeatureScaling.of(features)
    assert scaling.std[0] == 0.0
    other = scaling.apply(np.array([[7.0, 2.5]], np.float32))
    np.testing.assert_allclose(other, [[0.0, 0.0]], atol=1e-6)


def test_a_wide_tile_has_features_of_its_own(store):
    wide, plain = frozen_features(store, "stain", 0.75), frozen_features(store, "stain")
    assert wide.shape[1] == 2 * plain.shape[1]
    assert (store.path / f"features_stain_{StainFeatures.version}_center0.75.npy").is_file()
