"""Starts sweeps as a user does, each in a session of its own, and sees which processes outlive them."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import optuna
import yaml

from stclip.files.paths import PROJECT_ROOT
from sweeps.results.study_file import study_storage
from tests.whole_sweeps.processes import below, command_of, in_other_sessions, stacks

PATIENCE = 600  # seconds; turns a hang into a failure, and is far above what any machine needs
TAIL = 60  # lines
BASE = {
    "data": {
        "image_size": 16,
        "max_genes": 12,
        "num_neighbors": 4,
        "batching": "neighborhood",
        "batch_size": 24,
    },
    "features": {"normalize": "slide"},
    "model": {
        "image": {"name": "stain", "width": 16},
        "genes": {"width": 16},
        "embed_dim": 8,
        "learnable_temperature": False,
    },
    "optimizer": {"gradient_clip": None},  # so that a hopeless learning rate does its worst
    "trainer": {"accelerator": "cpu", "loggers": ["csv"]},
}
TEMPERATURE = {"type": "float", "low": 0.025, "high": 0.5, "log": True}
SCALE = {"type": "float", "low": 0.05, "high": 5.0, "log": True}
SPATIAL = {
    "loss": {"name": "spatial"},
    "parameters": {"loss.neighbor_alpha_scale": SCALE, "model.temperature": TEMPERATURE},
    "first": [{"loss.neighbor_alpha_scale": 0.5, "model.temperature": 0.07}],
}
CLIP = {"loss": {"name": "clip"}, "parameters": {"model.temperature": TEMPERATURE}}
BOTH = {"spatial": SPATIAL, "clip": CLIP}


def rows_of(path):
    """A CSV file's rows."""
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@dataclass
class Ended:
    """A sweep that is over: exit status, what it printed, its folder, Ray's folder, the processes it left."""

    code: int
    out: str
    err: str
    folder: Path
    ray: Path  # of Ray's own files, outside of the results
    left: list[str]

    def rows(self):
        return rows_of(self.folder / "trials.csv")

    def summary(self):
        return json.loads((self.folder / "summary.json").read_text())

    def report(self):
        return (self.folder / "report.md").read_text()

    def states(self):
        """Study -> the states of its trials, by number."""
        storage = study_storage(self.folder / "study.db")
        names = [study.study_name for study in optuna.get_all_study_summaries(storage)]
        found = {name: optuna.load_study(study_name=name, storage=storage).trials for name in names}
        return {name: [trial.state.name for trial in trials] for name, trials in found.items()}


