"""What a gene tower reads of every spot."""

from __future__ import annotations

import numpy as np
import torch

from stclip.config import Experiment
from stclip.config.registry import is_pretrained
from stclip.data.batches.frozen_features import computed_once, frozen_sentences, sentences_of
from stclip.data.batches.relative_sentences import ordered_genes
from stclip.data.batches.scaled_features import shared
from stclip.data.store import SpotStore

ORDER_VERSION = "1"  # of `ordered_genes`: raised whenever it orders otherwise


def spot_genes(store: SpotStore, config: Experiment) -> np.ndarray:
    """Gene ids int32 [N, T] in the order that `features.normalize_genes` asks for, a read-only memory map."""
    order = config.features.normalize_genes
    if order == "none":
        return store.genes

    def compute() -> np.ndarray:
        return ordered_genes(store.genes, store.slide_index, len(store.vocabulary), order)

    return computed_once(store, f"genes_by_{order}_{ORDER_VERSION}.npy", len(store.genes), compute, np.int32)


def gene_inputs(store: SpotStore, config: Experiment) -> torch.Tensor:
    """Gene ids int32 [N, T]; of a frozen `hf:` model its outputs float32 [N, F], of a finetuned one its token ids int64 [N, L].

    The first two lie on the store's pages, which all trials of a node share.
    Raises ConfigError when the model is not there.
    """
    tower = config.model.genes
    if not is_pretrained(tower.name):
        return shared(spot_genes(store, config))
    if not tower.finetune:
        return shared(frozen_sentences(store, tower.name, config.features.normalize_genes))
    from stclip.model.pretrained_genes import SentenceTokens

    return SentenceTokens(tower.name)(sentences_of(store.vocabulary, spot_genes(store, config)))
