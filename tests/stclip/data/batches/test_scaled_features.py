"""Features scaled a batch at a time are those scaled all at once; nothing of the store is copied."""

import numpy as np
import pytest
import torch

from stclip.config import Experiment
from stclip.config.load import validate
from stclip.data.batches.datamodule import SpotDataModule
from stclip.data.batches.frozen_features import scale_features
from stclip.data.batches.scaled_features import ScaledFeatures, ScalingTables

SLIDES = np.array([0] * 7 + [1] + [2] * 5, np.int32)  # one of a single spot
TRAIN = np.arange(8)


@pytest.fixture
def features():
    values = np.random.default_rng(0).normal(3, 2, (len(SLIDES), 4)).astype(np.float32)
    values[:, 1] = 7  # the same everywhere
    values[:7, 2] = -1  # the same on the first slide
    return values


@pytest.mark.parametrize("how", ["none", "train", "slide"])
def test_a_batch_has_the_values_of_the_whole_to_the_last_bit(features, how):
    tables = ScalingTables.of(features, SLIDES, TRAIN, 3)
    scaled = ScaledFeatures(features, SLIDES, ScalingTables.from_array(tables.as_array()), how)
    expected = scale_features(features, SLIDES, TRAIN, how)
    before = features.copy()
    for rows in ([3], [12, 0, 7, 7], list(range(13))):
        found = scaled[torch.tensor(rows)]
        assert found.dtype == torch.float32
        np.testing.assert_array_equal(found.numpy(), expected[rows])
    np.testing.assert_array_equal(features, before)
    assert scaled.dim == 4


def test_another_way_is_refused(features):
    tables = ScalingTables.of(features, SLIDES, TRAIN, 3)
    with pytest.raises(ValueError, match="how must be none, train or slide, got 'spot'"):
        ScaledFeatures(features, SLIDES, tables, "spot")


def test_a_slide_without_a_spot_is_left_as_it_is(features):
    tables = ScalingTables.of(features, np.where(SLIDES == 1, 0, SLIDES), TRAIN, 3)
    assert tables.slides[1].mean.tolist() == [0] * 4 and tables.slides[1].std.tolist() == [1] * 4


@pytest.mark.parametrize("order", ["none", "slide"])
def test_what_a_trial_reads_lies_on_the_pages_of_the_store(shared_tiny_dataset, order):
    tree = {
        "data": {"dataset": str(shared_tiny_dataset), "image_size": 16, "max_genes": 8, "num_neighbors": 4},
        "features": {"normalize": "slide", "normalize_genes": order},
    }
    data = SpotDataModule(validate(Experiment, tree, "test"))
    store = data.opened()
    for tensor in (
        data.image._features,
        data.genes,
        data.neighbor_ids,
        data.neighbor_alphas,
        data.slide_index,
    ):
        maps = [array for array in np_maps() if np.shares_memory(tensor.numpy(), array)]
        assert maps, tensor.shape
    kept = {path.name.partition("_")[0] for path in store.path.glob("*_*.npy")}
    assert {"features", "scaling"} <= kept and ("genes" in kept) == (order == "slide")


def np_maps():
    import gc

    return [array for array in gc.get_objects() if type(array) is np.memmap]
