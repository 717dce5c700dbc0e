"""The driver of a sweep on a cluster: `python -m sweeps.job`, started by `sweeps/submit.py` or `sweeps.cluster.client_driver`."""

from __future__ import annotations

import os
import signal
import sys

from stclip.terminal.output import run_command
from sweeps.cluster.job_arguments import ARGUMENTS, END_WITH_PARENT, unpack_arguments


def main() -> int:
    """Run the sweep that the environment describes. Returns the exit status of `sweeps.run.main`."""
    if os.environ.pop(END_WITH_PARENT, None):
        _end_with_parent()
    text = os.environ.get(ARGUMENTS)
    if text is None:
        print(f"error: {ARGUMENTS} is not set; jobs are started by sweeps/submit.py", file=sys.stderr)
        return 2
    try:
        arguments = unpack_arguments(text)
    except ValueError as error:
        print(f"error: {ARGUMENTS} is not what sweeps/submit.py writes: {error}", file=sys.stderr)
        return 2
    from sweeps.run import main as run

    return run(arguments)


def _end_with_parent() -> None:
    """A clean stop (SIGTERM) when the parent process ends."""
    import ctypes

    pr_set_pdeathsig = 1
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGTERM)


if __name__ == "__main__":
    run_command(main)
