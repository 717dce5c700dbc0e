"""The trainable: one configuration -> one Lightning fit -> a report after every epoch, and checkpoints."""

from __future__ import annotations

import json
import logging
import shutil
import tempfile
import time
import traceback
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from stclip.config import Experiment
from stclip.data.store.data_key import DataKey
from stclip.files.redact import redacted
from stclip.train import FitResult, fit
from stclip.training.checkpoint_content import progress_of
from stclip.training.checkpoint_file import CHECKPOINT, read_checkpoint
from stclip.training.launchers import forget_launchers
from sweeps.planning.trial_request import TrialRequest
from sweeps.results.no_space import is_no_space
from sweeps.trial.checkpoints import newest_checkpoint
from sweeps.trial.folder import trial_folder, write_to
from sweeps.trial.log import epoch_logger, log_start, ray_log_folder, trial_log
from sweeps.trial.machine import machine_text, start_measuring, trained_parameters

FAILURE = "failure"  # key of a last report that says why a trial failed
NO_SPACE = "no_space"  # key beside it: the disk is full, which is no fault of the trial's
EPOCH = "epoch"
# Key of every report of an epoch: since the one before, by a clock that nobody sets.
SECONDS = "epoch_seconds"
MACHINE = "machine"  # key of every report of an epoch: what the process runs on and holds, as JSON
# Key of the last report of a trial that reads the test slides: what it found there, as JSON.
TESTED = "tested"
# Between the checkpoints of one trial; the last epoch always gets one. A worker that dies loses this much at most, and
# epochs of a fraction of a second do not spend a twentieth of it on saving.
CHECKPOINT_SECONDS = 10.0


def warm_up() -> None:
    """In a process of Ray's that starts: forget launchers, and import what every trial needs, which takes seconds."""
    forget_launchers()
    import lightning.pytorch  # noqa: F401

    import stclip.training.module  # noqa: F401


class TrialFailedError(Exception):
    """A failure of the training itself, which would fail again; it can travel between processes."""

    def __init__(self, reason: str, trace: str, no_space: bool) -> None:
        """`reason`: one line. `trace`: the traceback where it happened. `no_space`: the disk was full."""
        super().__init__(reason, trace, no_space)
        self.reason, self.trace, self.no_space = reason, trace, no_space

    def __str__(self) -> str:
        return self.reason

    @classmethod
    def of(cls, error: Exception) -> TrialFailedError:
        """What `error`, which is being handled, means for the trial."""
        if isinstance(error, cls):
            return error
        return cls(failure_reason(error), redacted(traceback.format_exc()), is_no_space(error))


class ProcessLostError(Exception):
    """A process that took part in the training is gone; started again, the trial goes on from its last checkpoint."""


# Trains a configuration on the data of a key, with its folder, from a checkpoint if there is one; reports each epoch to Tune
# and logs it. The flag asks for a look at the test slides at the end; what is found there (see `tested_text`) is returned,
# else "".
Training = Callable[[Experiment, DataKey | None, str, Path | None, logging.Logger, bool], str]


def train_here(
    config: Experiment,
    data_key: DataKey | None,
    folder: str,
    start: Path | None,
    log: logging.Logger,
    test: bool,
) -> str:
    """The training of a trial on one device, in this process."""
    with trial_folder(folder, log.warning) as (here, send):

        def report(metrics: dict[str, Any], checkpoint: Path | None) -> bool:
            if checkpoint is not None:
                send()
            return report_to_tune(metrics, checkpoint)

        callbacks = [epoch_logger(log), reporter(report)]
        result = fit(
            config, here, callbacks=callbacks, resume_from=start, save=False, test=test, data_key=data_key
        )
    return tested_text(result) if test else ""


def tested_text(result: FitResult) -> str:
    """What a run found on the test slides: `{"metrics": {"test/R@10": ...}, "slides": {slide: {"R@10": ...}}}`.

    As text, since Tune would take a mapping apart by the slashes in its keys.
    """
    metrics = {name: value for name, value in result.metrics.items() if name.startswith("test/")}
    return json.dumps({"metrics": metrics, "slides": result.test_slides})


def make_trainable(train: Training) -> Callable[[dict[str, Any]], None]:
    """A Tune function trainable. What Tune gives it is a `TrialRequest` as plain data."""

    def trainable(config: dict[str, Any]) -> None:
        run_trial(TrialRequest.from_plain(config), train)

    return trainable


