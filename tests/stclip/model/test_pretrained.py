"""Pretrained towers: found, told apart, run once, trained on; tiny models of random weights stand in for real ones."""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch

from stclip.config import AugmentConfig, Experiment, ImageTowerConfig
from stclip.config.load import validate
from stclip.data.batches import frozen_features as features
from stclip.data.batches.datamodule import SpotDataModule
from stclip.data.batches.frozen_features import frozen_features
from stclip.errors import ConfigError, InputError
from stclip.evaluation.inference import load_model
from stclip.model.pretrained import fingerprint, image_transform, load_pretrained, model_folder
from stclip.model.pretrained_genes import PretrainedSentences, SentenceTokens, TextBackbone
from stclip.model.pretrained_image import FinetunedImageTower, PretrainedFeatures, VisionBackbone
from stclip.train import fit
from stclip.training.prepare import check_models, prepare_data
from tests.stclip.model.tiny_pretrained import SIDE, save_clip, save_vit


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    return save_clip(tmp_path_factory.mktemp("clip"))


@pytest.fixture(scope="module", params=["clip", "vit", "dinov2"])
def vision(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    return save_clip(folder) if request.param == "clip" else save_vit(folder, request.param)


def tiles_of(count=5, side=SIDE):
    return torch.from_numpy(np.random.default_rng(0).integers(0, 256, (count, side, side, 3), dtype=np.uint8))


def by_hand(folder, tiles):
    """The transform written out, the model called by its own class."""
    from transformers import AutoModel, CLIPVisionModel

    mean, std = image_transform(f"hf:{folder}")
    pixels = (tiles.numpy() / 255.0 - np.array(mean)) / np.array(std)
    pixels = torch.from_numpy(pixels.transpose(0, 3, 1, 2).astype(np.float32))
    is_clip = json.loads((folder / "config.json").read_text())["model_type"] == "clip"
    model = (CLIPVisionModel if is_clip else AutoModel).from_pretrained(folder).eval()
    with torch.no_grad():
        out = model(pixel_values=pixels)
    return (out.pooler_output if is_clip else out.last_hidden_state[:, 0]).numpy()


def test_frozen_outputs_are_the_models_own(vision, monkeypatch):
    monkeypatch.setattr("stclip.model.pretrained_image.CHUNK", 2)
    tiles = tiles_of()
    found = PretrainedFeatures(f"hf:{vision}")(tiles)
    assert found.dtype == torch.float32 and found.shape == (5, 16)
    np.testing.assert_allclose(found.numpy(), by_hand(vision, tiles), rtol=1e-4, atol=1e-5)


def test_tiles_of_another_size_are_resized(vision):
    even = torch.full((1, 40, 40, 3), 130, dtype=torch.uint8)
    encoder = PretrainedFeatures(f"hf:{vision}")
    np.testing.assert_allclose(encoder(even), encoder(even[:, :SIDE, :SIDE]), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("told", [True, False])
def test_the_transform_is_the_models_own_or_imagenets(clip, tmp_path, told):
    folder = shutil.copytree(clip, tmp_path / "m")
    if told:
        assert image_transform(f"hf:{folder}") == ((0.5, 0.4, 0.3), (0.2, 0.3, 0.4))
    else:
        (folder / "preprocessor_config.json").unlink()
        assert image_transform(f"hf:{folder}")[0] == (0.485, 0.456, 0.406)


def test_sentences_are_read_as_the_model_reads_them(clip):
    from transformers import CLIPTextModel

    sentences = ["GENE03 GENE01", "GENE05"]
    found = PretrainedSentences(f"hf:{clip}")(sentences)
    model = CLIPTextModel.from_pretrained(clip).eval()
    with torch.no_grad():
        for row, ids in enumerate([[0, 6, 4, 1], [0, 8, 1]]):  # one at a time: padding has no part in it
            wanted = model(input_ids=torch.tensor([ids])).pooler_output[0]
            np.testing.assert_allclose(found[row].numpy(), wanted.numpy(), rtol=1e-4, atol=1e-5)


def test_what_does_not_fit_into_the_model_is_cut_off(clip):
    tokens = SentenceTokens(f"hf:{clip}")([" ".join(f"GENE{n:02d}" for n in range(20)), "GENE00"])
    assert tokens.shape == (2, 12) and tokens[1].tolist() == [0, 3, 1] + [-1] * 9


@dataclass
class TilesOnly:
    """The part of a SpotStore that frozen features read."""

    path: Path
    tiles: np.ndarray


def test_outputs_are_computed_once_for_each_model(clip, tmp_path, monkeypatch):
    store = TilesOnly(tmp_path, tiles_of(7).numpy())
    first = np.array(frozen_features(store, f"hf:{clip}"))
    other = save_clip(tmp_path / "other", seed=1)
    assert not np.allclose(frozen_features(store, f"hf:{other}"), first)
    moved = shutil.copytree(clip, tmp_path / "moved")
    monkeypatch.setattr(features, "_compute", lambda *_: pytest.fail("computed again"))
    np.testing.assert_array_equal(frozen_features(store, f"hf:{moved}"), first)  # the same content elsewhere
    assert len(list(tmp_path.glob("features_hf_*.npy"))) == 2


def test_any_change_of_the_models_files_is_another_model(clip, tmp_path):
    folder = shutil.copytree(clip, tmp_path / "m")
    before = fingerprint(f"hf:{folder}")
    assert before == fingerprint(f"hf:{clip}")
    (folder / "preprocessor_config.json").write_text('{"image_mean": [0.5, 0.5, 0.5]}')
    assert fingerprint(f"hf:{folder}") != before


def config_of(dataset, image=None, genes=None, epochs=2):
    tree = {
        "data": {
            "dataset": str(dataset),
            "image_size": SIDE,
            "max_genes": 12,
            "num_neighbors": 4,
            "batch_size": 32,
        },
        "model": {"image": image or {}, "genes": genes or {}, "embed_dim": 8},
        "trainer": {"max_epochs": epochs, "accelerator": "cpu", "loggers": ["csv"]},
    }
    return validate(Experiment, tree, "test")


@pytest.mark.parametrize("order", ["none", "slide"])
@pytest.mark.parametrize("finetune", [False, True, None], ids=["frozen", "finetuned", "own"])
def test_both_towers_train_and_embed(clip, tiny_dataset, tmp_path, finetune, order):
    tower = {} if finetune is None else {"name": f"hf:{clip}", "finetune": finetune}
    config = config_of(tiny_dataset, tower, tower)
    config = validate(
        Experiment,
        {**config.model_dump(mode="json"), "features": {"normalize": "slide", "normalize_genes": order}},
        "x",
    )
    store = prepare_data(config, quiet=True)
    result = fit(config, tmp_path / "run")
    assert np.isfinite(result.metrics["val/R@10"])
    # A model on new tiles gives what the run itself saw.
    data = SpotDataModule(config)
    data.setup()
    model = load_model(tmp_path / "run")
    rows = store.spots("test")
    sentences = [" ".join(store.vocabulary[g] for g in store.genes[row] if g >= 0) for row in rows]
    batch = data.gather(rows)
    with torch.inference_mode():
        wanted = (
            model.encoder.encode_genes(batch["genes"]).numpy(),
            model.encoder.encode_image(batch["image"]).numpy(),
        )
    np.testing.assert_allclose(model.embed_slide_sentences(sentences), wanted[0], rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(model.embed_slide(store.tiles[rows]), wanted[1], rtol=1e-3, atol=1e-5)


def test_finetuning_moves_the_model_and_freezing_does_not(clip, tiny_dataset, tmp_path):
    config = config_of(tiny_dataset, {"name": f"hf:{clip}", "finetune": True}, epochs=1)
    fit(config, tmp_path / "run")
    own = {name: value.clone() for name, value in VisionBackbone(f"hf:{clip}").state_dict().items()}
    trained = load_model(tmp_path / "run").encoder.image.backbone.state_dict()
    assert any(not torch.equal(own[name], trained[name]) for name in own)


def test_a_finetuned_tower_sends_gradients_through_the_whole_model(clip):
    tower = FinetunedImageTower(ImageTowerConfig(name=f"hf:{clip}", finetune=True), AugmentConfig(), SIDE, 6)
    tower(tiles_of(3)).square().sum().backward()
    still = [name for name, weight in tower.named_parameters() if weight.grad is None]
    assert still == []


def test_a_frozen_tower_has_no_weights_of_the_model(clip, tiny_dataset, tmp_path):
    config = config_of(tiny_dataset, {"name": f"hf:{clip}"}, {"name": f"hf:{clip}"}, epochs=1)
    fit(config, tmp_path / "run")
    names = [name for name, _ in load_model(tmp_path / "run").encoder.named_parameters()]
    assert names and not any("backbone" in name for name in names)


def test_a_model_that_is_not_here_names_the_command_that_fetches_it(tiny_dataset, monkeypatch, tmp_path):
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    rule = r"hf:some/model: no such folder, and the model is not in this machine's cache; fetch it with: hf download some/model "
    with pytest.raises(ConfigError, match=rule):
        prepare_data(config_of(tiny_dataset, {"name": "hf:some/model"}), quiet=True)
    assert not (tiny_dataset / ".store").exists()  # found out before anything is built


def no_weights(folder):
    (folder / "model.safetensors").unlink()


def cut_weights(folder):
    data = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(data[: len(data) // 2])


def broken_config(folder):
    (folder / "config.json").write_text("{")


def pickled_weights(folder):
    no_weights(folder)
    torch.save({}, folder / "pytorch_model.bin")


def other_weights(folder):
    from safetensors.torch import load_file, save_file

    path = folder / "model.safetensors"
    kept = {name: value for name, value in load_file(path).items() if "layer_norm1" not in name}
    save_file(kept, path, metadata={"format": "pt"})


BAD = {
    no_weights: "must hold config.json and weights as .safetensors",
    pickled_weights: r"must hold config.json and weights as .safetensors \(no others are read, since they may run code\)",
    cut_weights: "cannot be loaded from",
    broken_config: "cannot be loaded from",
    other_weights: "lacks 4 weights, such as ",
}


def no_hidden_size(folder):
    tree = json.loads((folder / "config.json").read_text())
    tree["text_config"].pop("hidden_size"), tree["vision_config"].pop("hidden_size")
    (folder / "config.json").write_text(json.dumps(tree))


@pytest.mark.parametrize("finetune", [False, True])
@pytest.mark.parametrize(
    "spoil", [cut_weights, other_weights, no_hidden_size], ids=lambda spoil: spoil.__name__
)
@pytest.mark.parametrize("tower", ["image", "genes"])
def test_a_model_that_cannot_be_loaded_is_found_out_before_anything_runs(
    clip, tiny_dataset, tmp_path, tower, spoil, finetune
):
    folder = shutil.copytree(clip, tmp_path / "m")
    used = {"name": f"hf:{folder}", "finetune": finetune}
    config = config_of(tiny_dataset, **{tower: used})
    check_models(config)
    spoil(folder)
    with pytest.raises(ConfigError, match=f"hf:{folder}: "):
        check_models(config)


@pytest.mark.parametrize("vision", ["vit", "dinov2"], indirect=True)  # a CLIP model has a text model in it
def test_a_model_of_another_kind_is_found_out_before_anything_runs(vision, tiny_dataset):
    with pytest.raises(ConfigError, match="has no tokenizer that can be read|is not a text model"):
        check_models(config_of(tiny_dataset, genes={"name": f"hf:{vision}"}))


@pytest.mark.parametrize("spoil", BAD, ids=lambda spoil: spoil.__name__)
def test_a_model_that_cannot_be_used(clip, tmp_path, spoil):
    folder = shutil.copytree(clip, tmp_path / "m")
    spoil(folder)
    with pytest.raises(ConfigError, match=BAD[spoil]):
        load_pretrained(f"hf:{folder}")


def test_a_text_model_is_no_vision_model_and_the_other_way(tmp_path, clip):
    from transformers import BertConfig, BertModel

    small = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 1, "num_attention_heads": 2}
    BertModel(BertConfig(vocab_size=27, **small)).save_pretrained(tmp_path / "bert")
    with pytest.raises(ConfigError, match="is not a vision model of square images"):
        VisionBackbone(f"hf:{tmp_path / 'bert'}")
    with pytest.raises(ConfigError, match="is not a text model"):
        TextBackbone(f"hf:{save_vit(tmp_path / 'vit')}")


def test_a_gene_tower_without_a_tokenizer(tmp_path):
    with pytest.raises(ConfigError, match="has no tokenizer that can be read"):
        SentenceTokens(f"hf:{save_vit(tmp_path / 'vit')}")


@pytest.mark.parametrize("name", ["hf:", "hf: "])
def test_a_name_is_needed(name):
    with pytest.raises(ConfigError, match="must be followed by a model's name on the hub or its folder"):
        model_folder(name)


@pytest.mark.parametrize(
    ("tree", "rule"),
    [
        ({"image": {"finetune": True}}, "finetune needs a pretrained model, name: hf:..., got 'stain'"),
        ({"genes": {"finetune": True}}, "finetune needs a pretrained model, name: hf:..., got 'bag'"),
        ({"image": {"name": "cnn", "center": 0.5}}, "center is of the tower 'stain', got 0.5 with 'cnn'"),
        ({"image": {"name": "hff:x"}}, "unknown image tower 'hff:x'"),
    ],
)
def test_options_that_do_not_fit_the_tower(tree, rule):
    with pytest.raises(InputError, match=rule):
        validate(Experiment, {"model": tree}, "x")
