"""What a trained model makes of every spot of a split: one vector for the tile, one for the gene sentence."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from stclip.config import Experiment
from stclip.evaluate import read_checkpoint

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
    config: Experiment, checkpoint: Path, split: Literal["train", "val", "test"]
) -> EmbeddedSplit:
    """Encode a split with the model of a checkpoint.

    Raises DataError when the data set cannot be used, InputError for what is no checkpoint, RuntimeError when its weights
    are of another model.
    """
    import torch

    from stclip.data.datamodule import SpotDataModule
    from stclip.module import SpatialClipModule

    data = SpotDataModule(config)
    store = data.opened()
    module = SpatialClipModule(config, data.input_dim, len(store.vocabulary))
    module.load_state_dict(read_checkpoint(checkpoint)["state_dict"])
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
