"""Makes chosen trials of a real sweep fail in chosen ways, in the trials' own processes.

A test puts a `sitecustomize.py` that imports this on PYTHONPATH, and `trial name -> fault` as JSON into STCLIP_TEST_FAULTS.
Every Python process imports it, so it imports little.
"""

import importlib.abc
import importlib.util
import json
import os
import signal
import sys
import time
from pathlib import Path

FAULTS = "STCLIP_TEST_FAULTS"
MARKS = "STCLIP_TEST_MARKS"  # a folder: what has happened once does not happen again


def fit_with_fault(fit):
    """`stclip.train.fit`, but some trials meet their fault."""

    def faulty(config, *arguments, callbacks=(), **options):
        fault = json.loads(os.environ[FAULTS]).get(config.name)
        if fault == "raise":
            raise ValueError("no such slide <b>|x|</b>")
        if fault == "exit":
            os._exit(3)
        if fault == "hang":
            time.sleep(3600)
        if fault == "memory":
            eat_memory()
        if fault == "nan":
            optimizer = config.optimizer.model_copy(update={"lr": 1e30, "gradient_clip": None})
            config = config.model_copy(update={"optimizer": optimizer})
        if fault == "killed":
            callbacks = [killer(config.name), *callbacks]
        if fault == "slow":
            callbacks = [sleeper(), *callbacks]
        return fit(config, *arguments, callbacks=callbacks, **options)

    return faulty


def eat_memory():
    """Some 200 MB at a time, until somebody ends it (or 14 GB are reached, a failure of the test)."""
    held = []
    for _ in range(70):
        held.append(bytearray(b"x") * (200 << 20))
        time.sleep(0.01)
    raise AssertionError("nobody minded 14 GB")


def killer(name):
    """A callback: SIGKILL to its own process after the third epoch, the first time only."""
    import lightning.pytorch as pl

    class Kill(pl.Callback):
        def on_train_epoch_start(self, trainer, pl_module):
            mark = Path(os.environ[MARKS]) / name
            if trainer.current_epoch == 3 and not mark.exists():
                mark.touch()
                os.kill(os.getpid(), signal.SIGKILL)

    return Kill()


def sleeper():
    """A callback: epochs of at least half a second, so that a test can do something meanwhile."""
    import lightning.pytorch as pl

    class Sleep(pl.Callback):
        def on_train_epoch_start(self, trainer, pl_module):
            time.sleep(0.5)

    return Sleep()


class PatchTrials(importlib.abc.MetaPathFinder):
    """Puts the faulty `fit` into `sweeps.trial` when that is imported."""

    def find_spec(self, name, path=None, target=None):
        if name != "sweeps.trial":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        run = spec.loader.exec_module

        def exec_module(module):
            run(module)
            module.fit = fit_with_fault(module.fit)
            if os.environ.get("STCLIP_TEST_CHECKPOINTS"):  # after every epoch
                module.CHECKPOINT_SECONDS = 0.0

        spec.loader.exec_module = exec_module
        return spec


if FAULTS in os.environ:
    sys.meta_path.insert(0, PatchTrials())
