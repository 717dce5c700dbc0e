"""Gene towers on a pretrained text model (`hf:...`) that reads the gene sentence, such as CLIP's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from stclip.config import GeneTowerConfig
from stclip.errors import ConfigError
from stclip.model.image import ShortcutMlp
from stclip.model.pretrained import fingerprint, load_pretrained, load_tokenizer, model_config

READING = 1  # raised when sentences are brought to the model in another way
CHUNK = 256  # sentences at once


class TextBackbone(nn.Module):
    """A text model: token ids to one vector a sentence."""

    def __init__(self, name: str) -> None:
        """Raises ConfigError: `hf:...` is not there, or is not a model of text."""
        super().__init__()
        whole: Any = load_pretrained(name)
        self.model = getattr(whole, "text_model", whole)
        if not isinstance(getattr(self.model.config, "vocab_size", None), int):
            raise ConfigError(
                f"{name}: is not a text model (its type is {self.model.config.model_type}); name a CLIP model, or a text encoder"
            )
        self.dim = int(self.model.config.hidden_size)
        # Its pooler takes the end of the sentence; else the first token.
        self._pooled = "clip" in self.model.config.model_type

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """int64 [B, L], padded with -1 -> float [B, F]."""
        there = tokens >= 0
        out = self.model(input_ids=tokens.clamp_min(0), attention_mask=there.long())
        return out.pooler_output if self._pooled else out.last_hidden_state[:, 0]


class SentenceTokens:
    """Gene sentences as token ids of a model's tokenizer."""

    def __init__(self, name: str) -> None:
        """Raises ConfigError when the model is not there or has no tokenizer."""
        self._tokenizer = load_tokenizer(name)
        config = model_config(name)
        positions = (config.get("text_config") or config).get("max_position_embeddings")
        self.longest = int(positions) if isinstance(positions, int) else 77  # as in CLIP

    def __call__(self, sentences: Sequence[str]) -> torch.Tensor:
        """int64 [N, L], padded with -1; what does not fit into the model is cut off at the sentence's end."""
        found = self._tokenizer(list(sentences), truncation=True, max_length=self.longest)["input_ids"]
        out = torch.full((len(found), max(map(len, found))), -1)
        for row, ids in enumerate(found):
            out[row, : len(ids)] = torch.tensor(ids)
        return out


class PretrainedSentences:
    """The frozen encoder `hf:...` of gene sentences: N sentences -> float32 [N, F], on a GPU where there is one."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._loaded: tuple[SentenceTokens, TextBackbone] | None = None

    @property
    def version(self) -> str:
        """Names model and tokenizer by their content. Raises ConfigError when the model is not there."""
        return f"{fingerprint(self._name)}_{READING}"

    def __call__(self, sentences: Sequence[str]) -> torch.Tensor:
        """Raises ConfigError when the model cannot be loaded."""
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        if self._loaded is None:
            self._loaded = SentenceTokens(self._name), TextBackbone(self._name).to(device).eval()
        read, backbone = self._loaded
        tokens = read(sentences)
        with torch.inference_mode():
            parts = [backbone(part.to(device)).float().cpu() for part in tokens.split(CHUNK)]
        return torch.cat(parts).clone()


class SentenceTower(ShortcutMlp):
    """An MLP with a linear short cut on a frozen text model's outputs, each brought to mean 0 and spread 1 first."""

    def __init__(self, config: GeneTowerConfig, num_genes: int, max_genes: int, embed_dim: int) -> None:
        """The length F of a vector is the model's own; the vocabulary has no part in it."""
        told = model_config(config.name)
        dim = int((told.get("text_config") or told)["hidden_size"])
        super().__init__(dim, config.width, config.dropout, embed_dim)
        self.norm = nn.LayerNorm(dim)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """float [B, F] -> float [B, D]."""
        return super().forward(self.norm(features))


class FinetunedGeneTower(nn.Module):
    """A text model that is trained on, and a projection."""

    def __init__(self, config: GeneTowerConfig, num_genes: int, max_genes: int, embed_dim: int) -> None:
        """The model has a vocabulary of its own."""
        super().__init__()
        self.backbone = TextBackbone(config.name).train()
        self.head = nn.Sequential(
            nn.LayerNorm(self.backbone.dim),
            nn.Dropout(config.dropout),
            nn.Linear(self.backbone.dim, embed_dim),
        )

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """int64 [B, L], padded with -1 -> float [B, D]."""
        return self.head(self.backbone(tokens))


def pretrained_gene_tower(
    config: GeneTowerConfig, num_genes: int, max_genes: int, embed_dim: int
) -> nn.Module:
    """The tower of `hf:...`: an MLP on the frozen model's outputs, or with `finetune` the model itself."""
    tower = FinetunedGeneTower if config.finetune else SentenceTower
    return tower(config, num_genes, max_genes, embed_dim)
