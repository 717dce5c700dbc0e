"""retrieval.json: ranks and examples of one model, chosen by rule and not by eye."""

import base64
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from stclip.config import Experiment
from stclip.config.load import validate
from stclip.data.store import open_store
from stclip.evaluation.evaluate import evaluate
from stclip.train import fit
from stclip.training.checkpoint_file import CHECKPOINT
from sweeps.analysis.retrieval_examples import GENES, ShownModel, _median_slide, _queries, retrieval_of
from tests.conftest import TINY_SLIDES
from tests.whole_sweeps.sweep_runner import BASE


@pytest.fixture(scope="module")
def shown(shared_tiny_dataset, tmp_path_factory):
    folder = tmp_path_factory.mktemp("shown")
    tree = {**BASE, "name": "clip-0000-confirm-0", "data": {**BASE["data"], "dataset": str(shared_tiny_dataset)},
            "trainer": {"accelerator": "cpu", "max_epochs": 1, "loggers": []}}  # fmt: skip
    config = validate(Experiment, tree, "test")
    fit(config, folder)
    return ShownModel("clip", 7, config, folder / CHECKPOINT)


def test_ranks_are_those_of_the_evaluation(shown):
    found = retrieval_of(shown, {"E1": "p1"})
    assert (found["family"], found["trial"], found["seed"]) == ("clip", "clip-0000-confirm-0", 7)
    (one,) = found["maps"]
    assert (one["slide"], one["donor"], len(one["x"])) == ("E1", "p1", TINY_SLIDES["E1"])
    measured = evaluate(shown.config, shown.checkpoint, "test").slides["E1"]
    ranks = np.array([one["image_to_gene"], one["gene_to_image"]])
    assert np.median(ranks, axis=1).mean() == pytest.approx(measured["median_rank"])
    assert (ranks <= 10).mean() == pytest.approx(measured["R@10"])


def test_examples_show_spots_of_the_slide_and_their_own_tiles(shown):
    examples = retrieval_of(shown, {})["examples"]
    store = open_store(shown.config.data)
    keys = {str(store.keys[row]): row for row in store.slide_rows("E1")}
    assert (examples["slide"], examples["gallery"]) == ("E1", TINY_SLIDES["E1"])
    for query in examples["image_to_gene"]:
        row = keys[query["spot"]]
        tile = np.array(Image.open(BytesIO(base64.b64decode(query["tile"]))))
        np.testing.assert_array_equal(tile, store.tiles[row])
        assert query["genes"] == [store.vocabulary[g] for g in store.genes[row][:GENES]]
        assert all("tile" not in answer and len(answer["genes"]) == GENES for answer in query["top"])
    for query in examples["gene_to_image"]:
        assert all("genes" not in answer and answer["tile"] for answer in query["top"])
        assert any(answer["hit"] for answer in query["top"]) == (query["rank"] <= 5)


def test_queries_stand_at_the_quantiles_of_the_ranks():
    ranks = np.random.default_rng(0).permutation(101) + 1.0
    assert [ranks[place] for place in _queries(ranks)] == [11, 31, 51, 71, 91]
    assert _queries(np.array([2.0, 1.0])) == [1, 0]


def test_the_slide_is_the_median_one():
    class Slide:
        def __init__(self, slide_id, recall):
            self.slide_id, self.recall = slide_id, {10: (recall, recall)}

    slides = [Slide(0, 0.9), Slide(1, 0.1), Slide(2, 0.5), Slide(3, 0.6)]
    assert _median_slide(slides).slide_id == 2
