"""From a SpotStore to batches, without worker processes: arrays are memory-mapped and batches are gathered whole."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, cast

import lightning.pytorch as pl
import numpy as np
import torch

from stclip.batch import Batch
from stclip.config import Experiment
from stclip.data.batches.batching import NeighborhoodBatches, RandomBatches, neighbor_coverage
from stclip.data.batches.frozen_features import FeatureScaling, frozen_features, reads_features
from stclip.data.batches.gene_inputs import gene_inputs
from stclip.data.batches.scaled_features import ScaledFeatures, scaling_tables, shared
from stclip.data.store import SpotStore, open_store
from stclip.data.store.data_key import DataKey, check_models

Split = Literal["train", "val", "test"]
EVAL_BATCH = 1024  # spots encoded at once; has no influence on any metric


class SpotBatches:
    """An iterable of batches over a fixed or an epoch's own order. Lightning calls `sampler.set_epoch`.

    `coverage` is the mean neighbour weight that was present in the batches of the newest pass, 0..1. With several devices
    that is the batch of all of them, since the losses gather it.
    """

    batch_sampler = None  # Lightning looks for it beside `sampler`

    def __init__(
        self, module: SpotDataModule, sampler: RandomBatches | NeighborhoodBatches | list[np.ndarray]
    ) -> None:
        self.module = module
        self.sampler = sampler
        self._covered: list[float] = []

    def __len__(self) -> int:
        return len(self.sampler)

    def __iter__(self) -> Iterator[Batch]:
        store = self.module.opened()
        self._covered = []
        whole = self.sampler if isinstance(self.sampler, list) else self.sampler.global_batches()
        for batch in whole:
            self._covered.append(neighbor_coverage(batch, store.neighbor_ids, store.neighbor_alphas))
            rows = batch if isinstance(self.sampler, list) else self.sampler.share(batch)
            yield self.module.gather(rows)

    @property
    def coverage(self) -> float:
        return float(np.mean(self._covered))


class SpotDataModule(pl.LightningDataModule):
    """Opens (or builds) the store and, for a frozen image tower, its features; hands out batches.

    All arrays are memory maps, whose pages the processes of a machine share.

    Attributes after `setup`: `store`; `image` [N, ...] what the image tower reads; `input_dim`, its size;
    `scaling`, the training slides' feature mean and spread (None without frozen features).
    """

    def __init__(self, config: Experiment, expected: DataKey | None = None) -> None:
        """`expected`: what the data must be; None takes them as they are."""
        super().__init__()
        self.config, self.expected = config, expected
        self.store: SpotStore | None = None
        self.scaling: FeatureScaling | None = None

    def setup(self, stage: str | None = None) -> None:
        """Open everything once. Raises DataError for a data set that cannot be used, or is not the expected one."""
        if self.store is not None:
            return
        if self.expected is not None:
            check_models(self.config, self.expected)
        store = open_store(self.config.data, expected=self.expected.store if self.expected else None)
        image = self.config.model.image
        if reads_features(image):
            features, how = frozen_features(store, image.name, image.center), self.config.features.normalize
            tables = scaling_tables(store, image.name, image.center)
            scaled = ScaledFeatures(features, store.slide_index, tables, how)
            self.image: ScaledFeatures | torch.Tensor = scaled
            self.scaling, self.input_dim = tables.train, scaled.dim
        else:
            self.image = shared(store.tiles)
            self.input_dim = self.config.data.image_size
        self.genes = gene_inputs(store, self.config)
        self.neighbor_ids, self.neighbor_alphas = shared(store.neighbor_ids), shared(store.neighbor_alphas)
        self.slide_index = shared(store.slide_index)
        self.store = store

    def opened(self) -> SpotStore:
        """The store, opened on first use."""
        self.setup()
        assert self.store is not None
        return self.store

    def gather(self, rows: np.ndarray) -> Batch:
        """The batch of these store rows, int64 [B]."""
        ids = torch.from_numpy(rows)
        genes = self.genes[ids]
        return Batch(
            image=self.image[ids],
            genes=genes if genes.is_floating_point() else genes.long(),
            tile_ids=ids,
            neighbor_tile_ids=self.neighbor_ids[ids].long(),
            neighbor_alphas=self.neighbor_alphas[ids],
            slide_ids=self.slide_index[ids].long(),
        )

    def transfer_batch_to_device(self, batch: Batch, device: torch.device, dataloader_idx: int) -> Batch:
        """The batch on `device` (Lightning hook). Lightning's own walks any nesting, at a tenth of a small step's time."""
        if device.type == "cpu":
            return batch
        tensors = cast(dict[str, torch.Tensor], batch)
        return cast(Batch, {name: value.to(device, non_blocking=True) for name, value in tensors.items()})

    def train_batches(self) -> RandomBatches | NeighborhoodBatches:
        """The training order; a pure function of seed and epoch. With several devices, this process's share of each batch."""
        store, data = self.opened(), self.config.data
        rank, world_size = (self.trainer.global_rank, self.trainer.world_size) if self.trainer else (0, 1)
        spots = store.spots("train")
        if data.batching == "neighborhood":
            return NeighborhoodBatches(
                spots,
                store.neighbor_ids,
                store.slide_index,
                data.batch_size,
                self.config.seed,
                rank=rank,
                world_size=world_size,
            )
        return RandomBatches(spots, data.batch_size, self.config.seed, rank=rank, world_size=world_size)

    def eval_batches(self, split: Split) -> SpotBatches:
        """All spots of a split, in the order of the shards."""
        spots = self.opened().spots(split)
        chunks = [spots[start : start + EVAL_BATCH] for start in range(0, len(spots), EVAL_BATCH)]
        return SpotBatches(self, chunks)

    def train_dataloader(self) -> SpotBatches:
        """Training batches (Lightning hook)."""
        return SpotBatches(self, self.train_batches())

    def val_dataloader(self) -> SpotBatches:
        """All validation spots (Lightning hook)."""
        return self.eval_batches("val")

    def test_dataloader(self) -> SpotBatches:
        """All test spots (Lightning hook)."""
        return self.eval_batches("test")
