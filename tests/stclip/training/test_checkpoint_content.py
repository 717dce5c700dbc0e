"""A checkpoint that can be read may hold anything: what is not as this program writes it is one line."""

from collections import OrderedDict

import lightning.pytorch as pl
import numpy as np
import pytest
import torch

from stclip.errors import InputError
from stclip.evaluation.evaluate import evaluate
from stclip.evaluation.inference import load_model
from stclip.train import fit
from stclip.training.checkpoint_content import progress_of
from stclip.training.checkpoint_file import CHECKPOINT, read_checkpoint
from tests.stclip.checkpoints_made import VOCABULARY, content, save
from tests.stclip.test_train import experiment

FACTS = ("stclip",)
WEIGHT = ("state_dict", "encoder.genes.norm.weight")
NAN = float("nan")


def changed(path, value, **how):
    """The good content with one value put in its place, or taken out."""
    tree = content(**how)
    inner = tree
    for key in path[:-1]:
        inner = inner[key]
    if value is KeyError:
        del inner[path[-1]]
    else:
        inner[path[-1]] = value
    return tree


@pytest.mark.parametrize("tower", ["stain", "cnn"])
def test_a_good_one_is_loaded(tmp_path, tower):
    save(content(tower), tmp_path)
    model = load_model(tmp_path)
    tiles = np.random.default_rng(0).integers(0, 256, (3, 16, 16, 3), np.uint8)
    assert model.embed_slide(tiles).shape == (3, 4)
    assert model.embed_sentences(["A1 B2", "D4"]).shape == (2, 4)
    assert progress_of(read_checkpoint(tmp_path / CHECKPOINT), tmp_path).history[-1] == {"val/R@10": 0.5}


deep: list = []
for _ in range(30):
    deep = [deep]
wide: list = [0] * 10
for _ in range(15):
    wide = [wide] * 10  # 10^16 values in a few bytes


@pytest.mark.parametrize(
    ("path", "value", "rule"),
    [
        (FACTS, KeyError, "not a checkpoint of stclip"),
        (FACTS, None, "must say what made it, got nothing"),
        (FACTS, [], "must say what made it, got a list"),
        (FACTS, {}, "does not say which configuration made it"),
        ((*FACTS, "config"), KeyError, "does not say which configuration made it"),
        ((*FACTS, "config"), None, "its configuration must be a mapping, got nothing"),
        ((*FACTS, "config"), {1: 2}, "must hold plain values, got a dict"),
        ((*FACTS, "config"), {"seed": torch.zeros(3)}, r"must hold plain values, got a Tensor \[3\]"),
        ((*FACTS, "config"), {"seed": OrderedDict()}, "must hold plain values, got a OrderedDict"),
        ((*FACTS, "config"), {"about": deep}, "too large or too deep"),
        ((*FACTS, "config"), {"about": wide}, "too large or too deep"),
        ((*FACTS, "config", "seed"), "x", "seed: must be a whole number"),
        ((*FACTS, "config", "data"), 3, "data: must be a mapping"),
        ((*FACTS, "config", "later"), 3, "unknown key 'later'"),
        ((*FACTS, "vocabulary"), KeyError, "vocabulary must be a list of names, each once, got nothing"),
        ((*FACTS, "vocabulary"), "ABCD", "vocabulary must be a list of names, each once, got a str"),
        ((*FACTS, "vocabulary"), [1, 2, 3, 4], "vocabulary must be a list of names"),
        ((*FACTS, "vocabulary"), ["A1"] * 4, "vocabulary must be a list of names, each once"),
        ((*FACTS, "vocabulary"), [], "vocabulary is empty"),
        ((*FACTS, "vocabulary"), VOCABULARY[:3], "weights are not those of the model"),
        ((*FACTS, "input_dim"), KeyError, "input_dim must be a number from 1 to 1000000, got nothing"),
        ((*FACTS, "input_dim"), "16", "input_dim must be a number"),
        ((*FACTS, "input_dim"), True, "input_dim must be a number"),
        ((*FACTS, "input_dim"), 10**40, "input_dim must be a number"),
        ((*FACTS, "input_dim"), 3, "feature_mean and feature_std must be 3 numbers each"),
        ((*FACTS, "feature_mean"), None, "feature_mean and feature_std must be [0-9]+ numbers each, got nothing"),
        ((*FACTS, "feature_std"), torch.ones(3), r"numbers each, got a Tensor \[3\]"),
        ((*FACTS, "feature_std"), [1.0], "numbers each, got a list"),
        ((*FACTS, "config", "model", "embed_dim"), 1_000_000, "weights are not those of the model"),
        ((*FACTS, "config", "model", "image", "width"), 1_000_000, "weights are not those of the model"),
        (("state_dict",), KeyError, "state_dict must be a mapping of tensors, got nothing"),
        (("state_dict",), [1], "state_dict must be a mapping of tensors, got a list"),
        (("state_dict",), {}, "weights are not those of the model .*no 'genes"),
        (WEIGHT, KeyError, "no 'genes.norm.weight'"),
        (("state_dict", "encoder.more"), torch.zeros(1), "an unknown 'more'"),
        (WEIGHT, 3.0, "'genes.norm.weight' is 3"),
        (WEIGHT, torch.ones(5), r"float32 \[5\], not torch.float32 \[4\]"),
        (WEIGHT, torch.ones(4, dtype=torch.float64), r"float64 \[4\], not torch.float32 \[4\]"),
        (WEIGHT, torch.ones(1).expand(4), "has not all its numbers in the file"),
        (WEIGHT, torch.full((4,), NAN), "'genes.norm.weight' holds numbers that are not finite"),
        (("state_dict", "encoder.log_logit_scale"), torch.tensor(1000.0), "its temperature is 0"),
    ],
)  # fmt: skip
def test_one_line_for_what_is_not_as_it_is_written(tmp_path, path, value, rule):
    save(changed(path, value), tmp_path)
    with pytest.raises(InputError, match=rule) as caught:
        load_model(tmp_path)
    assert str(caught.value).startswith(str(tmp_path / CHECKPOINT)) and len(str(caught.value)) < 600


