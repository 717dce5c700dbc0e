"""One training run from shards to test metrics, and a model taken out of it again."""

import json
import logging
from itertools import pairwise

import lightning.pytorch as pl
import numpy as np
import pytest
import torch

from stclip.config import Experiment
from stclip.config.load import load_experiment, validate
from stclip.data.batches.datamodule import SpotDataModule
from stclip.errors import ConfigError, InputError
from stclip.evaluation.evaluate import evaluate, read_checkpoint
from stclip.evaluation.inference import load_model
from stclip.train import fit, main, parse_arguments
from stclip.training.checkpoint_file import CHECKPOINT
from stclip.training.module import _warm_cosine
from tests.conftest import TINY_SLIDES


def experiment(dataset, **sections):
    tree = {
        "data": {"dataset": str(dataset), "image_size": 16, "batch_size": 16},
        "model": {"embed_dim": 8, "image": {"width": 16}, "genes": {"width": 16}},
        "loss": {"name": "spatial"},
        "trainer": {"max_epochs": 2, "threads": 1, "loggers": ["csv"], "accelerator": "cpu"},
    }
    for name, values in sections.items():
        tree[name] = {**tree.get(name, {}), **values}
    return validate(Experiment, tree, "test")


def weights(path):
    return read_checkpoint(path)["state_dict"]


@pytest.mark.parametrize("tower", ["stain", "cnn"])
@pytest.mark.parametrize("loss", ["clip", "spatial"])
def test_a_run_reports_every_promised_metric_and_writes_its_files(tiny_dataset, tmp_path, tower, loss):
    config = experiment(tiny_dataset, model={"image": {"name": tower, "width": 16}}, loss={"name": loss})
    result = fit(config, tmp_path / "run", test=True)
    for split in ("val", "test"):
        for k in (1, 5, 10):
            for kind in ("R", "chance_R", "lift_R", "ring_R", "batch_R"):
                assert np.isfinite(result.metrics[f"{split}/{kind}@{k}"])
        assert result.metrics[f"{split}/median_rank"] >= 1
        assert np.isfinite(result.metrics[f"{split}/loss"])
    assert 0 <= result.metrics["train/neighbor_coverage"] <= 1
    assert result.metrics["train/temperature"] == pytest.approx(0.07, rel=0.2)
    assert {"config.yaml", CHECKPOINT, "metrics.json", "metrics.csv"} <= {
        p.name for p in (tmp_path / "run").iterdir()
    }
    assert json.loads((tmp_path / "run" / "metrics.json").read_text()) == pytest.approx(result.metrics)
    assert {"data", "model", "train", "test"} <= set(result.seconds)


def test_a_second_run_into_a_folder_starts_its_metrics_anew(tiny_dataset, tmp_path):
    fit(experiment(tiny_dataset), tmp_path)
    first = (tmp_path / "metrics.csv").read_text()
    fit(experiment(tiny_dataset), tmp_path)
    assert (tmp_path / "metrics.csv").read_text() == first


def test_a_folder_that_was_moved_away_is_not_made_again(tiny_dataset, tmp_path):
    with pytest.raises(FileNotFoundError, match="results/run"):
        fit(experiment(tiny_dataset), tmp_path / "results" / "run")
    assert not (tmp_path / "results").exists()


class LinesSoFar(pl.Callback):
    """How many lines metrics.csv has as each epoch begins."""

    def __init__(self, path):
        self.path, self.lines = path, []

    def on_train_epoch_start(self, trainer, pl_module):
        self.lines.append(len(self.path.read_text().splitlines()) if self.path.is_file() else 0)


def test_metrics_can_be_watched_while_a_run_goes_on(tiny_dataset, tmp_path):
    watcher = LinesSoFar(tmp_path / "metrics.csv")
    fit(experiment(tiny_dataset, trainer={"max_epochs": 3}), tmp_path, callbacks=[watcher])
    assert watcher.lines == [0, 2, 3]  # a header, and a row an epoch


