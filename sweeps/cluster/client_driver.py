"""`--address ray://HOST:PORT`: the sweep's driver runs on the cluster, and this process shows what it prints.

Tune keeps its search and its callbacks in the driver and cannot be steered through a Ray client. So the client takes the
code there and starts `sweeps/run.py` beside the cluster's head, as a process of an actor that takes no processors.
"""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from stclip.errors import InputError
from sweeps.cluster.job_arguments import ARGUMENTS, END_WITH_PARENT, pack_arguments
from sweeps.cluster.ray_token import use_token_if_there

POLL_SECONDS = 0.5
JOIN_ATTEMPTS = 3
# The cluster lives as long as its head, other nodes may be lost; this is a resource that Ray gives the head alone.
BESIDE_THE_HEAD = {"node:__internal_head__": 0.001}


class RemoteDriver:
    """On the cluster: one `sweeps/run.py` as a process, its output line by line."""

    def start(self, arguments: list[str], token: Mapping[str, str]) -> None:
        """Run it on this very cluster, with the client's way to show its token. It stops cleanly when this actor is gone."""
        import ray

        address = ray.get_runtime_context().gcs_address
        environment = {
            **os.environ,
            **token,
            ARGUMENTS: pack_arguments([*arguments, "--address", address]),
            END_WITH_PARENT: "1",
        }
        self._process = subprocess.Popen(
            [sys.executable, "-u", "-m", "sweeps.job"],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
        self._lines: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.append(line)

    def poll(self, seen: int) -> tuple[list[str], int | None]:
        """The lines after the first `seen`, and the exit status once all lines are there."""
        ended = not self._reader.is_alive() and self._process.poll() is not None
        return self._lines[seen:], self._process.returncode if ended else None

    def interrupt(self) -> None:
        """As Ctrl-C in a terminal."""
        self._process.send_signal(signal.SIGINT)


def run_remotely(address: str, arguments: Sequence[str]) -> int:
    """Run a sweep on the cluster behind a Ray client's address and relay its output; returns its exit status.

    Args:
        address: ray://HOST:PORT.
        arguments: the command line of `sweeps/run.py`; its --address is left out there.

    Raises InputError when the cluster cannot be used, or for what only works where this command is typed.
    """
    from sweeps.cluster.job_request import make_request

    request = make_request(without_address(arguments), None, datetime.now())
    use_token_if_there()
    import ray

    from sweeps.cluster.connect import check_listening
    from sweeps.cluster.shipped_code import stage_code

    check_listening(address)
    with tempfile.TemporaryDirectory(prefix="stclip-code-") as folder:
        stage_code(Path(folder))
        join_by_client(address, Path(folder))
        try:
            driver: Any = ray.remote(num_cpus=0, resources=BESIDE_THE_HEAD)(RemoteDriver).remote()
            ray.get(driver.start.remote(request.arguments, _token()))
            return _relay(driver)
        except ray.exceptions.RayError as error:
            text = " ".join(str(error).split())
            print(
                f"error: the driver on the cluster is gone ({text[:300]}); go on with --resume",
                file=sys.stderr,
            )
            return 1
        finally:
            ray.shutdown()


def join_by_client(address: str, code: Path) -> None:
    """Connect to the cluster at ray://HOST:PORT, with the folder `code` as the working directory there. Raises InputError.

    The head forks a server for each client, beside threads of gRPC, and now and then that child dies before it serves (seen
    with Ray 2.60, the more often the busier the machine); then the next one is asked for.
    """
    import ray

    for attempt in range(JOIN_ATTEMPTS):
        try:
            ray.init(
                address,
                logging_level=logging.ERROR,
                log_to_driver=False,
                runtime_env={"working_dir": str(code)},
            )
            return
        except Exception as error:  # of many kinds
            if isinstance(error, ConnectionAbortedError) and attempt + 1 < JOIN_ATTEMPTS:
                continue
            raise InputError(f"--address {address}: cannot join the cluster: {_reason(error)}") from None


def _reason(error: Exception) -> str:
    """In one line, without the traceback from the cluster that Ray puts into some messages."""
    before, traced, after = str(error).partition("Traceback (most recent call last):")
    last = after.strip().splitlines()[-1:] if traced else []
    return " ".join(" ".join([before, *last]).split())[:400]


def _relay(driver: Any) -> int:
    import ray

    seen, stopping = 0, False
    while True:
        try:
            lines, status = ray.get(driver.poll.remote(seen))
            seen += len(lines)
            sys.stdout.write("".join(lines))
            sys.stdout.flush()
            if status is not None:
                return int(status)
            time.sleep(POLL_SECONDS)
        except KeyboardInterrupt:
            driver.interrupt.remote()
            if stopping:
                return 130
            stopping = True


def without_address(arguments: Sequence[str]) -> list[str]:
    """A command line without `--address X` and `--address=X`."""
    kept: list[str] = []
    rest = iter(arguments)
    for argument in rest:
        if argument == "--address":
            next(rest, None)
        elif not argument.startswith("--address="):
            kept.append(argument)
    return kept


def _token() -> dict[str, str]:
    return {key: os.environ[key] for key in ("RAY_AUTH_MODE",) if key in os.environ}
