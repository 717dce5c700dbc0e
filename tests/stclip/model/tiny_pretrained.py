"""Tiny randomly initialised models of the `transformers` kind, saved to disk as the hub's are."""

import json
import logging

import torch

SIDE = 16  # pixels that the vision models read
GENES = 24  # GENE00 ... GENE23, as in the tiny data set


def quiet():
    import transformers

    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    logging.getLogger("transformers").setLevel(logging.ERROR)


def save_clip(folder, seed=0):
    """A CLIP model of both kinds, with its image transform and a tokenizer of words."""
    from transformers import CLIPConfig, CLIPModel

    quiet()
    small = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 1, "num_attention_heads": 2}
    torch.manual_seed(seed)
    special = {"bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 1}
    config = CLIPConfig(
        text_config={**small, **special, "vocab_size": GENES + 3, "max_position_embeddings": 12},
        vision_config={**small, "image_size": SIDE, "patch_size": 8},
        projection_dim=8,
    )
    CLIPModel(config).save_pretrained(folder)
    transform = {"image_mean": [0.5, 0.4, 0.3], "image_std": [0.2, 0.3, 0.4]}
    (folder / "preprocessor_config.json").write_text(json.dumps(transform))
    save_tokenizer(folder)
    return folder


def save_tokenizer(folder):
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    words = {"<s>": 0, "</s>": 1, "<unk>": 2} | {f"GENE{number:02d}": number + 3 for number in range(GENES)}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 1)]
    )
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", pad_token="</s>", unk_token="<unk>"
    ).save_pretrained(folder)


def save_vit(folder, kind="vit"):
    """A ViT or DINOv2 model, as pathology models are."""
    from transformers import Dinov2Config, Dinov2Model, ViTConfig, ViTModel

    quiet()
    torch.manual_seed(0)
    small = {
        "hidden_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "image_size": SIDE,
        "patch_size": 8,
    }
    if kind == "vit":
        ViTModel(ViTConfig(intermediate_size=24, **small)).save_pretrained(folder)
    else:
        Dinov2Model(Dinov2Config(**small)).save_pretrained(folder)
    return folder
