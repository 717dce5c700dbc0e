"""What a gene tower reads of every spot."""

from __future__ import annotations

import numpy as np
import torch

from stclip.config import GeneTowerConfig
from stclip.data.store import SpotStore
from stclip.model.features import frozen_sentences, sentences_of
from stclip.model.pretrained import is_pretrained


def gene_inputs(store: SpotStore, genes: GeneTowerConfig) -> torch.Tensor:
    """Gene ids int64 [N, T]; of a frozen `hf:` model its outputs float32 [N, F], of a finetuned one its token ids int64 [N, L].

    Raises ConfigError when the model is not there.
    """
    if not is_pretrained(genes.name):
        return torch.from_numpy(np.asarray(store.genes, dtype=np.int64))
    if not genes.finetune:
        return torch.from_numpy(np.array(frozen_sentences(store, genes.name)))
    from stclip.model.pretrained_genes import SentenceTokens

    return SentenceTokens(genes.name)(sentences_of(store, range(len(store.genes))))
