"""A trained model for new tiles and new gene sentences.

from stclip import load_model
model = load_model("results/NAME/best/spatial")
tiles, genes = model.embed_tiles(images), model.embed_sentences(["KRT19 EPCAM CDH1"])
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from stclip.config import Experiment
from stclip.configio import validate
from stclip.data.relative_sentences import ordered_genes
from stclip.errors import InputError
from stclip.evaluate import read_checkpoint
from stclip.model.dual_encoder import DualEncoder
from stclip.model.features import (
    FeatureScaling,
    frozen_encoder,
    reads_features,
    scale_features,
    sentences_of,
)
from stclip.model.pretrained import is_pretrained
from stclip.train import CHECKPOINT

CHUNK = 1024  # tiles or sentences encoded at once


class TrainedModel:
    """A dual encoder with what its inputs need: the vocabulary, the frozen features and their scaling."""

    def __init__(
        self,
        config: Experiment,
        encoder: DualEncoder,
        vocabulary: Sequence[str],
        scaling: FeatureScaling | None,
    ) -> None:
        self.config, self.encoder, self.scaling = config, encoder.eval(), scaling
        self.vocabulary = tuple(vocabulary)
        self._gene_ids = {gene: index for index, gene in enumerate(vocabulary)}

    @property
    def temperature(self) -> float:
        """1 / logit scale."""
        return 1 / float(self.encoder.logit_scale)

    @torch.inference_mode()
    def embed_tiles(self, tiles: np.ndarray) -> np.ndarray:
        """uint8 RGB tiles [N, S, S, 3] -> unit vectors float32 [N, D].

        With `features.normalize: slide` the statistics of these very tiles are used, so pass all tiles of one slide.
        Tiles must cover the same tissue area as in training; S is `data.image_size`. Raises InputError otherwise.
        """
        size = self.config.data.image_size
        if tiles.dtype != np.uint8 or tiles.ndim != 4 or tiles.shape[1:] != (size, size, 3):
            raise InputError(
                f"tiles must be uint8 [N, {size}, {size}, 3], got {tiles.dtype} {list(tiles.shape)}"
            )
        inputs = self._image_inputs(tiles)
        parts = [self.encoder.encode_image(inputs[at : at + CHUNK]) for at in range(0, len(inputs), CHUNK)]
        return torch.cat(parts).numpy()

    @torch.inference_mode()
    def embed_sentences(self, sentences: Sequence[str]) -> np.ndarray:
        """N gene sentences (symbols, most expressed first, separated by spaces) -> unit vectors float32 [N, D].

        Genes outside the vocabulary are left out. With `features.normalize_genes: slide` the average over these very sentences
        is used, so pass all sentences of one slide. Raises InputError for a sentence without any known gene.
        """
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
        inputs = self._gene_inputs(known)
        parts = [self.encoder.encode_genes(inputs[at : at + CHUNK]) for at in range(0, len(inputs), CHUNK)]
        return torch.cat(parts).numpy()

    def _gene_inputs(self, sentences: Sequence[Sequence[int]]) -> torch.Tensor:
        """What the gene tower reads of sentences of gene ids (see `stclip.data.gene_inputs`)."""
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

    def _image_inputs(self, tiles: np.ndarray) -> torch.Tensor:
        image = self.config.model.image
        if not reads_features(image):
            return torch.from_numpy(tiles)
        features = frozen_encoder(image.name, image.center)(torch.from_numpy(tiles)).numpy()
        if self.config.features.normalize == "train":
            assert self.scaling is not None
            return torch.from_numpy(self.scaling.apply(features))
        one_slide = np.zeros(len(features), dtype=np.int32)
        every = np.arange(len(features))
        return torch.from_numpy(scale_features(features, one_slide, every, self.config.features.normalize))


def load_model(folder: str | Path) -> TrainedModel:
    """The model of a folder with checkpoint.ckpt (`best/<family>/` of a sweep, or a single run's), on the CPU.

    Raises InputError when there is no such file or it was not written by stclip.
    """
    path = Path(folder) / CHECKPOINT
    if not path.is_file():
        raise InputError(f"{path}: no such checkpoint; give a run's folder or results/NAME/best/FAMILY")
    content = read_checkpoint(path)
    facts = content.get("stclip")
    if facts is None:
        raise InputError(f"{path}: not a checkpoint of stclip (it does not say which configuration made it)")
    config = validate(Experiment, facts["config"], str(path))
    vocabulary = facts["vocabulary"]
    encoder = DualEncoder(
        config.model, config.augment, facts["input_dim"], len(vocabulary), config.data.max_genes
    )
    prefix = "encoder."
    weights = {k.removeprefix(prefix): v for k, v in content["state_dict"].items() if k.startswith(prefix)}
    encoder.load_state_dict(weights)
    scaling = None
    if facts["feature_mean"] is not None:
        scaling = FeatureScaling(facts["feature_mean"].numpy(), facts["feature_std"].numpy())
    return TrainedModel(config, encoder, vocabulary, scaling)
