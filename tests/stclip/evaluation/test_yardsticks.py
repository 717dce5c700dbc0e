"""CCA and the untrained model of a configuration: on its inputs, by the code that everything else uses."""

import pytest

from stclip.config import Experiment
from stclip.config.load import validate
from stclip.data.batches import datamodule
from stclip.data.batches.frozen_features import frozen_features, scale_features
from stclip.data.batches.gene_inputs import spot_genes
from stclip.data.store import open_store
from stclip.evaluation.baselines import tuned_cca
from stclip.evaluation.evaluate import evaluate
from stclip.evaluation.yardsticks import cca_baseline, untrained


@pytest.fixture
def config(shared_tiny_dataset):
    tree = {
        "data": {"dataset": str(shared_tiny_dataset), "image_size": 16, "max_genes": 12, "num_neighbors": 4},
        "features": {"normalize": "slide", "normalize_genes": "slide"},
        "model": {"image": {"name": "stain", "width": 16}, "genes": {"width": 16}, "embed_dim": 8},
        "trainer": {"accelerator": "cpu"},
    }
    return validate(Experiment, tree, "test")


def expected_cca(config, name="stain", center=1.0):
    store = open_store(config.data)
    raw = frozen_features(store, name, center)
    features = scale_features(raw, store.slide_index, store.spots("train"), config.features.normalize)
    return tuned_cca(store, features, genes=spot_genes(store, config))


def test_cca_reads_what_the_model_reads(config):
    found = cca_baseline(config)
    assert found == expected_cca(config) and found.test["R@10"] > found.test["chance_R@10"]
    plain = config.model_copy(update={"features": config.features.model_copy(update={"normalize": "none"})})
    assert cca_baseline(plain) != found
    assert cca_baseline(config, test=False).test == {}


def test_towers_that_read_tiles_are_compared_on_the_stain_statistics(config):
    image = config.model.image.model_copy(update={"name": "cnn"})
    tiles = config.model_copy(update={"model": config.model.model_copy(update={"image": image})})
    assert cca_baseline(tiles) == expected_cca(config)


def test_the_untrained_model_of_each_seed_is_what_evaluation_says(config, monkeypatch):
    opened = []
    real = datamodule.open_store
    monkeypatch.setattr(datamodule, "open_store", lambda *a, **k: opened.append(1) or real(*a, **k))
    found = untrained(config, [3, 4])
    assert len(opened) == 1  # for all seeds and splits
    assert [one.params for one in found] == [{"seed": 3.0}, {"seed": 4.0}]
    for seed, one in zip((3, 4), found, strict=True):
        started = config.model_copy(update={"seed": seed})
        assert one.val == evaluate(started, None, "val").metrics
        tested = evaluate(started, None, "test")
        assert (one.test, one.slides) == (tested.metrics, tested.slides)
    assert found[0].test != found[1].test
    assert untrained(config, [3], test=False)[0].test == {}
