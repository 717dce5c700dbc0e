"""The Tune actor that runs trials, under a name that a person can find in Ray's dashboard."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ray._raylet import setproctitle  # type: ignore[attr-defined]  # compiled; what Ray itself calls
from ray.tune.trainable import FunctionTrainable, wrap_function


def named_trainable(
    function: Callable[[dict[str, Any]], None], reuse_actors: bool
) -> type[FunctionTrainable]:
    """A trainable whose actors show the trial's name (`config["name"]`, such as `spatial-0007`).

    Ray keeps the name that an actor has when it is made. So an actor that runs one trial bears the trial's name; one that
    is reused says that it runs others too. The title of the process, which Ray's dashboard lists below its node, is the
    name of the trial that runs now in both cases.

    Args:
        function: a function trainable, with its resources (`tune.with_resources`).
        reuse_actors: the same as in TuneConfig.
    """
    base = wrap_function(function)

    class StclipTrial(base):  # type: ignore[valid-type, misc]
        """The class name is what the dashboard lists as the actor's class."""

        def __repr__(self) -> str:
            name = str(self.config["name"])
            return f"{name} and later trials" if reuse_actors else name

        def step(self) -> dict[str, Any]:
            # Ray sets its own title before each call of an actor's method; a step lasts until the next report.
            setproctitle(f"ray::{self.config['name']}")
            return super().step()

    # The dashboard shows it; else "named_trainable.<locals>.StclipTrial".
    StclipTrial.__qualname__ = "StclipTrial"
    return StclipTrial