def run_trial(request: TrialRequest, train: Training) -> None:
    """Train and report `val/…` and `train/…` after every epoch; save a checkpoint now and then, and at the end.

    One that is asked to reads the test slides when it is trained, and reports that last.

    An exception ends the trial, not its process: the last report carries the reason and the traceback goes to
    error.txt in the trial's folder. A restarted trial goes on from its newest checkpoint, of this run of the sweep or of
    one before.

    Raises ProcessLostError for Tune, which then starts the trial again.
    """
    from ray import tune

    try:
        config = request.config()
        restored = tune.get_checkpoint()
        with (
            trial_log(ray_log_folder(), request.name, request.folder) as log,
            restored.as_directory() if restored else nullcontext() as folder,
            tempfile.TemporaryDirectory(prefix="stclip-") as copies,
        ):
            log_start(log, config, request.params, request.folder)
            start = (
                Path(folder) / CHECKPOINT
                if folder
                else newest_checkpoint(request.checkpoints, config, Path(copies))
            )
            done = 0 if start is None or folder else _report_again(start, request.known_epochs)
            if done < config.trainer.max_epochs or request.test:
                tested = train(config, request.data_key, request.folder, start, log, request.test)
                if request.test:
                    tune.report({EPOCH: config.trainer.max_epochs, TESTED: tested})
    except ProcessLostError:
        raise
    except Exception as error:
        failure = TrialFailedError.of(error)
        write_to(request.folder, "error.txt", failure.trace)
        tune.report({FAILURE: failure.reason, NO_SPACE: failure.no_space})


def failure_reason(error: Exception) -> str:
    """An exception as one line of at most 500 characters, without secrets."""
    return redacted(f"{type(error).__name__}: {' '.join(str(error).split())}")[:500]


def _report_again(start: Path, known_epochs: int) -> int:
    """Report the epochs of a checkpoint that the search has not heard of; how many epochs the checkpoint holds.

    A driver that is killed may leave a trial that was an epoch or two ahead of what it had written down.
    """
    from ray import tune

    done = progress_of(read_checkpoint(start, weights=False), start)
    for epoch, metrics in list(enumerate(done.history, 1))[known_epochs:-1]:
        tune.report({EPOCH: epoch, **metrics})
    with tempfile.TemporaryDirectory(prefix="stclip-") as folder:
        shutil.copyfile(start, Path(folder) / CHECKPOINT)
        last = {EPOCH: done.epochs, **done.history[-1]}
        tune.report(last, checkpoint=tune.Checkpoint.from_directory(folder))
    return done.epochs


def report_to_tune(metrics: dict[str, Any], checkpoint: Path | None) -> bool:
    """Report an epoch, with the folder of its checkpoint if one was saved; True: the trial goes on."""
    from ray import tune

    tune.report(metrics, checkpoint=tune.Checkpoint.from_directory(checkpoint) if checkpoint else None)
    return True


def reporter(report: Callable[[dict[str, Any], Path | None], bool]) -> Any:
    """A Lightning callback that calls `report` after each epoch. Made here so that importing this file needs no Lightning.

    With several processes, each calls its `report`, and rank 0's answer decides whether all go on. The checkpoint is
    rank 0's too; it is gone when `report` has returned.
    """
    import lightning.pytorch as pl

    from stclip.training.module import SpatialClipModule

    class ReportEpoch(pl.callbacks.Checkpoint):
        """A report an epoch; as a Checkpoint it is called last, when the epoch's metrics are there."""

        def __init__(self) -> None:
            self.saved = self.reported = time.monotonic()
            start_measuring()

        def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
            assert isinstance(pl_module, SpatialClipModule)
            epoch = trainer.current_epoch + 1
            due = epoch >= (trainer.max_epochs or 0) or time.monotonic() - self.saved >= CHECKPOINT_SECONDS
            machine = machine_text(trained_parameters(pl_module), trainer.world_size)
            now = time.monotonic()
            metrics = {EPOCH: epoch, **pl_module.metrics, MACHINE: machine, SECONDS: now - self.reported}
            self.reported = now
            # Saving takes all processes, and their clocks differ.
            if trainer.strategy.broadcast(due):
                with tempfile.TemporaryDirectory(prefix="stclip-") as folder:
                    # With the optimizer's state.
                    trainer.save_checkpoint(Path(folder) / CHECKPOINT, weights_only=False)
                    go_on = report(metrics, Path(folder))
                self.saved = time.monotonic()
            else:
                go_on = report(metrics, None)
            if not trainer.strategy.broadcast(go_on):
                trainer.should_stop = True

    return ReportEpoch()
