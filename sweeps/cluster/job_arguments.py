"""How a command line travels to a driver on a cluster: in an environment variable, as JSON, where no shell reads it.

The entrypoint of a Ray job goes through a shell. So it is always this same line, and what the user typed comes beside it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

ENTRYPOINT = "python -m sweeps.job"
ARGUMENTS = "STCLIP_JOB_ARGUMENTS"
END_WITH_PARENT = (
    "STCLIP_END_WITH_PARENT"  # set: the driver stops cleanly when the process that started it is gone
)


def pack_arguments(arguments: Sequence[str]) -> str:
    """The arguments as ASCII JSON without a `$`, which Ray would expand in the environment of a job."""
    return json.dumps(list(arguments)).replace("$", "\\u0024")


def unpack_arguments(text: str) -> list[str]:
    """What `pack_arguments` packed. Raises ValueError for anything else."""
    try:
        arguments = json.loads(text)
    except RecursionError:
        raise ValueError("brackets in brackets") from None
    if not isinstance(arguments, list) or not all(isinstance(argument, str) for argument in arguments):
        raise ValueError("not a JSON list of strings")
    return arguments
