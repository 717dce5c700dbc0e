"""Credentials stay in the environment of the processes that have them.

Tune 2.60 copies AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and others of the driver into the runtime environment of each trial,
which Ray writes to a log in clear text, shows in its dashboard, and sends through the network.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ray.tune.execution import class_cache

_HANDED_ON = ("RAY_", "TRAIN_", "TUNE_")  # settings of Ray's own


@contextmanager
def credentials_stay() -> Iterator[None]:
    """While active, Tune hands settings of Ray on to trials, and nothing else of the driver's environment.

    The trials of a private Ray have the driver's environment anyway; a cluster's nodes need credentials of their own.
    """
    module: Any = class_cache
    before = module.ENV_VARS_TO_PROPAGATE
    module.ENV_VARS_TO_PROPAGATE = {name for name in before if name.startswith(_HANDED_ON)}
    try:
        yield
    finally:
        module.ENV_VARS_TO_PROPAGATE = before
