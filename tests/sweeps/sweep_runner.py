"""Starts sweeps as a user does, each in a session of its own, and sees which processes outlive them."""

import csv
import json
import os
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import optuna
import yaml

from stclip.config import PROJECT_ROOT
from sweeps.study_file import study_storage

PATIENCE = 270  # seconds; a wait that lasts longer is a failure, none is expected to
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


@dataclass
class Ended:
    """A sweep that is over: exit status, what it printed, its folder, the processes it left."""

    code: int
    out: str
    err: str
    folder: Path
    left: list[str]

    def rows(self):
        with (self.folder / "trials.csv").open(newline="") as file:
            return list(csv.DictReader(file))

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
    tmp: str  # short: Ray's socket paths must stay under 108 characters
    started: list[subprocess.Popen] = field(default_factory=list)
    seen: set[int] = field(default_factory=set)  # processes that an earlier sweep has been blamed for

    @property
    def results(self) -> Path:
        return self.folder / "results"

    def space(self, name, families, trials, epochs, early_stopping=None):
        path = self.folder / f"{name}.yaml"
        tree = {"about": name, "experiment": "base.yaml", "metric": "val/R@10", "mode": "max", "trials": trials,
                "epochs": epochs, "early_stopping": early_stopping, "families": families}  # fmt: skip
        path.write_text(yaml.safe_dump(tree, sort_keys=False))
        return path

    def start(self, space, name, *arguments, environment=None, seconds_per_trial=None):
        """The running command, without confirmation unless asked; its output goes to <name>.out and <name>.err.

        `seconds_per_trial`: of the time budget, which nothing else then uses up.
        """
        given = ["--space", str(space), "--results", str(self.results), "--name", name, *arguments]
        if "--confirm-seeds" not in arguments:
            given += ["--confirm-seeds", "0"]
        if seconds_per_trial is None:
            return self.launch(name, *given, environment=environment)
        by_trials = ("tests/sweeps/run_by_trials.py", str(self.results / name), str(seconds_per_trial))
        return self.launch(name, *given, environment=environment, command=by_trials)

    def resume(self, folder, log, *arguments, environment=None):
        """`--resume` as a running command; its output goes to <log>.out and <log>.err."""
        return self.launch(log, "--resume", str(folder), *arguments, environment=environment)

    def launch(self, name, *arguments, environment=None, command=("sweeps/run.py",)):
        """sweeps/run.py with these arguments, in a session of its own; or another command that does its work."""
        environment = {
            **os.environ,
            "TMPDIR": self.tmp,
            "OMP_NUM_THREADS": "1",
            "COLUMNS": "160",
            **(environment or {}),
        }
        with (self.folder / f"{name}.out").open("w") as out, (self.folder / f"{name}.err").open("w") as err:
            process = subprocess.Popen(
                [sys.executable, *command, *arguments],
                cwd=PROJECT_ROOT, env=environment, stdin=subprocess.DEVNULL, stdout=out, stderr=err,
                start_new_session=True,
            )  # fmt: skip
        self.started.append(process)
        return process

    def end(self, process, name, seconds=30):
        """Wait for its end, then up to `seconds` for the end of every process that it started."""
        code = process.wait(timeout=PATIENCE)
        left = left_behind(self.seen, seconds)
        self.seen |= left.keys()
        return Ended(code, self.output(name), (self.folder / f"{name}.err").read_text(),
                     self.results / name, list(left.values()))  # fmt: skip

    def run(self, space, name, *arguments, environment=None, seconds_per_trial=None):
        process = self.start(
            space, name, *arguments, environment=environment, seconds_per_trial=seconds_per_trial
        )
        return self.end(process, name)

    def output(self, name):
        return (self.folder / f"{name}.out").read_text()

    def wait_for(self, text, process, name):
        """Until the running sweep has printed `text`."""
        until = time.monotonic() + PATIENCE
        while text not in self.output(name):
            assert process.poll() is None, self.output(name) + (self.folder / f"{name}.err").read_text()
            assert time.monotonic() < until, f"'{text}' never came: {self.output(name)}"
            time.sleep(0.05)


def adopt_orphans(on):
    """Make this process the parent of its descendants' orphans: whoever outlives a sweep shows up as a child."""
    import ctypes

    pr_set_child_subreaper = 36
    assert ctypes.CDLL(None, use_errno=True).prctl(pr_set_child_subreaper, int(on), 0, 0, 0) == 0


def left_behind(known, seconds):
    """Command lines, by pid, of processes not in `known` that outlive a sweep by `seconds`; early if none does."""
    until = time.monotonic() + seconds
    while (pids := set(_orphans()) - known) and time.monotonic() < until:
        time.sleep(0.2)
    return {pid: _command(pid) for pid in pids}


def _orphans():
    """Living processes below this one in other sessions; dead ones are reaped."""
    parents, sessions = {}, {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                state, parent, _, session = (entry / "stat").read_text().rpartition(")")[2].split()[:4]
                if state == "Z" and int(parent) == os.getpid():
                    _reap(int(entry.name))
                elif state != "Z":
                    parents[int(entry.name)], sessions[int(entry.name)] = int(parent), int(session)
    return [
        pid for pid in parents if sessions[pid] != os.getsid(0) and os.getpid() in _ancestors(pid, parents)
    ]


def _ancestors(pid, parents):
    while pid in parents:
        pid = parents[pid]
        yield pid


def _reap(pid):
    with suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)


def _command(pid):
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")[:200]
    return "gone"
