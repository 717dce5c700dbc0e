"""A trial's log, twice: `trial.log` in its folder, which stays, and a file under its name where Ray's dashboard lists a
node's log files, which goes with Ray's temporary folder.
"""

from __future__ import annotations

import logging
import math
import os
import re
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TextIO

from stclip.config import Experiment
from stclip.errors import InputError, printable
from stclip.files.addresses import is_address
from stclip.files.redact import redacted
from sweeps.text import number, settings
from sweeps.trial.folder import trial_folder

LOG = "trial.log"
SEND_SECONDS = 10.0  # between two copies of a log to an address
SHOWN = ("val/R@10", "train/loss")  # of an epoch's metrics; metrics.csv in the trial's folder has them all
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]{0,199}")


class _WithoutSecrets(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return redacted(super().format(record))


# The process is named because a retry, or another sweep on the same node, appends to the same file.
_FORMAT = _WithoutSecrets("%(asctime)s [pid %(process)d] %(message)s", datefmt="%Y-%m-%d %H:%M:%S")


@contextmanager
def trial_log(folder: Path | None, name: str, place: str | None = None) -> Iterator[logging.Logger]:
    """A logger that writes to `<folder>/<name>.log`, and to `trial.log` in the trial's folder.

    Args:
        folder: Ray's for log files; None where there is none.
        name: the trial's.
        place: the trial's folder below the results, or its address; None writes none there.

    The block's end is the file's last word: all epochs done, the error with its traceback, or stopped from outside. What
    the file holds already stays: a trial that goes on after its process died goes on in its file, if it is on the same
    node. A file that cannot be opened is a warning on stderr, not the end of a trial.

    Raises InputError for a name that is no plain file name.
    """
    if not _NAME.fullmatch(name):
        raise InputError(
            "a trial's name also names its log file: up to 200 letters, digits, '_', '-', '+' and '.', "
            f"not starting with '-', '+' or '.'; got '{name}'"
        )
    # Not registered: nothing of it outlives the trial.
    log = logging.Logger(f"stclip.trial.{name}", logging.INFO)
    with _own_log(place) as own:
        ray_file = _file_handler(folder / f"{name}.log", name) if folder else logging.NullHandler()
        handlers = [ray_file, *own]
        for handler in handlers:
            log.addHandler(handler)
        try:
            with _last_word(log):
                yield log
        finally:
            for handler in handlers:
                handler.close()


@contextmanager
def _own_log(place: str | None) -> Iterator[list[logging.Handler]]:
    """What writes the log into the trial's folder; where that is at an address, it is copied now and then and at the end."""
    if place is None:
        yield []
        return
    with trial_folder(place, lambda reason: None, LOG) as (here, send):
        handler = _file_handler(here / LOG, place)
        yield [handler, _Sender(send)] if is_address(place) else [handler]


class _Sender(logging.Handler):
    """Has the log sent when something was written and the last time is a while ago."""

    def __init__(self, send: Callable[[], None], now: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._send, self._now, self._sent = send, now, -math.inf

    def emit(self, record: logging.LogRecord) -> None:
        if self._now() - self._sent >= SEND_SECONDS:
            self._send()
            self._sent = self._now()


@contextmanager
def _last_word(log: logging.Logger) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        log.info("failed: %s: %s", type(error).__name__, printable(str(error)), exc_info=True)
        raise
    except BaseException:  # Tune ends a trial's thread with SystemExit, within a report
        log.info("stopped by the sweep: pruned, or the whole sweep was stopped")
        raise
    else:
        log.info("complete")


def log_start(log: logging.Logger, config: Experiment, params: Mapping[str, Any], folder: str) -> None:
    """The first lines: parameters, seed, budget, device, and where the trial's other files are."""
    import torch

    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"
    log.info("starts: %s", settings(params) or "no parameters are searched")
    log.info("seed %d, %d epochs, device %s", config.seed, config.trainer.max_epochs, printable(device))
    log.info("files in %s", printable(folder))


def epoch_logger(log: logging.Logger) -> Any:
    """A Lightning callback that writes a line an epoch, and where a restored trial goes on. Put it before Tune's report."""
    import lightning.pytorch as pl

    from stclip.training.module import SpatialClipModule

    class LogEpochs(pl.callbacks.Checkpoint):
        """As a Checkpoint it is called when the epoch's metrics are there."""

        def __init__(self) -> None:
            self.start = time.monotonic()

        def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
            if trainer.current_epoch > 0 and trainer.is_global_zero:
                log.info("goes on from its checkpoint after epoch %d", trainer.current_epoch)
            self.start = time.monotonic()

        def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
            assert isinstance(pl_module, SpatialClipModule)
            now = time.monotonic()
            if trainer.is_global_zero:
                log.info(epoch_line(trainer.current_epoch + 1, pl_module.metrics, now - self.start))
            self.start = now

    return LogEpochs()


def epoch_line(epoch: int, metrics: Mapping[str, float], seconds: float) -> str:
    """`epoch 3: val/R@10 0.412, train/loss 3.211, 1.24 s`; a metric that is not there shows as `-`."""
    values = [f"{name} {number(metrics.get(name))}" for name in SHOWN]
    return f"epoch {epoch}: {', '.join(values)}, {seconds:.2f} s"


def ray_log_folder() -> Path | None:
    """The folder whose files the dashboard's Logs page lists for this node; None in a process without Ray."""
    if "ray" not in sys.modules:
        return None
    import ray
    from ray._private import worker  # Ray has no public way; its own libraries ask in this one

    if not ray.is_initialized() or worker._global_node is None:
        return None
    return Path(worker._global_node.get_logs_dir_path())


def _file_handler(path: Path, trial: str) -> logging.Handler:
    """Appends to a file, through no link: a log is written where it was asked for."""
    try:
        file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW, 0o666)
    except OSError as error:
        print(f"no log file for trial {trial}: {error}", file=sys.stderr)
        return logging.NullHandler()
    handler = _FileHandler(os.fdopen(file, "a", encoding="utf-8"))
    handler.setFormatter(_FORMAT)
    return handler


class _FileHandler(logging.StreamHandler[TextIO]):
    """A handler that closes its file."""

    def close(self) -> None:
        with suppress(OSError):  # a full disk
            self.stream.close()
        super().close()
