"""What a submitted job runs on the cluster: `python -m sweeps.job`. See `sweeps/submit.py`.

The entrypoint of a Ray job goes through a shell. So it is always this same line, and what the user typed comes in an
environment variable, as JSON, where no shell reads it.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence

from stclip.output import run_command

ENTRYPOINT = "python -m sweeps.job"
ARGUMENTS = "STCLIP_JOB_ARGUMENTS"


def pack_arguments(arguments: Sequence[str]) -> str:
    """The arguments as ASCII JSON without a `$`, which Ray would expand in the environment of a job."""
    return json.dumps(list(arguments)).replace("$", "\\u0024")


def unpack_arguments(text: str) -> list[str]:
    """What `pack_arguments` packed. Raises ValueError for anything else."""
    arguments = json.loads(text)
    if not isinstance(arguments, list) or not all(isinstance(argument, str) for argument in arguments):
        raise ValueError("not a JSON list of strings")
    return arguments


def main() -> int:
    """Run the sweep that the environment describes. Returns the exit status of `sweeps.run.main`."""
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


if __name__ == "__main__":
    run_command(main)
