"""The table that a single run prints."""

from __future__ import annotations

from rich.markup import escape
from rich.table import Table

from stclip.config import Experiment
from stclip.config.schema import KS
from stclip.terminal.console import make_console
from stclip.terminal.text import many


def metrics_table(metrics: dict[str, float], splits: tuple[str, ...]) -> Table:
    """A row a split: slide-gallery recall with chance and lift, in-batch recall, loss, median rank."""
    table = Table(title_justify="left")
    for head in (
        "split",
        *(f"R@{k}" for k in KS),
        "chance",
        "lift",
        *(f"batch R@{k}" for k in KS),
        "median rank",
        "loss",
    ):
        table.add_column(head, justify="left" if head == "split" else "right")
    for split in splits:
        if f"{split}/R@1" not in metrics:
            continue

        def value(name: str, digits: int, split: str = split) -> str:
            return f"{metrics[f'{split}/{name}']:.{digits}f}" if f"{split}/{name}" in metrics else "-"

        table.add_row(
            split,
            *(value(f"R@{k}", 3) for k in KS),
            " ".join(value(f"chance_R@{k}", 3) for k in KS),
            " ".join(value(f"lift_R@{k}", 1) for k in KS),
            *(value(f"batch_R@{k}", 3) for k in KS),
            value("median_rank", 1),
            value("loss", 3),
        )
    return table


def print_result(
    config: Experiment, metrics: dict[str, float], seconds: dict[str, float], files: str
) -> None:
    """Print the metrics by split, wall seconds by stage, and where the files are."""
    shown = make_console(None if make_console().is_terminal else 130)
    shown.print(f"[bold]{escape(config.name)}[/] on {escape(config.data.dataset)}, loss {config.loss.name}, "
                  f"{many(config.trainer.max_epochs, 'epoch')}, seed {config.seed}")  # fmt: skip
    shown.print(metrics_table(metrics, ("val", "test")))
    shown.print("gallery: all spots of a slide, both directions, mean over slides; "
                  f"batch: inside batches of {config.data.batch_size}, image to gene", style="dim")  # fmt: skip
    shown.print("seconds: " + ", ".join(f"{stage} {took:.1f}" for stage, took in seconds.items()))
    shown.print(f"files: {escape(files)}", soft_wrap=True)
