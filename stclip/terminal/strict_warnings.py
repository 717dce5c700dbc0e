"""PYTHONWARNINGS=error and `python -W error` are for the tests of a library: other people's libraries then fail to start."""

from __future__ import annotations

import os
import sys
import warnings

# As Python itself does.
_HIDDEN = (
    DeprecationWarning,
    PendingDeprecationWarning,
    ImportWarning,
    ResourceWarning,
)


def warnings_stay_warnings() -> None:
    """If Python was told to raise warnings as errors: show them instead, here and in the processes that this one starts."""
    actions = [option.partition(":")[0].strip().lower() for option in sys.warnoptions]
    if not any(action and "error".startswith(action) for action in actions):
        return
    os.environ.pop("PYTHONWARNINGS", None)
    sys.warnoptions.clear()  # multiprocessing hands them on
    warnings.simplefilter("default")
    for category in _HIDDEN:
        warnings.simplefilter("ignore", category)
