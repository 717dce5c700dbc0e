"""A small checkpoint of this program, made without training, to put faults into."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import torch

from benchmarks.fuzz_checkpoints import VOCABULARY as GENES
from benchmarks.fuzz_checkpoints import good
from stclip.training.checkpoint_file import CHECKPOINT

VOCABULARY = list(GENES)


def content(tower: str = "stain", normalize: str = "slide") -> dict[str, Any]:
    """What a checkpoint holds that `load_model` reads; the caller may change it."""
    return copy.deepcopy(good(tower, normalize))


def save(tree: Any, folder: Path) -> Path:
    """Write it as torch does; returns the file."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / CHECKPOINT
    torch.save(tree, path)
    return path
