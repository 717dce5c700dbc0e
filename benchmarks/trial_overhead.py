"""How much CPU a trial takes over a bare PyTorch loop that does the same work.

    python benchmarks/trial_overhead.py [--experiment sweep_base] [--rounds 5] [--set key=value ...]

Both train the same model on the same batches and rank the validation slides after each epoch. `fit` adds Lightning,
logging to files and, as in a sweep, checkpoints. Rounds alternate in one process after a warm-up, so
only the ratio of CPU seconds counts.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import lightning.pytorch as pl
import torch

from stclip.config import Experiment
from stclip.config.load import load_experiment
from stclip.config.registry import LOSSES
from stclip.data.batches.datamodule import SpotDataModule
from stclip.model.dual_encoder import DualEncoder
from stclip.retrieval import gallery_recall
from stclip.train import fit
from stclip.training.module import KS, _warm_cosine
from stclip.training.prepare import prepare_data
from sweeps.trial.run_trial import CHECKPOINT_SECONDS


def bare(config: Experiment) -> float:
    """The loop a researcher would write by hand. Returns the last val R@10."""
    data = SpotDataModule(config)
    store = data.opened()
    torch.manual_seed(config.seed)
    encoder = DualEncoder(
        config.model, config.augment, data.input_dim, len(store.vocabulary), config.data.max_genes
    )
    loss = LOSSES[config.loss.name].load()(**config.loss.model_dump(exclude={"name"}))
    settings = config.optimizer
    optimizer = torch.optim.AdamW(encoder.parameters(), lr=settings.lr, betas=settings.betas, fused=True)
    sampler = data.train_batches()
    total = len(sampler) * config.trainer.max_epochs
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: _warm_cosine(step, total // 10, total)
    )
    recall = 0.0
    for epoch in range(config.trainer.max_epochs):
        encoder.train()
        sampler.set_epoch(epoch)
        for rows in sampler:
            batch = data.gather(rows)
            image, genes = encoder.encode_image(batch["image"]), encoder.encode_genes(batch["genes"])
            value = loss.from_batch(image, genes, encoder.logit_scale, batch)["loss"]
            optimizer.zero_grad()
            value.backward()
            torch.nn.utils.clip_grad_norm_(encoder.parameters(), settings.gradient_clip or float("inf"))
            optimizer.step()
            schedule.step()
        encoder.eval()
        with torch.inference_mode():
            batch = data.gather(store.spots("val"))
            image, genes = encoder.encode_image(batch["image"]), encoder.encode_genes(batch["genes"])
            recall = gallery_recall(image, genes, batch["slide_ids"], ks=KS)["R@10"]
    return recall


class SaveLikeASweep(pl.callbacks.Checkpoint):
    """What a sweep's callback does, less the hand-over to Ray."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.saved = time.monotonic()

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Lightning hook."""
        last = trainer.current_epoch + 1 == trainer.max_epochs
        if last or time.monotonic() - self.saved >= CHECKPOINT_SECONDS:
            trainer.save_checkpoint(self.folder / "checkpoint.ckpt")
            self.saved = time.monotonic()


def trial(config: Experiment) -> None:
    """One trial, in a folder that is thrown away."""
    with tempfile.TemporaryDirectory() as folder:
        fit(config, Path(folder), callbacks=[SaveLikeASweep(Path(folder))], save=False)


def cpu_seconds(work: object) -> float:
    """CPU seconds of this process while `work()` runs."""
    start = time.process_time()
    work()  # type: ignore[operator]
    return time.process_time() - start


def main() -> None:
    """Print the CPU seconds of both and the ratio, round by round and in the median."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--experiment", default="sweep_base")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    options = parser.parse_args()
    config = load_experiment(options.experiment, ["trainer.threads=1", *options.set])
    prepare_data(config)
    ratios = []
    for number in range(options.rounds + 1):
        lightning = cpu_seconds(lambda: trial(config))
        plain = cpu_seconds(lambda: bare(config))
        print(f"{'warm-up' if number == 0 else f'round {number}'}: fit {lightning:.2f} s, bare {plain:.2f} s, "
              f"ratio {lightning / plain:.2f}")  # fmt: skip
        if number:
            ratios.append(lightning / plain)
    print(
        f"median ratio {statistics.median(ratios):.2f} ({config.model.image.name}, {config.trainer.max_epochs} epochs)"
    )


if __name__ == "__main__":
    main()
