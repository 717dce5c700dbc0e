"""A trained model for new tiles and new gene sentences.

from stclip import load_model
model = load_model("results/NAME/best/spatial")
tiles, genes = model.embed_slide(images), model.embed_sentences(["KRT19 EPCAM CDH1"])
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from stclip.config import Experiment
from stclip.config.registry import is_pretrained
from stclip.data.batches.frozen_features import (
    FeatureScaling,
    frozen_encoder,
    reads_features,
    scale_features,
    sentences_of,
)
from stclip.data.batches.relative_sentences import ordered_genes
from stclip.errors import InputError, shorten
from stclip.files.paths import is_file
from stclip.model.dual_encoder import DualEncoder
from stclip.training.checkpoint_content import ModelFacts, checked_weights, load_weights, model_facts
from stclip.training.checkpoint_file import CHECKPOINT, read_checkpoint

CHUNK = 1024  # tiles or sentences encoded at once


class TrainedModel:
    """A dual encoder with what its inputs need: the vocabulary, the frozen features and their scaling.

    With `features.normalize: slide` a tile's vector depends on all tiles of its slide, and with `features.normalize_genes:
    slide` a sentence's on all sentences of its slide. Then only `embed_slide` and `embed_slide_sentences` are right, and the
    other two refuse. Without, all of them give a spot the same vector.
    """

    def __init__(
        self,
        config: Experiment,
        encoder: DualEncoder,
        vocabulary: Sequence[str],
        scaling: FeatureScaling | None,
        input_dim: int,
    ) -> None:
        """`input_dim`: what one spot's image input measures (see DualEncoder)."""
        self.config, self.encoder, self.scaling = config, encoder.eval(), scaling
        self.vocabulary = tuple(vocabulary)
        self.input_dim = input_dim
        self._gene_ids = {gene: index for index, gene in enumerate(vocabulary)}

    @property
    def temperature(self) -> float:
        """1 / logit scale."""
        return 1 / float(self.encoder.logit_scale.detach())

    @property
    def needs_whole_slides(self) -> bool:
        """Whether a tile's vector depends on the other tiles of its slide."""
        return reads_features(self.config.model.image) and self.config.features.normalize == "slide"

    def embed_tiles(self, tiles: np.ndarray) -> np.ndarray:
        """uint8 RGB tiles [N, S, S, 3], of any slides -> unit vectors float32 [N, D].

        Tiles must cover the same tissue area as in training; S is `data.image_size`. Raises InputError for other tiles, and
        where a tile's vector depends on its slide.
        """
        if self.needs_whole_slides:
            raise InputError(
                "embed_tiles cannot tell which tiles are of one slide, and with features.normalize: slide a tile's vector "
                "depends on all of them; use embed_slide(tiles) with all tiles of one slide, as an array or batch by batch"
            )
        return self._encode_images(self._image_inputs([tiles]))

    def embed_slide(self, tiles: np.ndarray | Iterable[np.ndarray]) -> np.ndarray:
        """All tiles of ONE slide -> unit vectors float32 [N, D], in the order of the tiles.

        Args:
            tiles: uint8 RGB [N, S, S, 3], or batches of them, one after another: a slide need not lie in memory whole.

        Raises InputError for other tiles, for none, and, where vectors depend on the slide, for tiles that all look the
        same to the model: what sets a tile apart from its slide cannot be told from one of them.
        """
        inputs = self._image_inputs([tiles] if isinstance(tiles, np.ndarray) else tiles)
        if not len(inputs):
            raise InputError("embed_slide needs all tiles of a slide, got none")
        if self.needs_whole_slides and not inputs.any():
            raise InputError(
                f"embed_slide needs all tiles of a slide, got {len(inputs)} without any difference between them; with "
                "features.normalize: slide a tile's vector is what sets it apart from its slide"
            )
        return self._encode_images(inputs)

    def embed_sentences(self, sentences: Sequence[str]) -> np.ndarray:
        """N gene sentences (symbols, most expressed first, separated by spaces), of any slides -> unit vectors float32 [N, D].

        Genes outside the vocabulary are left out. Raises InputError for a sentence without any known gene, and where a
        sentence's vector depends on its slide.
        """
        if self.config.features.normalize_genes == "slide":
            raise InputError(
                "embed_sentences cannot tell which sentences are of one slide, and with features.normalize_genes: slide a "
                "sentence's vector depends on all of them; use embed_slide_sentences(sentences) with all of one slide"
            )
        return self._encode_sentences(sentences)

    def embed_slide_sentences(self, sentences: Sequence[str]) -> np.ndarray:
        """All gene sentences of ONE slide -> unit vectors float32 [N, D]; else as `embed_sentences`.

        Raises InputError for none, for a sentence without any known gene, and, where vectors depend on the slide, for sentences
        that are all the same.
        """
        _check_texts(sentences)
        if not sentences:
            raise InputError("embed_slide_sentences needs all sentences of a slide, got none")
        if self.config.features.normalize_genes == "slide" and len(set(sentences)) == 1:
            raise InputError(
                f"embed_slide_sentences needs all sentences of a slide, got {len(sentences)} without any difference between "
                "them; with features.normalize_genes: slide a sentence's genes are ordered by what sets it apart"
            )
        return self._encode_sentences(sentences)

    @torch.inference_mode()
    def _encode_sentences(self, sentences: Sequence[str]) -> np.ndarray:
        _check_texts(sentences)
        known = []
        for row, sentence in enumerate(sentences):
            # As in the store: the front of the sentence first, unknown genes dropped from it after.
            genes = sentence.split()[: self.config.data.max_genes]
            ids = [self._gene_ids[gene] for gene in genes if gene in self._gene_ids]
            if not ids:
                raise InputError(
                    f"sentence {row} has no gene of the model's vocabulary of {len(self.vocabulary)} "
                    f"(such as {', '.join(self.vocabulary[:3])}), got '{sentence[:60]}'"
                )
            known.append(ids)
        if not known:
            return np.zeros((0, self.config.model.embed_dim), np.float32)
        inputs = self._gene_inputs(known)
        parts = [self.encoder.encode_genes(inputs[at : at + CHUNK]) for at in range(0, len(inputs), CHUNK)]
        return torch.cat(parts).numpy()

    def _gene_inputs(self, sentences: Sequence[Sequence[int]]) -> torch.Tensor:
        """What the gene tower reads of sentences of gene ids (see `stclip.data.batches.gene_inputs`)."""
        genes = np.full((len(sentences), self.config.data.max_genes), -1, dtype=np.int64)
        for row, ids in enumerate(sentences):
            genes[row, : len(ids)] = ids
        one_slide = np.zeros(len(genes), dtype=np.int32)
        genes = ordered_genes(genes, one_slide, len(self.vocabulary), self.config.features.normalize_genes)
        tower = self.config.model.genes
        if not is_pretrained(tower.name):
            return torch.from_numpy(genes.astype(np.int64))
        from stclip.model.pretrained_genes import PretrainedSentences, SentenceTokens

        words = sentences_of(self.vocabulary, genes)
        return SentenceTokens(tower.name)(words) if tower.finetune else PretrainedSentences(tower.name)(words)

    @torch.inference_mode()
    def _encode_images(self, inputs: torch.Tensor) -> np.ndarray:
        if not len(inputs):
            return np.zeros((0, self.config.model.embed_dim), np.float32)
        parts = [self.encoder.encode_image(inputs[at : at + CHUNK]) for at in range(0, len(inputs), CHUNK)]
        return torch.cat(parts).numpy()

    @torch.inference_mode()
    def _image_inputs(self, batches: Iterable[np.ndarray]) -> torch.Tensor:
        """What the image tower reads of the tiles of one slide."""
        image = self.config.model.image
        if not reads_features(image):
            return torch.from_numpy(_joined([*self._checked(batches)], np.uint8))
        encode = frozen_encoder(image.name, image.center)
        parts = [encode(torch.from_numpy(tiles)).numpy() for tiles in self._checked(batches) if len(tiles)]
        features = _joined(parts, np.float32)
        if len(features) and features.shape[1] != self.input_dim:
            raise InputError(
                f"the encoder {image.name} gives {features.shape[1]} numbers a tile, and the model was trained on "
                f"{self.input_dim}; put back the encoder that it was trained with"
            )
        if self.config.features.normalize == "train":
            assert self.scaling is not None
            return torch.from_numpy(self.scaling.apply(features))
        one_slide = np.zeros(len(features), dtype=np.int32)
        every = np.arange(len(features))
        return torch.from_numpy(scale_features(features, one_slide, every, self.config.features.normalize))

    def _checked(self, batches: Iterable[Any]) -> Iterator[np.ndarray]:
        size = self.config.data.image_size
        for tiles in batches:
            if not isinstance(tiles, np.ndarray):
                raise InputError(
                    f"tiles must be a numpy array uint8 [N, {size}, {size}, 3], got a {type(tiles).__name__}"
                )
            if tiles.dtype != np.uint8 or tiles.ndim != 4 or tiles.shape[1:] != (size, size, 3):
                raise InputError(
                    f"tiles must be uint8 [N, {size}, {size}, 3], got {tiles.dtype} {list(tiles.shape)}"
                )
            yield np.array(tiles)  # torch has no read-only arrays, such as a store's


def _check_texts(sentences: Sequence[str]) -> None:
    if isinstance(sentences, str) or not all(isinstance(sentence, str) for sentence in sentences):
        got = shorten(repr(sentences), 60)
        raise InputError(f"sentences must be a list of texts, such as ['GENE1 GENE2'], got {got}")


def _joined(parts: list[np.ndarray], kind: Any) -> np.ndarray:
    return np.concatenate(parts) if parts else np.zeros((0, 1), kind)


def load_model(folder: str | Path) -> TrainedModel:
    """The model of a folder with checkpoint.ckpt (`best/<family>/` of a sweep, or a single run's), on the CPU.

    Raises InputError when there is no such file, when it was not written by stclip, or is not as stclip writes it.
    """
    path = Path(folder) / CHECKPOINT
    if not is_file(path):
        raise InputError(f"{path}: no such checkpoint; give a run's folder or results/NAME/best/FAMILY")
    content = read_checkpoint(path)
    facts = model_facts(content, path)
    _check_input(facts, path)
    if not (facts.config.model.image.finetune or facts.config.model.genes.finetune):
        _check_size(facts, content, path)
    encoder = _encoder(facts)
    load_weights(encoder, content, path, "encoder.")
    if not torch.isfinite(encoder.logit_scale):
        raise InputError(
            f"{path}: a malformed checkpoint: its temperature is 0; use one that this program wrote"
        )
    return TrainedModel(facts.config, encoder, facts.vocabulary, facts.scaling, facts.input_dim)


def _encoder(facts: ModelFacts) -> DualEncoder:
    config = facts.config
    return DualEncoder(
        config.model, config.augment, facts.input_dim, len(facts.vocabulary), config.data.max_genes
    )


def _check_size(facts: ModelFacts, content: dict[str, Any], path: Path) -> None:
    """A configuration of a few lines may describe a model of terabytes: the file's weights are those, or none is made."""
    with torch.device("meta"):
        wanted = {name: (value.shape, value.dtype) for name, value in _encoder(facts).state_dict().items()}
    checked_weights(wanted, content, path, "encoder.")


def _check_input(facts: ModelFacts, path: Path) -> None:
    """The image tower reads what the configuration says that it reads, as far as that is known without a model's files."""
    image, features = facts.config.model.image, reads_features(facts.config.model.image)
    encoder = frozen_encoder(image.name, image.center) if features else None
    wanted = getattr(encoder, "dim", facts.input_dim) if features else facts.config.data.image_size
    what = f"input_dim must be {wanted}, got {facts.input_dim}" if facts.input_dim != wanted else ""
    if features and facts.config.features.normalize == "train" and facts.scaling is None:
        what = "it lacks feature_mean and feature_std"
    if what:
        raise InputError(f"{path}: a malformed checkpoint: {what}; use one that this program wrote")
