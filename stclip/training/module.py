"""SpatialClipModule: one dual encoder, one loss, one optimizer, as a LightningModule."""

from __future__ import annotations

import math
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.trainer.states import TrainerFn

from stclip.batch import Batch
from stclip.config import Experiment
from stclip.config.registry import LOSSES, lookup
from stclip.config.schema import KS
from stclip.data.batches.datamodule import SpotBatches
from stclip.losses.gather import mean_over_ranks, world_size
from stclip.model.dual_encoder import DualEncoder
from stclip.retrieval import RecallAtK, SlideRecall, mean_over_slides, slide_recall

# Shown in the progress bar, and there for callbacks such as EarlyStopping.
MONITORED = ("train/loss", "val/R@10", "test/R@10")


class SpatialClipModule(pl.LightningModule):
    """Trains a DualEncoder; evaluates by Recall@K over each slide's gallery (the metric of record) and in batch.

    Logs after each epoch `train/loss`, `train/<term>` of the loss, `train/temperature`, `train/neighbor_coverage`, and for
    val and test: `R@K`, `chance_R@K`, `lift_R@K`, `ring_R@K`, `median_rank`, `loss`, `batch_R@K`. `metrics` holds the newest
    value of each by its logged name, the same on all ranks, and `slides` the newest evaluation slide by slide. All
    randomness of an epoch follows from (seed, epoch, rank), so a run that was interrupted between two epochs ends with the
    same weights as one that was not.
    """

    def __init__(self, config: Experiment, input_dim: int, num_genes: int) -> None:
        """`input_dim`: what one spot's image input measures (see DualEncoder). `num_genes`: vocabulary size."""
        super().__init__()
        self.config = config
        torch.manual_seed(config.seed)  # the weights' start values
        self.encoder = DualEncoder(config.model, config.augment, input_dim, num_genes, config.data.max_genes)
        loss_class = lookup("loss", LOSSES, config.loss.name).load()
        self.loss = loss_class(**config.loss.model_dump(exclude={"name"}))
        self.batch_recalls = torch.nn.ModuleDict({str(k): RecallAtK(k) for k in KS})
        self.metrics: dict[str, float] = {}
        self.history: list[dict[str, float]] = []  # `metrics` after each epoch
        self.slides: list[SlideRecall] = []
        self._val_metrics: dict[str, float] = {}
        self._train_terms: list[dict[str, torch.Tensor]] = []
        self._eval_batches: list[tuple[torch.Tensor, torch.Tensor, Batch]] = []

    def on_train_epoch_start(self) -> None:
        """Start the epoch's own random stream; each rank has another one, or all would turn their tiles alike."""
        own = self.config.seed * 1_000_003 + self.current_epoch + 1 + self.global_rank * 1_000_000_000_039
        torch.manual_seed(own % 2**63)
        self._train_terms = []

    def training_step(self, batch: Batch, batch_index: int) -> torch.Tensor:
        """Loss of one batch. Terms stay on the device until the epoch's end: no sync a step."""
        encoder = self.encoder
        terms = self.loss.from_batch(
            encoder.encode_image(batch["image"]),
            encoder.encode_genes(batch["genes"]),
            encoder.logit_scale,
            batch,
        )
        self._train_terms.append({name: value.detach() for name, value in terms.items()})
        return terms["loss"]

    def on_validation_epoch_start(self) -> None:
        """Stop before ranking with a model whose loss is not finite. Raises FloatingPointError.

        Lightning validates before it ends the training epoch, so this is the first moment to look.
        """
        loss = self._train_means().get("loss", 0.0)
        if not math.isfinite(loss):
            raise FloatingPointError(
                f"the training loss became {loss} within epoch {self.current_epoch + 1} "
                f"(step {self.global_step} or before); try a lower optimizer.lr or a higher temperature"
            )

    def on_train_epoch_end(self) -> None:
        """Publish the epoch: means of the loss's terms, temperature, neighbour coverage, and what validation found."""
        means = {f"train/{name}": value for name, value in self._train_means().items()}
        means["train/temperature"] = 1 / float(self.encoder.logit_scale.detach())
        batches = self.trainer.train_dataloader
        if isinstance(batches, SpotBatches):
            means["train/neighbor_coverage"] = batches.coverage
        self._publish(means | self._val_metrics)
        self.history.append(dict(self.metrics))

    def _train_means(self) -> dict[str, float]:
        """Each term's mean over the epoch's batches and all ranks, so that a NaN anywhere is seen everywhere."""
        names = self._train_terms[0] if self._train_terms else {}
        means = {name: torch.stack([terms[name] for terms in self._train_terms]).mean() for name in names}
        if world_size() > 1:
            means = {name: mean_over_ranks(value) for name, value in means.items()}
        return {name: float(value) for name, value in means.items()}

    def validation_step(self, batch: Batch, batch_index: int) -> None:
        """Encode; everything is ranked at the end, over whole slides."""
        self._encode(batch)

    def test_step(self, batch: Batch, batch_index: int) -> None:
        """As validation_step, on the test slides."""
        self._encode(batch)

    def on_validation_epoch_end(self) -> None:
        """Rank the validation slides."""
        self._val_metrics = {f"val/{name}": value for name, value in self._evaluate().items()}
        if self.trainer.state.fn != TrainerFn.FITTING:  # within a fit they are published with the epoch
            self._publish(self._val_metrics)

    def on_test_epoch_end(self) -> None:
        """Rank the test slides."""
        self._publish({f"test/{name}": value for name, value in self._evaluate().items()})

    def _publish(self, metrics: dict[str, float]) -> None:
        """Metrics to `self.metrics` and, as one row, to the loggers; what callbacks may monitor also to Lightning.

        Lightning's own `log` makes a metric object for each name and epoch, which took a tenth of a small trial.
        """
        self.metrics |= metrics
        for logger in self.loggers:
            logger.log_metrics({"epoch": self.current_epoch, **metrics}, step=self.global_step)
            logger.save()  # a person may be watching the file
        self.log_dict(
            {name: value for name, value in metrics.items() if name in MONITORED}, logger=False, prog_bar=True
        )

    def configure_optimizers(self) -> Any:
        """AdamW (no decay on biases, norms, the temperature), linear warm-up, then cosine to zero, by step."""
        settings = self.config.optimizer
        named = [(name, p) for name, p in self.named_parameters() if p.requires_grad]
        groups = [
            {"params": [p for _, p in named if p.ndim >= 2], "weight_decay": settings.weight_decay},
            {"params": [p for _, p in named if p.ndim < 2], "weight_decay": 0.0},
        ]
        optimizer = torch.optim.AdamW(groups, lr=settings.lr, betas=settings.betas, fused=True)
        total = max(1, int(self.trainer.estimated_stepping_batches))
        warmup = max(1, round(settings.warmup_fraction * total))
        schedule = torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda step: _warm_cosine(step, warmup, total)
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def _encode(self, batch: Batch) -> None:
        image = self.encoder.encode_image(batch["image"])
        genes = self.encoder.encode_genes(batch["genes"])
        rest = {name: value for name, value in batch.items() if name != "image"}
        self._eval_batches.append((image, genes, rest))  # type: ignore[arg-type]

    def _evaluate(self) -> dict[str, float]:
        """Metrics of the spots encoded since the last call."""
        image = torch.cat([part[0] for part in self._eval_batches]).float()
        genes = torch.cat([part[1] for part in self._eval_batches]).float()
        rest: Any = {
            name: torch.cat([part[2][name] for part in self._eval_batches])  # type: ignore[literal-required]
            for name in self._eval_batches[0][2]
        }
        self._eval_batches = []
        # Neighbour ids are store rows; here they must be rows of the split.
        first = int(rest["tile_ids"][0])
        neighbors = torch.where(rest["neighbor_tile_ids"] >= 0, rest["neighbor_tile_ids"] - first, -1)
        self.slides = slide_recall(image, genes, rest["slide_ids"], ks=KS, neighbor_ids=neighbors)
        return mean_over_slides(self.slides) | self._in_batch(image, genes, rest)

    def _in_batch(
        self, image: torch.Tensor, genes: torch.Tensor, rest: dict[str, torch.Tensor]
    ) -> dict[str, float]:
        """Loss and recall inside batches of `data.batch_size` spots, as earlier runs took them; for comparison only."""
        size, scale = self.config.data.batch_size, self.encoder.logit_scale
        recalls: dict[str, Any] = dict(self.batch_recalls.items())
        for metric in recalls.values():
            metric.reset()
        losses, counts = [], []
        for start in range(0, len(image), size):
            rows = slice(start, start + size)
            part: Any = {name: value[rows] for name, value in rest.items()}
            losses.append(float(self.loss.from_batch(image[rows], genes[rows], scale, part)["loss"]))
            counts.append(len(image[rows]))
            target = torch.arange(counts[-1], device=image.device)
            logits = image[rows] @ genes[rows].T
            for metric in recalls.values():
                metric.update(logits, target)
        mean_loss = sum(loss * n for loss, n in zip(losses, counts, strict=True)) / sum(counts)
        return {"loss": mean_loss} | {
            f"batch_R@{k}": float(metric.compute()) for k, metric in recalls.items()
        }


def _warm_cosine(step: int, warmup: int, total: int) -> float:
    """Factor on the learning rate: (step + 1)/warmup, then half a cosine down to 0 at `total`."""
    if step < warmup:
        return (step + 1) / warmup
    return 0.5 * (1 + math.cos(math.pi * min(1.0, (step - warmup) / max(1, total - warmup))))
