"""Checkpoints with random faults, for `benchmarks/fuzz.py`: in what they hold, in their archive, in single bytes."""

from __future__ import annotations

import copy
import io
import tempfile
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from hypothesis import strategies as st

from stclip.config import Experiment
from stclip.config.load import validate
from stclip.data.batches.frozen_features import frozen_encoder
from stclip.evaluation.inference import load_model
from stclip.model.dual_encoder import DualEncoder
from stclip.training.checkpoint_content import progress_of
from stclip.training.checkpoint_file import CHECKPOINT, is_whole, read_checkpoint
from sweeps.trial.checkpoints import newest_checkpoint

NAME = "clip-0000"
VOCABULARY = ("A1", "B2", "C3", "D4")
SHARED: list[Any] = [0] * 10
for _ in range(15):
    SHARED = [SHARED] * 10  # 10^16 values in a few bytes
ODD = (None, True, 0, -1, 3, 2**31, 10**40, 1.5, float("nan"), float("inf"), "", "x", "hf:/nowhere", "A" * 5000, b"b", [], [1],
       ["x", "x"], [None], {}, {"a": 1}, {1: 2}, {"name": "clip"}, (), (1, 2), OrderedDict(a=1), SHARED, torch.zeros(0),
       torch.zeros(3), torch.full((142,), float("nan")), torch.zeros(142, dtype=torch.float64), torch.zeros(1).expand(10**9),
       torch.tensor(float("inf")), torch.zeros(4, dtype=torch.int64), torch.zeros(2, 2).to_sparse(), {1}, bytearray(3),
       torch.float32, torch.zeros(3, device="meta"))  # fmt: skip


@lru_cache
def good(tower: str, normalize: str) -> dict[str, Any]:
    """What a checkpoint holds, without training."""
    tree = {
        "name": NAME,
        "data": {"image_size": 16, "max_genes": 3},
        "features": {"normalize": normalize},
        "model": {"embed_dim": 4, "image": {"name": tower, "width": 8}, "genes": {"width": 4}},
    }
    config = validate(Experiment, tree, "fuzz")
    dim = getattr(frozen_encoder(tower), "dim", 16) if tower == "stain" else 16
    encoder = DualEncoder(config.model, config.augment, dim, len(VOCABULARY), 3)
    scaling = torch.ones(dim) if tower == "stain" else None
    return {
        "epoch": 1,
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


def places(tree: Mapping[Any, Any], before: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where a value stands, of every one in a tree of mappings."""
    for key, value in tree.items():
        yield (*before, key)
        if isinstance(value, dict):
            yield from places(value, (*before, key))


def archive_faults() -> dict[str, Callable[[list[tuple[str, bytes]]], list[tuple[str, bytes]]]]:
    """What is done with an archive's members."""
    return {
        "keep": lambda members: members,
        "bomb": lambda members: [(n, bytes(10_000_000) if n.endswith("/0") else data) for n, data in members],
        "twice": lambda members: [*members, members[0]],
        "no pickle": lambda members: members[1:],
        "no tensor": lambda members: [m for m in members if not m[0].endswith("/data/1")],
        "short tensor": lambda members: [(n, data[:1] if n.endswith("/1") else data) for n, data in members],
        "order": lambda members: members[::-1],
        "names": lambda members: [(f"../{name}", data) for name, data in members],
    }


@st.composite
def mutated_checkpoints(draw: st.DrawFn, flipped: Callable[[bytes], st.SearchStrategy[bytes]]) -> bytes:
    """A checkpoint with a fault or two."""
    tree = copy.deepcopy(
        good(draw(st.sampled_from(("stain", "cnn"))), draw(st.sampled_from(("none", "train", "slide"))))
    )
    for _ in range(draw(st.sampled_from((0, 1, 1, 1, 2)))):
        *way, last = draw(st.sampled_from(sorted(places(tree), key=str)))
        inner: Any = tree
        for key in way:
            inner = inner[key]
        if draw(st.integers(0, 5)) == 0:
            del inner[last]
        else:
            inner[last] = draw(st.sampled_from(ODD))
    out = io.BytesIO()
    torch.save(tree, out)
    kind = draw(st.sampled_from(("as it is",) * 3 + ("archive", "bytes", "pickle")))
    if kind == "bytes":
        return draw(flipped(out.getvalue()))
    if kind == "as it is":
        return out.getvalue()
    with zipfile.ZipFile(out) as archive:
        members = [(info.filename, archive.read(info)) for info in archive.infolist()]
    if kind == "pickle":  # with its checksum put right
        members = [(n, draw(flipped(data)) if n.endswith("data.pkl") else data) for n, data in members]
    else:
        members = archive_faults()[draw(st.sampled_from(sorted(archive_faults())))](members)
    again = io.BytesIO()
    compression = zipfile.ZIP_DEFLATED if kind == "archive" and draw(st.booleans()) else zipfile.ZIP_STORED
    with zipfile.ZipFile(again, "w", compression) as archive:
        for name, data in members:
            archive.writestr(name, data)
    return again.getvalue()


def read_all_ways(data: bytes, refused_or_accepted: Callable[[Callable[[], object]], bool]) -> bool:
    """Look for it in a results folder, go on from it, and use it: wherever one is read."""
    with tempfile.TemporaryDirectory(prefix="st") as folder:
        path = Path(folder) / "ray" / "0001" / NAME / "checkpoint_000000" / CHECKPOINT
        path.parent.mkdir(parents=True)
        path.write_bytes(data)
        config = validate(Experiment, good("stain", "slide")["stclip"]["config"], "fuzz")
        refused_or_accepted(lambda: newest_checkpoint(f"{folder}/ray", config, Path(folder)))
        refused_or_accepted(lambda: progress_of(read_checkpoint(path, weights=False), path))
        used = refused_or_accepted(lambda: _use(path.parent))
        is_whole(path)
        return used


def _use(folder: Path) -> None:
    model = load_model(folder)
    tiles = np.random.default_rng(0).integers(0, 256, (3, 16, 16, 3), np.uint8)
    assert np.isfinite(model.embed_slide(tiles)).all()
    model.embed_sentences([" ".join(model.vocabulary[:2])])
