"""What can go wrong with a trial, done to chosen trials of a real sweep in their own processes (see `moments`)."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any


def faulty_fit(fit: Callable[..., Any], faults: dict[str, str], marks: Path) -> Callable[..., Any]:
    """`stclip.train.fit`, but the trials named in `faults` meet theirs, and every trial leaves the title of its process.

    raise, exit, hang, memory, nan, changed (a shard of its data): at the start. killed: SIGKILL to the process after its
    third epoch, the first time only.
    """

    def faulty(config: Any, *arguments: Any, callbacks: Any = (), **options: Any) -> Any:
        fault = faults.get(config.name)
        (marks / f"title.{config.name}").write_bytes(Path("/proc/self/cmdline").read_bytes())
        if fault == "raise":
            raise ValueError("no such slide <b>|x|</b>")
        if fault == "exit":
            os._exit(3)
        if fault == "hang":
            (marks / "hung").touch()
            time.sleep(3600)
        if fault == "changed":
            shard = next(Path(config.data.dataset).glob("V1/*.tar"))
            os.utime(shard, ns=(0, shard.stat().st_mtime_ns + 10**9))
        if fault == "memory":
            _eat_memory()
        if fault == "nan":
            optimizer = config.optimizer.model_copy(update={"lr": 1e30, "gradient_clip": None})
            config = config.model_copy(update={"optimizer": optimizer})
        if fault == "killed":
            callbacks = [_killer(marks / f"killed.{config.name}"), *callbacks]
        return fit(config, *arguments, callbacks=callbacks, **options)

    return faulty


def _eat_memory() -> None:
    """Some 200 MB at a time, until somebody ends it (or 14 GB are reached, a failure of the test)."""
    held = []
    for _ in range(70):
        held.append(bytearray(b"x") * (200 << 20))
        time.sleep(0.01)
    raise AssertionError("nobody minded 14 GB")


def _killer(mark: Path) -> Any:
    import lightning.pytorch as pl

    class Kill(pl.Callback):
        def on_train_epoch_start(self, trainer: Any, pl_module: Any) -> None:
            if trainer.current_epoch == 3 and not mark.exists():
                mark.touch()
                os.kill(os.getpid(), signal.SIGKILL)

    return Kill()