@dataclass
class Runner:
    """Starts sweeps on the tiny data set, each in a session of its own, and sees who outlives them."""

    folder: Path
    tmp: Path  # short: Ray's socket paths must stay under 108 characters
    started: list[subprocess.Popen] = field(default_factory=list)
    logs: dict[int, str] = field(default_factory=dict)  # pid of a command -> the name of its logs
    before: dict[int, set[int]] = field(default_factory=dict)  # the same -> who lived when it began

    @property
    def results(self) -> Path:
        return self.folder / "results"

    def space(self, name, families, trials, epochs, early_stopping=None, lag=3):
        path = self.folder / f"{name}.yaml"
        tree = {"about": name, "experiment": "base.yaml", "metric": "val/R@10", "mode": "max", "trials": trials,
                "epochs": epochs, "early_stopping": early_stopping, "lag": lag, "families": families}  # fmt: skip
        path.write_text(yaml.safe_dump(tree, sort_keys=False))
        return path

    def start(self, space, name, *arguments, environment=None, command=("sweeps/run.py",)):
        """The running command, without confirmation unless asked; its output goes to <name>.out and <name>.err."""
        given = ["--space", str(space), "--name", name]
        for flag, value in (("--results", str(self.results)), ("--confirm-seeds", "0")):
            given += [] if flag in arguments else [flag, value]
        return self.launch(name, *given, *arguments, environment=environment, command=command)

    def resume(self, folder, log, *arguments, environment=None):
        """`--resume` as a running command; its output goes to <log>.out and <log>.err."""
        return self.launch(log, "--resume", str(folder), *arguments, environment=environment)

    def launch(self, log, *arguments, environment=None, command=("sweeps/run.py",)):
        """sweeps/run.py with these arguments, in a session of its own; or another command that does its work."""
        tmp = self.tmp / str(len(self.started))
        tmp.mkdir()
        environment = {
            **os.environ,
            "TMPDIR": str(tmp),
            "OMP_NUM_THREADS": "1",
            "COLUMNS": "160",
            **(environment or {}),
        }
        before = in_other_sessions()
        with self._log(log, "out").open("w") as out, self._log(log, "err").open("w") as err:
            process = subprocess.Popen(
                [sys.executable, *command, *arguments],
                cwd=PROJECT_ROOT, env=environment, stdin=subprocess.DEVNULL, stdout=out, stderr=err,
                start_new_session=True,
            )  # fmt: skip
        self.started.append(process)
        self.logs[process.pid], self.before[process.pid] = log, before
        return process

    def end(self, process, folder=None, code=0):
        """Wait for its end, and for the end of every process that it started. None as `code`: any exit status.

        `folder`: the sweep's, where it is not called as the logs are.
        """
        log = self.logs[process.pid]
        folder = folder or self.results / log
        try:
            found = process.wait(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            raise AssertionError(self._explain(f"'{log}' does not end", process, folder)) from None
        left = self._outlived(process)
        ended = Ended(
            found, self.output(log), self._log(log, "err").read_text(), folder, self.ray(process), left
        )
        problem = f"'{log}' ended with {found}, not {code}" if code not in (None, found) else ""
        problem = "Traceback" if "Traceback" in ended.out + ended.err else problem
        problem = f"'{log}' left processes: {left}" if left else problem
        if problem:
            raise AssertionError(self._explain(problem, process, folder))
        return ended

    def run(self, space, name, *arguments, environment=None, code=0):
        return self.end(self.start(space, name, *arguments, environment=environment), code=code)

    def was_killed(self, process):
        """Wait for the end of a driver that a moment of the test's kills; False: the sweep ended before the moment came."""
        self.wait_until(lambda: process.poll() is not None, process)
        if process.returncode not in (0, -9):
            log = self.logs[process.pid]
            raise AssertionError(
                self._explain(f"'{log}' ended with {process.returncode}", process, self.results / log)
            )
        return process.returncode == -9

    def clean_up(self):
        """End what a test that failed half-way has left."""
        for process in self.started:
            if process.poll() is None:
                process.kill()
                process.wait()
            for pid in self._left(process):
                with suppress(OSError):
                    os.kill(pid, signal.SIGKILL)

    def ray(self, process):
        """The folder of a command's private Ray."""
        return self.tmp / str(self.started.index(process)) / f"stclip-{os.getuid()}" / "ray"

    def output(self, log):
        return self._log(log, "out").read_text()

    def wait_until(self, condition: Callable[[], object], process):
        """Until a condition holds while the sweep runs; returns what it gave."""
        until = time.monotonic() + PATIENCE
        while not (found := condition()):
            ended = process.poll() is not None
            if (ended and not condition()) or time.monotonic() > until:
                log = self.logs[process.pid]
                what = (
                    f"'{log}' {'ended' if ended else 'runs on'}, and what the test waits for has not happened"
                )
                raise AssertionError(self._explain(what, process, self.results / log))
            time.sleep(0.05)
        return found

    def _log(self, log, kind):
        return self.folder / f"{log}.{kind}"

    def _left(self, process):
        """Pids of what a command has started, and of what that has started; not of the command itself."""
        before = self.before[process.pid] | {process.pid}
        return sorted(in_other_sessions() - before - {pid for one in before for pid in below(one)})

    def _outlived(self, process):
        """Command lines of what the ended command started and what does not end either; waits for it."""
        until = time.monotonic() + PATIENCE
        while (pids := self._left(process)) and time.monotonic() < until:
            time.sleep(0.1)
        return [command_of(pid) for pid in pids]

    def _explain(self, problem, process, folder):
        """What a person needs to see why: the ends of the logs, the folder's files, and who is doing what."""
        log = self.logs[process.pid]
        parts = [problem]
        for kind in ("out", "err"):
            lines = self._log(log, kind).read_text().splitlines()[-TAIL:]
            parts += [f"--- the end of {log}.{kind}", *lines]
        files = sorted(path for path in folder.rglob("*") if path.is_file()) if folder.is_dir() else []
        parts += [
            f"--- {folder}",
            *(f"{path.stat().st_size:9d} {path.relative_to(folder)}" for path in files),
        ]
        living = [process.pid, *sorted(below(process.pid)), *self._left(process)]
        return "\n".join([*parts, "--- its processes", *stacks(living)])
