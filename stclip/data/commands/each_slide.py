"""Work on every slide of a data set, with a progress bar."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from typing import Any

from stclip.data.raw.slide_pool import run_slides
from stclip.terminal.progress import ProgressBar


def each_slide(
    title: str,
    work: Callable[..., Any],
    tasks: Mapping[str, tuple[Any, ...]],
    total: int,
    arguments: argparse.Namespace,
) -> dict[str, Any]:
    """`run_slides` by the command line's --jobs and --quiet; `total`: how much the works will tell, as far as it is known."""
    with ProgressBar(title, arguments.quiet) as bar:
        bar.update(0, total)
        return run_slides(work, tasks, arguments.jobs, lambda done: bar.update(done, max(total, done)))
