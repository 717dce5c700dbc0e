"""A trial whose process Ray ended must not end the sweep, whatever Ray calls the error.

Ray 2.60 raises `OutOfMemoryError` for an actor that its memory monitor killed. That is neither of the two kinds of error that
Tune's actor manager knows (`RayActorError`, `RayTaskError`), so the manager raises a RuntimeError in the driver.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ray.air.execution._internal.actor_manager import RayActorManager
from ray.exceptions import RayActorError, RayError, RayTaskError


@contextmanager
def lost_workers_are_failures() -> Iterator[None]:
    """While active, every error of Ray about a trial's process counts as the loss of that process."""
    handle = RayActorManager._actor_task_failed

    def handle_all(self: Any, tracked_actor_task: Any, exception: Exception) -> None:
        handle(self, tracked_actor_task, as_actor_error(exception))

    manager: Any = RayActorManager
    manager._actor_task_failed = handle_all
    try:
        yield
    finally:
        manager._actor_task_failed = handle


def as_actor_error(exception: Exception) -> Exception:
    """An error of a kind that Tune does not know, as the loss of an actor; others as they are."""
    if not isinstance(exception, RayError) or isinstance(exception, RayActorError | RayTaskError):
        return exception
    return RayActorError(error_msg=f"{type(exception).__name__}: {exception}")
