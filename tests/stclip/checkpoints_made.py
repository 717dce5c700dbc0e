"""A small checkpoint of this program, made without training, to put faults into."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from stclip.config import Experiment
from stclip.configio import validate
from stclip.model.dual_encoder import DualEncoder
from stclip.model.features import frozen_encoder
from stclip.train import CHECKPOINT

VOCABULARY = ["A1", "B2", "C3", "D4"]


def content(tower: str = "stain", normalize: str = "slide") -> dict[str, Any]:
    """What a checkpoint holds that `load_model` reads."""
    tree = {
        "name": "clip-0000",
        "data": {"image_size": 16, "max_genes": 3},
        "features": {"normalize": normalize},
        "model": {"embed_dim": 4, "image": {"name": tower, "width": 8}, "genes": {"width": 4}},
    }
    config = validate(Experiment, tree, "test")
    dim = frozen_encoder("stain").dim if tower == "stain" else 16
    encoder = DualEncoder(config.model, config.augment, dim, len(VOCABULARY), 3)
    scaling = torch.ones(dim) if tower == "stain" else None
    return {
        "stclip": {
            "epochs": 2,
            "history": [{"val/R@10": 0.25}, {"val/R@10": 0.5}],
            "config": config.model_dump(mode="json"),
            "vocabulary": list(VOCABULARY),
            "input_dim": dim,
            "feature_mean": scaling,
            "feature_std": scaling,
        },
        "state_dict": {f"encoder.{name}": value for name, value in encoder.state_dict().items()},
    }


def save(tree: Any, folder: Path) -> Path:
    """Write it as torch does; returns the file."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / CHECKPOINT
    torch.save(tree, path)
    return path
