"""Makes things happen at named moments of a real sweep, inside its own processes: the driver's and the trials'.

A test puts a `sitecustomize.py` that imports this on PYTHONPATH (see `Hooks`), so every Python process imports it. It
therefore imports little.
"""

from __future__ import annotations

import functools
import importlib.abc
import importlib.util
import json
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from tests.whole_sweeps.faults import faulty_fit

MOMENTS = "STCLIP_TEST_MOMENTS"  # moments, as JSON
FAULTS = "STCLIP_TEST_FAULTS"  # trial name -> what goes wrong with it (see `faults`), as JSON
MARKS = "STCLIP_TEST_MARKS"  # a folder of files that say what has happened
DRIVER = "STCLIP_TEST_DRIVER"  # pid of the first process, which is the driver
HUNG = "hung"  # the mark of a trial that hangs
HANG_SECONDS = 41.0  # what the clock of the hang watch jumps by then


class Moment(NamedTuple):
    """What happens at the `call`-th call (1-based) of a function in one process."""

    at: str  # "sweeps.search.family_search:FamilySearch.report"
    # kill (the driver), interrupt (its process group, as a terminal does), terminate (the same with SIGTERM, as a batch system
    # does), lose NAME (that process of the driver's Ray), hold (until a release), release
    do: str
    call: int = 1
    when: str = "before"  # or after


class Hooks:
    """The test's side: the environment of a sweep, and what has happened in it."""

    def __init__(self, folder: Path, root: Path) -> None:
        """`folder`: an empty one of this test's. `root`: the checkout."""
        self.marks = folder / "marks"
        self.marks.mkdir(parents=True)
        (folder / "sitecustomize.py").write_text("import tests.whole_sweeps.moments\n")
        self._path = f"{folder}{os.pathsep}{root}"

    def environment(
        self, *moments: Moment, faults: dict[str, str] | None = None, **more: str
    ) -> dict[str, str]:
        """Of a sweep in which `moments` come and single trials meet their `faults`."""
        return {
            "PYTHONPATH": self._path,
            MOMENTS: json.dumps(moments),
            FAULTS: json.dumps(faults or {}),
            MARKS: str(self.marks),
            **more,
        }

    def held(self) -> set[int]:
        """Pids of the processes that have come to a moment of kind `hold`."""
        return {int(pid) for pid in self.marked("held")}

    def release(self) -> None:
        """Let the held processes go on, and all that come to such a moment later."""
        (self.marks / "released").touch()

    def hold_again(self) -> None:
        """Take a release back."""
        (self.marks / "released").unlink()

    def marked(self, kind: str) -> set[str]:
        """What has a mark of this kind: the trials `killed`, those with a `title`, the pids that are `held`."""
        return {path.name.partition(".")[2] for path in self.marks.glob(f"{kind}.*")}


def _happen(moment: Moment) -> None:
    driver = int(os.environ[DRIVER])
    if moment.do == "kill":
        os.kill(driver, signal.SIGKILL)
    elif moment.do == "interrupt":
        os.killpg(os.getpgid(driver), signal.SIGINT)
    elif moment.do == "terminate":
        os.killpg(os.getpgid(driver), signal.SIGTERM)
    elif moment.do.startswith("lose "):
        _lose(driver, moment.do.removeprefix("lose "))
    elif moment.do == "hold":
        marks = Path(os.environ[MARKS])
        if not (marks / "released").exists():
            (marks / f"held.{os.getpid()}").touch()
        while not (marks / "released").exists():
            time.sleep(0.05)
    elif moment.do == "release":
        (Path(os.environ[MARKS]) / "released").touch()
    else:
        raise ValueError(
            f"a moment does kill, interrupt, terminate, lose, hold or release, got '{moment.do}'"
        )


def _lose(driver: int, name: str) -> None:
    import psutil

    for process in psutil.Process(driver).children(recursive=True):
        if process.name() == name:
            process.kill()


def _wrap(moment: Moment, function: Callable[..., Any]) -> Callable[..., Any]:
    calls = 0

    @functools.wraps(function)
    def at_the_moment(*arguments: Any, **options: Any) -> Any:
        nonlocal calls
        calls += 1
        now = calls == moment.call
        if now and moment.when == "before":
            _happen(moment)
        result = function(*arguments, **options)
        if now and moment.when == "after":
            _happen(moment)
        return result

    return at_the_moment


def _put(module: ModuleType, moment: Moment) -> None:
    """Put a moment into a module that has been imported. Raises AttributeError when the function is gone."""
    *owners, name = moment.at.partition(":")[2].split(".")
    owner: Any = module
    for part in owners:
        owner = getattr(owner, part)
    setattr(owner, name, _wrap(moment, getattr(owner, name)))


def _spoil_trials(module: ModuleType) -> None:
    module.fit = faulty_fit(module.fit, json.loads(os.environ[FAULTS]), Path(os.environ[MARKS]))
    if os.environ.get("STCLIP_TEST_CHECKPOINTS"):  # after every epoch
        module.CHECKPOINT_SECONDS = 0.0


def _jump_when_hung(module: ModuleType) -> None:
    """The hang watch's clock stands still, and jumps once a trial hangs: no trial hangs because a machine is slow."""
    mark = Path(os.environ[MARKS]) / HUNG

    def now() -> float:
        return HANG_SECONDS if mark.exists() else 0.0

    watch = module.HangWatch
    watch.__init__.__defaults__ = (now,)


class _OnImport(importlib.abc.MetaPathFinder):
    """Changes modules as soon as they are imported."""

    def __init__(self, changes: dict[str, list[Callable[[ModuleType], None]]]) -> None:
        self._changes = changes

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        changes = self._changes.pop(name, None)
        if changes is None:
            return None
        spec = importlib.util.find_spec(name)
        assert spec is not None and spec.loader is not None
        execute = spec.loader.exec_module

        def exec_module(module: ModuleType) -> None:
            execute(module)
            for change in changes:
                change(module)

        spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec


def _install() -> None:
    os.environ.setdefault(DRIVER, str(os.getpid()))
    changes: dict[str, list[Callable[[ModuleType], None]]] = {
        "sweeps.trial.run_trial": [_spoil_trials],
        "sweeps.driver.hang_watch": [_jump_when_hung],
    }
    for moment in (Moment(*one) for one in json.loads(os.environ[MOMENTS])):
        module = moment.at.partition(":")[0]
        if module in sys.modules:
            _put(sys.modules[module], moment)
        else:
            changes.setdefault(module, []).append(lambda found, moment=moment: _put(found, moment))
    sys.meta_path.insert(0, _OnImport(changes))


if MOMENTS in os.environ:
    _install()
