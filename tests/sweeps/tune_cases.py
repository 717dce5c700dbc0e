"""Small runs of Tune as scripts: what each trial does at each of its starts. Played on a real Ray, and by `fake_tune`.

Imports nothing heavy, since the workers import it too.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

METRIC = "val/R@10"

# What a trial does next. A number is reported as the metric of its next epoch. After the last step the function returns.
RAISES = "raises"
DIES = "dies"  # its process ends
FAILS = "fails"  # reports a failure, without the metric
DISK_FULL = "disk full"  # reports one that is no fault of the trial

Start = tuple[float | str, ...]


@dataclass(frozen=True)
class Case:
    """`trials`: by number, what each does at its first start, its second, and so on."""

    trials: tuple[tuple[Start, ...], ...]
    retries: int = 0
    checkpoints: bool = False  # with every report; a restart then goes on after the last
    stop_at: int | None = None  # the whole run is stopped while the result of this epoch is handled
    hook_that_raises: str | None = None  # such as "scheduler.on_trial_result"
    metric_named_by: str | None = None  # searcher, scheduler or config


GOOD = (0.5, 0.6, 0.7)
CASES = {
    "a natural end": Case(trials=((GOOD,), ((0.6, 0.7, 0.8),))),
    "the scheduler stops a trial": Case(trials=((GOOD,), ((0.1, 0.2, 0.3),), ((0.6, 0.7, 0.8),))),
    "the scheduler stops a trial that has just saved": Case(
        trials=((GOOD,), ((0.1, 0.2, 0.3),)), checkpoints=True
    ),
    "a function that returns without a report": Case(trials=(((),), (GOOD,))),
    "a report of a failure": Case(trials=(((0.5, FAILS),), ((FAILS,),))),
    "a full disk": Case(trials=(((0.5, DISK_FULL),), (GOOD,))),
    "a retry that succeeds": Case(trials=(((0.5, RAISES), GOOD), ((0.5, DIES), GOOD)), retries=1),
    "a retry that goes on from a checkpoint": Case(
        trials=(((0.5, RAISES), (0.6, 0.7)),), retries=1, checkpoints=True
    ),
    "a retry that fails too": Case(trials=(((0.5, RAISES), (RAISES,)), (GOOD,)), retries=1),
    "an error without a retry": Case(trials=(((0.5, RAISES),), ((DIES,),), (GOOD,))),
    "a stop of the whole run": Case(trials=((GOOD,), (GOOD,)), stop_at=2),
    **{
        f"a failure without the metric that the {who} names": Case(
            trials=(((0.5, FAILS),),), metric_named_by=who
        )
        for who in ("searcher", "scheduler", "config")
    },
    "an exception in searcher.suggest": Case(trials=((GOOD,),), hook_that_raises="searcher.suggest"),
    "an exception in scheduler.on_trial_result": Case(
        trials=((GOOD,),), hook_that_raises="scheduler.on_trial_result"
    ),
    "an exception in searcher.on_trial_result": Case(
        trials=((GOOD,),), hook_that_raises="searcher.on_trial_result"
    ),
    "an exception in scheduler.on_trial_error": Case(
        trials=(((RAISES,),),), hook_that_raises="scheduler.on_trial_error"
    ),
    "an exception in searcher.on_trial_complete": Case(
        trials=((GOOD, GOOD),), retries=1, hook_that_raises="searcher.on_trial_complete"
    ),
}


def report_of(step: float | str, epoch: int) -> dict[str, Any]:
    """What a trial reports for a step; RAISES and DIES report nothing."""
    if step == FAILS:
        return {"failure": "ValueError: no such slide", "no_space": False}
    if step == DISK_FULL:
        return {"failure": "OSError: No space left on device", "no_space": True}
    return {METRIC: step, "epoch": epoch}


def trainable(case: Case, marks: str) -> Callable[[dict[str, Any]], None]:
    """A Tune function that plays the case. `marks`: an empty folder, where each start of a trial leaves a file."""

    def play(config: dict[str, Any]) -> None:
        from ray import tune

        starts = case.trials[config["number"]]
        earlier = len(list(Path(marks).glob(f"{config['number']}-*")))
        (Path(marks) / f"{config['number']}-{earlier}").touch()
        restored = tune.get_checkpoint()
        epoch = 0
        if restored:
            with restored.as_directory() as folder:
                epoch = int((Path(folder) / "epoch").read_text())
        for step in starts[earlier]:
            if step == RAISES:
                raise ValueError("as the script says")
            if step == DIES:
                os._exit(1)
            epoch += 1
            with tempfile.TemporaryDirectory() as folder:
                (Path(folder) / "epoch").write_text(str(epoch))
                saved = tune.Checkpoint.from_directory(folder) if case.checkpoints else None
                tune.report(report_of(step, epoch), checkpoint=saved)

    return play
