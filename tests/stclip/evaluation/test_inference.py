"""New tiles and sentences: one vector a spot, whatever batches they come in, and no call that cannot be right."""

import numpy as np
import pytest

from stclip.config.load import load_experiment
from stclip.data.store import open_store
from stclip.errors import InputError
from stclip.evaluation.inference import load_model
from stclip.train import fit
from tests.readme_example import run_readme_example


def trained(dataset, folder, *overrides):
    """A model as the default sweep trains it, on small tiles."""
    small = ("data.image_size=16", "data.batch_size=16", "trainer.max_epochs=1", "trainer.accelerator=cpu",
             "trainer.loggers=[csv]", "model.embed_dim=8", "model.image.width=8", "model.genes.width=8")  # fmt: skip
    config = load_experiment("sweep_base", [f"data.dataset={dataset}", *small, *overrides])
    fit(config, folder)
    return load_model(folder)


@pytest.fixture(scope="module")
def by_slide(shared_tiny_dataset, tmp_path_factory):
    """A model whose tiles and sentences both depend on their slide."""
    folder = tmp_path_factory.mktemp("by_slide")
    return trained(shared_tiny_dataset, folder, "features.normalize_genes=slide")


@pytest.fixture(scope="module")
def slide(by_slide):
    """Tiles and sentences of a slide."""
    store = open_store(by_slide.config.data)
    rows = store.slide_rows("E1")
    return store.tiles[rows], [
        " ".join(store.vocabulary[gene] for gene in spot if gene >= 0) for spot in store.genes[rows]
    ]


def test_a_slide_gets_the_same_vectors_whole_and_in_batches(by_slide, slide):
    tiles, _ = slide
    whole = by_slide.embed_slide(tiles)
    np.testing.assert_allclose(np.linalg.norm(whole, axis=1), 1, rtol=1e-5)
    for size in (1, 7, len(tiles)):
        batches = (tiles[at : at + size] for at in range(0, len(tiles), size))
        np.testing.assert_allclose(by_slide.embed_slide(batches), whole, atol=1e-5)
    # Which is why the whole slide is asked for.
    assert np.abs(by_slide.embed_slide(tiles[:5]) - whole[:5]).max() > 0.01


def test_what_depends_on_the_slide_is_refused_without_it(by_slide, slide):
    tiles, sentences = slide
    with pytest.raises(
        InputError, match=r"embed_tiles cannot tell .* use embed_slide\(tiles\) with all tiles of one slide"
    ):
        by_slide.embed_tiles(tiles)
    with pytest.raises(InputError, match="embed_sentences cannot tell .* use embed_slide_sentences"):
        by_slide.embed_sentences(sentences)
    assert by_slide.embed_slide_sentences(sentences).shape == (len(tiles), 8)


@pytest.mark.parametrize("count", [1, 3])
def test_tiles_and_sentences_that_do_not_differ_are_no_slide(by_slide, slide, count):
    tiles, sentences = slide
    with pytest.raises(InputError, match=f"needs all tiles of a slide, got {count} without any difference"):
        by_slide.embed_slide(np.repeat(tiles[:1], count, axis=0))
    with pytest.raises(
        InputError, match=f"needs all sentences of a slide, got {count} without any difference"
    ):
        by_slide.embed_slide_sentences(sentences[:1] * count)


def test_nothing_is_no_slide(by_slide):
    with pytest.raises(InputError, match="needs all tiles of a slide, got none"):
        by_slide.embed_slide([])
    with pytest.raises(InputError, match="needs all sentences of a slide, got none"):
        by_slide.embed_slide_sentences([])


@pytest.mark.parametrize("normalize", ["none", "train"])
def test_without_slides_one_tile_is_as_good_as_many(shared_tiny_dataset, tmp_path, slide, normalize):
    model = trained(shared_tiny_dataset, tmp_path, f"features.normalize={normalize}")
    tiles, sentences = slide
    whole = model.embed_slide(tiles)
    np.testing.assert_allclose(model.embed_tiles(tiles), whole, atol=1e-6)
    np.testing.assert_allclose(
        np.concatenate([model.embed_tiles(tiles[i : i + 1]) for i in range(5)]), whole[:5], atol=1e-5
    )
    np.testing.assert_allclose(model.embed_slide(tiles[:1]), whole[:1], atol=1e-5)
    np.testing.assert_allclose(
        model.embed_slide_sentences(sentences[:1]), model.embed_sentences(sentences)[:1], atol=1e-5
    )
    assert model.embed_tiles(tiles[:0]).shape == (0, 8)
    assert model.embed_sentences([]).shape == (0, 8)


@pytest.mark.parametrize(
    ("tiles", "rule"),
    [
        ([[0]], r"tiles must be a numpy array uint8 \[N, 16, 16, 3\], got a list"),
        (np.zeros((2, 16, 16, 3)), r"tiles must be uint8 \[N, 16, 16, 3\], got float64 \[2, 16, 16, 3\]"),
        (np.zeros((16, 16, 3), np.uint8), r"got uint8 \[16, 16, 3\]"),
        (np.zeros((2, 17, 16, 3), np.uint8), r"got uint8 \[2, 17, 16, 3\]"),
    ],
)
def test_other_tiles_are_refused(by_slide, tiles, rule):
    with pytest.raises(InputError, match=rule):
        by_slide.embed_slide(tiles)


@pytest.mark.parametrize("sentences", ["GENE01 GENE02", [b"GENE01"], [["GENE01"]]])
def test_what_is_no_list_of_texts_is_refused(by_slide, sentences):
    with pytest.raises(
        InputError, match=r"sentences must be a list of texts, such as \['GENE1 GENE2'\], got "
    ):
        by_slide.embed_slide_sentences(sentences)


def test_the_readmes_example_runs_as_it_stands_there(shared_tiny_dataset, tmp_path):
    trained(shared_tiny_dataset, tmp_path, "data.batching=neighborhood", "loss.name=spatial")
    made = run_readme_example(tmp_path)
    assert made["cosines"].shape == (28, 28)
    assert made["model"].needs_whole_slides
