"""A sweep's command line as a job: checked here, so that a slip costs no round trip to the cluster."""

from __future__ import annotations

import argparse
import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from stclip.config.load import parse_override
from stclip.data.builtin.synthetic import SYNTHETIC
from stclip.errors import ConfigError
from stclip.files.paths import PROJECT_ROOT
from sweeps.planning.command_line import make_parser
from sweeps.search.pinning import pin
from sweeps.search.space import SPACES, load_space


@dataclass(frozen=True)
class JobRequest:
    """A job to submit: its id, the sweep's arguments, and the same as a line to read."""

    submission_id: str
    arguments: list[str]

    @property
    def command(self) -> str:
        """The command line that the job stands for."""
        return shlex.join(["python", "sweeps/run.py", *self.arguments])


def make_request(arguments: Sequence[str], name: str | None, now: datetime) -> JobRequest:
    """Check what `sweeps/run.py` will be asked to do, and name the job.

    Args:
        arguments: the flags of `sweeps/run.py`.
        name: what the job and the sweep are to be called; None takes the sweep's own name, or its space and the time.
        now: the time that goes into the job's id, which must differ from all ids the cluster has seen.

    Raises ConfigError for what cannot work in a job. A flag that `sweeps/run.py` does not know ends the process with
    exit status 2, as it does there.
    """
    options = make_parser().parse_args(list(arguments))
    _check_mode(options)
    if options.space is not None:
        _check_space(options.space)
        pin(load_space(options.space), [parse_override(text) for text in options.set])
    if options.data is not None:
        _check_data(options.data)
    looks_only = options.list or options.dry_run
    resume = getattr(options, "resume", None)
    if not looks_only:
        _check_results(options.results, resume)
    if name is not None and options.name is not None and name != options.name:
        raise ConfigError(f"the job is named '{name}' and the sweep '{options.name}'; give --name once")
    chosen = name or options.name
    stamp = f"{now:%Y%m%d-%H%M%S}"
    source = chosen or (Path(resume).name if resume else Path(options.space or "list").stem)
    submission_id = f"{_readable(source)}-{stamp}"
    sweep = list(arguments)
    if options.name is None and resume is None and not looks_only:
        sweep += ["--name", chosen or submission_id]  # the results folder and the job are found by one name
    return JobRequest(submission_id, sweep)


def _check_mode(options: argparse.Namespace) -> None:
    if options.debug:
        raise ConfigError("--debug is for one trial under a debugger in this process; a job has no terminal")
    if getattr(options, "address", None):
        raise ConfigError("--address goes before '--': a job runs on the cluster that it is submitted to")


def _check_space(space: str) -> None:
    """A space's file must be among what is shipped."""
    if not (space.endswith((".yaml", ".yml")) or "/" in space):
        return
    path = Path(space)
    if path.is_absolute() or not (PROJECT_ROOT / path).resolve().is_relative_to(SPACES.parent):
        raise ConfigError(
            f"a job is sent the files in configs/ only, and --space names '{space}'; copy it to configs/space/ and "
            "give its name"
        )


def _check_data(data: str) -> None:
    """Data sets are not shipped."""
    if data in SYNTHETIC or _is_url(data) or Path(data).is_absolute():
        return
    raise ConfigError(
        f"data are not sent with a job, and --data names '{data}' in this checkout; give the absolute path of a folder "
        f"that every node sees, an address such as s3://bucket/{Path(data).name}, or one of {', '.join(SYNTHETIC)}"
    )


def _check_results(results: str | None, resume: str | None) -> None:
    """A relative folder would lie in the job's own copy of the code, which goes away with it."""
    flag, value = ("--resume", resume) if resume is not None else ("--results", results)
    if value is None:
        raise ConfigError(
            "a job needs --results (or --resume): the absolute path of a folder that every node sees, such as "
            "/shared/results, or an address such as s3://bucket/results; else its results would go away with it"
        )
    if not _is_url(value) and not Path(value).is_absolute():
        raise ConfigError(
            f"{flag} of a job is an absolute path or an address, got '{value}', which "
            "would lie in the job's own copy of the code and go away with it"
        )


def _is_url(text: str) -> bool:
    return re.match(r"[a-z][a-z0-9+.-]*://", text) is not None


def _readable(text: str) -> str:
    """Letters that may stand in a file's name and an address."""
    return re.sub(r"[^A-Za-z0-9_-]+", "-", text).strip("-")[:80] or "sweep"