def test_without_a_folder_nothing_is_written(tiny_dataset, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    fit(experiment(tiny_dataset))  # builds the store beside the data set ...
    new = [p for p in sorted(tmp_path.rglob("*")) if p not in before and ".store" not in str(p)]
    assert new == []  # ... and nothing else


def test_training_learns_what_the_data_hold(tiny_dataset):
    """The fixture's tiles carry signal about the genes: a trained model must beat an untrained one clearly."""
    config = experiment(
        tiny_dataset, loss={"name": "clip"}, optimizer={"lr": 3e-3}, trainer={"max_epochs": 25}
    )
    trained = fit(config).metrics
    untrained = fit(
        config.model_copy(update={"optimizer": config.optimizer.model_copy(update={"lr": 1e-12})})
    ).metrics
    assert trained["val/R@5"] > 1.5 * untrained["val/R@5"]
    assert trained["train/loss"] < 0.7 * untrained["train/loss"]


def test_the_seed_decides_everything(tiny_dataset, tmp_path):
    config = experiment(tiny_dataset, data={"batching": "neighborhood"})
    first, again = fit(config, tmp_path / "a"), fit(config, tmp_path / "b")
    assert first.metrics == again.metrics
    other = fit(config.model_copy(update={"seed": 1}))
    assert other.metrics["train/loss"] != first.metrics["train/loss"]


class StopAfter(pl.callbacks.Checkpoint):
    """Saves after an epoch and then breaks off, as a killed process would."""

    def __init__(self, epoch, path):
        self.epoch, self.path = epoch, path

    def on_train_epoch_end(self, trainer, pl_module):
        if trainer.current_epoch + 1 == self.epoch:
            trainer.save_checkpoint(self.path)
            raise KeyboardInterrupt


@pytest.mark.parametrize("tower", ["stain", "cnn"])
def test_a_resumed_run_ends_with_the_weights_of_an_unbroken_one(tiny_dataset, tmp_path, tower):
    config = experiment(
        tiny_dataset, model={"image": {"name": tower, "width": 16}}, trainer={"max_epochs": 4},
        data={"batching": "neighborhood"},
    )  # fmt: skip
    whole = fit(config, tmp_path / "whole")
    with pytest.raises((KeyboardInterrupt, SystemExit)):
        fit(config, callbacks=[StopAfter(2, tmp_path / "half.ckpt")])
    rest = fit(config, tmp_path / "rest", resume_from=tmp_path / "half.ckpt")
    assert rest.metrics == whole.metrics
    unbroken, resumed = weights(tmp_path / "whole" / CHECKPOINT), weights(tmp_path / "rest" / CHECKPOINT)
    assert unbroken.keys() == resumed.keys()
    assert all(torch.equal(unbroken[key], resumed[key]) for key in unbroken)


def test_a_loss_that_is_not_finite_ends_the_run_with_its_reason(tiny_dataset):
    config = experiment(tiny_dataset, optimizer={"lr": 1e30, "gradient_clip": None, "warmup_fraction": 0})
    with pytest.raises(
        FloatingPointError, match=r"training loss became (nan|inf) within epoch 1 .*lower optimizer.lr"
    ):
        fit(config)


def test_evaluate_repeats_the_runs_own_test_metrics(tiny_dataset, tmp_path):
    config = experiment(tiny_dataset)
    result = fit(config, tmp_path, test=True)
    found = evaluate(config, tmp_path / CHECKPOINT, "test")
    assert found.metrics == pytest.approx({k: v for k, v in result.metrics.items() if k.startswith("test/")})
    assert list(found.slides) == list(result.test_slides) == ["E1"]
    assert found.slides["E1"] == pytest.approx(result.test_slides["E1"])
    assert found.slides["E1"]["spots"] == TINY_SLIDES["E1"]
    assert found.slides["E1"]["R@10"] == pytest.approx(found.metrics["test/R@10"])  # the one test slide
    assert fit(config).test_slides == {}


def test_evaluate_without_a_checkpoint_is_the_untrained_model_of_the_seed(tiny_dataset, tmp_path):
    config = experiment(tiny_dataset)
    untrained, other = (
        evaluate(config, None, "val"),
        evaluate(config.model_copy(update={"seed": 9}), None, "val"),
    )
    assert evaluate(config, None, "val") == untrained
    assert untrained.metrics["val/R@10"] != other.metrics["val/R@10"]
    trained = fit(config).metrics
    assert untrained.metrics["val/chance_R@10"] == trained["val/chance_R@10"]
    assert untrained.metrics["val/R@10"] < trained["val/R@10"]


@pytest.mark.parametrize("tower", ["stain", "cnn"])
@pytest.mark.parametrize("normalize", ["none", "train", "slide"])
def test_a_loaded_model_embeds_as_the_run_did(tiny_dataset, tmp_path, tower, normalize):
    config = experiment(
        tiny_dataset, model={"image": {"name": tower, "width": 16}}, features={"normalize": normalize}
    )
    fit(config, tmp_path)
    model = load_model(tmp_path)
    data = SpotDataModule(config)
    store = data.opened()
    rows = store.spots("test")  # the fixture has one test slide, as `normalize: slide` expects
    sentences = [" ".join(store.vocabulary[g] for g in store.genes[row] if g >= 0) for row in rows]
    tiles, genes = model.embed_slide(store.tiles[rows]), model.embed_sentences(sentences)
    batch = data.gather(rows)
    with torch.inference_mode():
        np.testing.assert_allclose(tiles, model.encoder.encode_image(batch["image"]), atol=1e-5)
        np.testing.assert_allclose(genes, model.encoder.encode_genes(batch["genes"]), atol=1e-6)
    assert model.needs_whole_slides == (tower == "stain" and normalize == "slide")
    if not model.needs_whole_slides:
        np.testing.assert_allclose(model.embed_tiles(store.tiles[rows[3:4]]), tiles[3:4], atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(tiles, axis=1), 1, atol=1e-5)


def test_a_loaded_model_refuses_what_it_cannot_embed(tiny_dataset, tmp_path):
    fit(experiment(tiny_dataset), tmp_path)
    model = load_model(tmp_path)
    with pytest.raises(
        InputError, match=r"tiles must be uint8 \[N, 16, 16, 3\], got float64 \[2, 16, 16, 3\]"
    ):
        model.embed_tiles(np.zeros((2, 16, 16, 3)))
    with pytest.raises(InputError, match="sentence 0 has no gene of the model's vocabulary"):
        model.embed_sentences(["NOSUCHGENE ANOTHER"])
    with pytest.raises(InputError, match="no such checkpoint"):
        load_model(tmp_path / "nowhere")
    torch.save({"state_dict": {}}, tmp_path / CHECKPOINT)
    with pytest.raises(InputError, match="not a checkpoint of stclip"):
        load_model(tmp_path)


def test_warm_up_then_cosine():
    factors = [_warm_cosine(step, 4, 20) for step in range(20)]
    assert factors[:4] == [0.25, 0.5, 0.75, 1.0]
    assert factors[4] == 1.0
    assert factors[12] == pytest.approx(0.5)
    assert all(a >= b for a, b in pairwise(factors[4:]))


def test_neighborhood_batches_hold_neighbours(tiny_dataset):
    coverage = {}
    for batching in ("random", "neighborhood"):
        config = experiment(tiny_dataset, data={"batching": batching})
        coverage[batching] = fit(config).metrics["train/neighbor_coverage"]
    assert coverage["neighborhood"] > 1.5 * coverage["random"]


def test_the_command_line(tiny_dataset, tmp_path, capsys):
    arguments = [
        "experiment=medium_spatial", f"data.dataset={tiny_dataset}", "data.image_size=16", "data.batch_size=16",
        "trainer.max_epochs=1", f"out={tmp_path / 'out'}",
    ]  # fmt: skip
    assert main(arguments) == 0
    text = capsys.readouterr().out
    assert "batch R@10" in text
    assert "chance" in text
    assert (tmp_path / "out" / CHECKPOINT).is_file()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["experiment=medium_spatial"], "hest_v1_human_medium"),
        (["data.dataset=x"], "experiment=NAME is missing; known experiments: medium_normal, medium_spatial"),
        (["experiment=medium_spatail"], "did you mean 'medium_spatial'"),
        (["experiment=medium_spatial", "--epochs"], "arguments look like key=value, got '--epochs'"),
        (["experiment=medium_spatial", "experiment=medium_normal"], "experiment= is given twice"),
    ],
)
def test_bad_command_lines_are_one_line_and_status_2(capsys, arguments, message):
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_arguments_are_overrides():
    config, _ = parse_arguments(["experiment=medium_normal", "optimizer.lr=1e-4"])
    assert config.optimizer.lr == 1e-4
    assert config == load_experiment("medium_normal", ["optimizer.lr=1e-4"])
    with pytest.raises(ConfigError, match="unknown key 'optimizer.lrr'"):
        parse_arguments(["experiment=medium_normal", "optimizer.lrr=1e-4"])


def test_lightning_says_nothing_of_how_checkpoints_are_read(tiny_dataset, tmp_path, caplog):
    """Its note on `weights_only`, printed as one is saved, reads like a hole in how they are read."""
    logger = logging.getLogger("lightning.pytorch")
    logger.addHandler(caplog.handler)
    try:
        fit(experiment(tiny_dataset, trainer={"max_epochs": 1}), tmp_path)
    finally:
        logger.removeHandler(caplog.handler)
    assert caplog.messages == []
