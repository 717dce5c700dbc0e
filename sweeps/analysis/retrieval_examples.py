"""retrieval.json: where one model ranks every test spot's partner, and a few queries with what it found.

    {family, trial, seed,
     maps: [{slide, donor, x: [...], y: [...], image_to_gene: [ranks], gene_to_image: [ranks]}, ...],
     examples: {slide, gallery,
                image_to_gene: [{spot, tile, genes, rank, top: [{spot, genes, hit}, ...]}, ...],
                gene_to_image: [{spot, tile, genes, rank, top: [{spot, tile, hit}, ...]}, ...]}}

Nothing is picked by eye: the slide is the one whose Recall@10 is the median of the test slides', and its queries are
those that stand at a tenth, three tenths, ... nine tenths of the order of ranks. A `tile` is a PNG in base64.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from stclip.config import Experiment
from stclip.data.store.data_key import DataKey

if TYPE_CHECKING:
    from stclip.data.store import SpotStore
    from stclip.evaluation.embed import EmbeddedSplit
    from stclip.retrieval import SlideRecall

QUANTILES = (0.1, 0.3, 0.5, 0.7, 0.9)  # of the ranks on the slide: one query each
TOP = 5  # answers shown
GENES = 8  # of a sentence
TILE_PIXELS = 96  # at most, each way


@dataclass(frozen=True)
class ShownModel:
    """The model that the report shows at work."""

    family: str
    seed: int | None
    config: Experiment
    checkpoint: Path
    data_key: DataKey | None = None  # what the data must be; None: they are taken as they are


def retrieval_of(model: ShownModel, donors: Mapping[str, str]) -> dict[str, Any]:
    """The content of retrieval.json. `donors`: slide -> donor, where known."""
    import torch

    from stclip.evaluation.embed import embed_split
    from stclip.retrieval import slide_recall

    split = embed_split(model.config, model.checkpoint, "test", model.data_key)
    slide_ids = torch.from_numpy(np.asarray(split.store.slide_index[split.rows], dtype=np.int64))
    slides = slide_recall(split.image, split.genes, slide_ids, ks=(10,))
    return {
        "family": model.family,
        "trial": model.config.name,
        "seed": model.seed,
        "maps": [_map(slide, split, donors) for slide in slides],
        "examples": _examples(_median_slide(slides), split),
    }


def _map(slide: SlideRecall, split: EmbeddedSplit, donors: Mapping[str, str]) -> dict[str, Any]:
    store = split.store
    xy = np.asarray(store.xy[split.rows[slide.rows]])
    name = store.slides[slide.slide_id]
    return {
        "slide": name,
        "donor": donors.get(name),
        "x": np.round(xy[:, 0], 1).tolist(),
        "y": np.round(xy[:, 1], 1).tolist(),
        "image_to_gene": slide.ranks[0].tolist(),
        "gene_to_image": slide.ranks[1].tolist(),
    }


def _median_slide(slides: list[SlideRecall]) -> SlideRecall:
    """Of an even number the lower one."""
    order = sorted(slides, key=lambda slide: (float(np.mean(slide.recall[10])), slide.slide_id))
    return order[(len(order) - 1) // 2]


def _examples(slide: SlideRecall, split: EmbeddedSplit) -> dict[str, Any]:
    image, genes = split.image[slide.rows].numpy(), split.genes[slide.rows].numpy()
    gallery = _Gallery(split.store, split.rows[slide.rows])
    found: dict[str, Any] = {"slide": split.store.slides[slide.slide_id], "gallery": slide.spots}
    for direction, queries, answers, shown, ranks in (
        ("image_to_gene", image, genes, "genes", slide.ranks[0]),
        ("gene_to_image", genes, image, "tile", slide.ranks[1]),
    ):
        chosen = _queries(ranks)
        similar = queries[chosen] @ answers.T
        best = np.argsort(-similar, axis=1, kind="stable")[:, :TOP]
        found[direction] = [
            gallery.describe(query, "tile", "genes")
            | {
                "rank": float(ranks[query]),
                "top": [
                    gallery.describe(answer, shown) | {"hit": bool(answer == query)}
                    for answer in top.tolist()
                ],
            }
            for query, top in zip(chosen, best, strict=True)
        ]
    return found


def _queries(ranks: np.ndarray) -> list[int]:
    """Places of the queries at the quantiles of the ranks, each once."""
    order = np.argsort(ranks, kind="stable")
    at = [round(quantile * (len(order) - 1)) for quantile in QUANTILES]
    return [int(order[place]) for place in dict.fromkeys(at)]


class _Gallery:
    """The spots of one slide, as they are shown."""

    def __init__(self, store: SpotStore, rows: np.ndarray) -> None:
        self._store, self._rows, self._keys = store, rows, store.keys

    def describe(self, place: int, *parts: str) -> dict[str, Any]:
        row = int(self._rows[place])
        made = {"tile": self._tile, "genes": self._genes}
        return {"spot": str(self._keys[row])} | {part: made[part](row) for part in parts}

    def _genes(self, row: int) -> list[str]:
        ids = np.asarray(self._store.genes[row])
        return [self._store.vocabulary[gene] for gene in ids[ids >= 0][:GENES].tolist()]

    def _tile(self, row: int) -> str:
        from PIL import Image

        image = Image.fromarray(np.asarray(self._store.tiles[row]))
        image.thumbnail((TILE_PIXELS, TILE_PIXELS))
        out = BytesIO()
        image.save(out, "PNG")
        return base64.b64encode(out.getvalue()).decode()
