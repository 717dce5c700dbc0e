"""What a trained model makes of every spot of a split: one vector for the tile, one for the gene sentence."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from stclip.config import Experiment
from stclip.data.store.data_key import DataKey
from stclip.evaluation.evaluate import data_and_model

if TYPE_CHECKING:
    import torch

    from stclip.data.store import SpotStore


@dataclass(frozen=True)
class EmbeddedSplit:
    """`image`, `genes`: unit vectors float32 [N, D], on the CPU. `rows`: int64 [N], the store's rows of these spots."""

    image: torch.Tensor
    genes: torch.Tensor
    rows: np.ndarray
    store: SpotStore


def embed_split(
    config: Experiment,
    checkpoint: Path,
    split: Literal["train", "val", "test"],
    data_key: DataKey | None = None,
) -> EmbeddedSplit:
    """Encode a split with the model of a checkpoint. `data_key`: what the data must be; None takes them as they are.

    Raises what `stclip.evaluation.evaluate.data_and_model` does.
    """
    import torch

    data, module = data_and_model(config, checkpoint, data_key)
    store = data.opened()
    device = _device(config)
    encoder = module.encoder.to(device).eval()
    image, genes = [], []
    with torch.inference_mode():
        for batch in data.eval_batches(split):
            image.append(encoder.encode_image(batch["image"].to(device)).float().cpu())
            genes.append(encoder.encode_genes(batch["genes"].to(device)).float().cpu())
    return EmbeddedSplit(torch.cat(image), torch.cat(genes), store.spots(split), store)


def _device(config: Experiment) -> torch.device:
    import torch

    gpu = config.trainer.accelerator != "cpu" and torch.cuda.is_available()
    return torch.device("cuda" if gpu else "cpu")
