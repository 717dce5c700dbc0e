"""What a gene tower reads of every spot."""

from __future__ import annotations

import numpy as np
import torch

from stclip.config import Experiment
from stclip.data.relative_sentences import ordered_genes
from stclip.data.store import SpotStore
from stclip.model.features import frozen_sentences, sentences_of
from stclip.registry import is_pretrained


def spot_genes(store: SpotStore, config: Experiment) -> np.ndarray:
    """Gene ids int32 [N, T] in the order that `features.normalize_genes` asks for."""
    return ordered_genes(
        store.genes, store.slide_index, len(store.vocabulary), config.features.normalize_genes
    )


def gene_inputs(store: SpotStore, config: Experiment) -> torch.Tensor:
    """Gene ids int64 [N, T]; of a frozen `hf:` model its outputs float32 [N, F], of a finetuned one its token ids int64 [N, L].

    Raises ConfigError when the model is not there.
    """
    tower = config.model.genes
    if not is_pretrained(tower.name):
        return torch.from_numpy(spot_genes(store, config).astype(np.int64))
    if not tower.finetune:
        return torch.from_numpy(
            np.array(frozen_sentences(store, tower.name, config.features.normalize_genes))
        )
    from stclip.model.pretrained_genes import SentenceTokens

    return SentenceTokens(tower.name)(sentences_of(store.vocabulary, spot_genes(store, config)))