def test_the_input_of_a_tower_is_the_one_it_reads(tmp_path):
    tree = changed((*FACTS, "input_dim"), 3)
    tree["stclip"] |= {"feature_mean": None, "feature_std": None}
    save(tree, tmp_path)
    with pytest.raises(InputError, match="input_dim must be 142, got 3"):
        load_model(tmp_path)


def test_scaling_that_is_needed_must_be_there(tmp_path):
    tree = changed((*FACTS, "feature_mean"), None, normalize="train")
    tree["stclip"]["feature_std"] = None
    save(tree, tmp_path)
    with pytest.raises(InputError, match="it lacks feature_mean and feature_std"):
        load_model(tmp_path)


@pytest.mark.parametrize(
    ("key", "value", "rule"),
    [
        ("epochs", KeyError, "epochs must be a number from 1 up, got nothing"),
        ("epochs", 0, "epochs must be a number from 1 up, got 0"),
        ("epochs", "2", "epochs must be a number"),
        ("history", KeyError, "history must be the metrics of its epochs, got nothing"),
        ("history", [], "history must be the metrics of its epochs"),
        ("history", [{}] * 3, "history must be the metrics of its epochs"),
        ("history", [{}, None], "history must hold a number for each metric's name"),
        ("history", [{"val/R@10": "0.5"}], "history must hold a number for each metric's name"),
        ("history", [{1: 0.5}], "history must hold a number for each metric's name"),
    ],
)
def test_a_history_that_cannot_be_gone_on_from(tmp_path, key, value, rule):
    path = save(changed((*FACTS, key), value), tmp_path)
    with pytest.raises(InputError, match=rule):
        progress_of(read_checkpoint(path), path)


@pytest.fixture(scope="module")
def run(shared_tiny_dataset, tmp_path_factory):
    """A run's configuration, and its checkpoint's content."""
    folder = tmp_path_factory.mktemp("run")
    config = experiment(shared_tiny_dataset)
    fit(config, folder)
    return config, read_checkpoint(folder / CHECKPOINT)


@pytest.mark.parametrize(
    ("key", "value", "rule"),
    [
        ("loops", {"fit_loop": 3}, "no run can go on from this checkpoint"),
        ("optimizer_states", KeyError, r"no run can go on from this checkpoint \(KeyError"),
        ("optimizer_states", [{"state": 1}], "no run can go on from this checkpoint"),
        ("lr_schedulers", [None], "no run can go on from this checkpoint"),
        ("state_dict", {}, r"no run can go on from this checkpoint \(RuntimeError"),
        ("pytorch-lightning_version", "x y", "no run can go on from this checkpoint"),
        ("stclip", {"epochs": 1}, "history must be the metrics of its epochs"),
    ],
)
def test_a_run_does_not_go_on_from_a_malformed_one(run, tmp_path, key, value, rule):
    config, good = run
    tree = dict(good)
    if value is KeyError:
        del tree[key]
    else:
        tree[key] = value
    with pytest.raises(InputError, match=rule):
        fit(config, resume_from=save(tree, tmp_path))


def test_an_error_of_training_stays_what_it_is(run, tmp_path):
    config, good = run
    start = save({**good, "stclip": {**good["stclip"], "epochs": 2}}, tmp_path)
    more = config.model_copy(update={"trainer": config.trainer.model_copy(update={"max_epochs": 4})})

    class Raises(pl.Callback):
        def on_train_batch_end(self, *args, **kwargs):
            raise ValueError("of its own")

    with pytest.raises(ValueError, match="^of its own$"):
        fit(more, resume_from=start, callbacks=[Raises()])


def test_evaluation_takes_no_weights_of_another_model(run, tmp_path):
    config, good = run
    with pytest.raises(InputError, match="weights are not those of the model .*no 'encoder"):
        evaluate(config, save({**good, "state_dict": {}}, tmp_path), "val")
