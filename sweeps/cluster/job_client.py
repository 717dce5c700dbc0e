"""Talking to a cluster's job API: the token, clear errors, sending a job, following it, its exit status."""

from __future__ import annotations

import argparse
import asyncio
import logging
import shlex
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from stclip.errors import InputError, shorten, unknown_name
from sweeps.cluster.job_arguments import ARGUMENTS, ENTRYPOINT, pack_arguments
from sweeps.cluster.job_request import JobRequest
from sweeps.cluster.ray_token import use_token_if_there
from sweeps.cluster.shipped_code import stage_code
from sweeps.planning.versions import collect_versions

if TYPE_CHECKING:
    from ray.dashboard.modules.job.pydantic_models import JobDetails
    from ray.job_submission import JobSubmissionClient

STOP_SECONDS = 600  # a stopped sweep reads the test slides and writes its report; Ray's own choice is 3
RECONNECT_SECONDS = 2.0
_TALKERS = (  # of Ray; they say when a package is made, when it is sent, and when a socket is closed
    "ray.dashboard.modules.dashboard_sdk",
    "ray.dashboard.modules.job.sdk",
    "ray._private.runtime_env.packaging",
)
RECONNECTS = 30  # in a row, without a word from the cluster


@contextmanager
def clear_errors(address: str) -> Iterator[None]:
    """What goes wrong on the way to the cluster, as one line."""
    import aiohttp
    import requests
    from ray.exceptions import AuthenticationError

    try:
        yield
    except (AuthenticationError, aiohttp.WSServerHandshakeError) as error:
        if getattr(error, "status", 401) not in (401, 403):
            raise InputError(f"{address} did not open the log: {error}") from None
        raise InputError(
            f"{address} wants a token, and there is none here or another one; set RAY_AUTH_TOKEN, or write it to "
            "~/.ray/auth_token (on the cluster, 'ray get-auth-token' prints it)"
        ) from None
    except (ConnectionError, requests.exceptions.ConnectionError, aiohttp.ClientConnectionError):
        raise InputError(
            f"nothing answers at {address}; is the cluster up, is this its dashboard's address, and is the tunnel to "
            "it open ('ray dashboard', 'kubectl port-forward' or 'ssh -L')?"
        ) from None
    except requests.exceptions.RequestException as error:
        raise InputError(f"{address} is not the dashboard of a Ray cluster: {error}") from None
    except RuntimeError as error:
        raise InputError(f"{address} refused: {error}") from None


def connect(address: str) -> JobSubmissionClient:
    """A client of the job API at `http(s)://HOST:PORT`. Raises InputError when it cannot be used."""
    if not address.startswith(("http://", "https://")):
        raise InputError(f"--address is a dashboard's, such as http://127.0.0.1:8265, got '{address}'")
    use_token_if_there()
    with clear_errors(address):
        from ray.job_submission import JobSubmissionClient

        client = JobSubmissionClient(address)
        for name in _TALKERS:
            logging.getLogger(name).setLevel(logging.WARNING)
        return client


def submit(client: JobSubmissionClient, request: JobRequest) -> None:
    """Send the code and the job."""
    versions = collect_versions()
    with tempfile.TemporaryDirectory(prefix="stclip-job-") as folder:
        stage_code(Path(folder))
        client.submit_job(
            entrypoint=ENTRYPOINT,
            submission_id=request.submission_id,
            runtime_env={
                "working_dir": folder,
                "env_vars": {
                    ARGUMENTS: pack_arguments(request.arguments),
                    "RAY_JOB_STOP_SIGNAL": "SIGINT",  # as Ctrl-C; SIGTERM is caught by Ray, which then just ends
                    "RAY_JOB_STOP_WAIT_TIME_S": str(STOP_SECONDS),
                },
            },
            metadata={"command": request.command, "commit": versions.get("commit", "not in a git checkout")},
        )


def job_details(client: JobSubmissionClient, job_id: str) -> JobDetails:
    """What the cluster knows of a job. Raises InputError, with the known ids, when there is no such job."""
    try:
        return client.get_job_info(job_id)
    except RuntimeError:
        known = [job.submission_id for job in client.list_jobs() if job.submission_id]
        if job_id in known:
            raise
        raise InputError(unknown_name("job", job_id, known)) from None


def describe_job(details: JobDetails) -> str:
    """One line: id, state, exit status, command."""
    line = f"{details.submission_id}: {details.status.value}"
    if details.driver_exit_code is not None:
        line += f", exit status {exit_status(details)}"
    return f"{line}: {(details.metadata or {}).get('command', details.entrypoint)}"


def follow(client: JobSubmissionClient, job_id: str) -> JobDetails:
    """Write the job's log to standard output until the job ends. A connection that breaks is opened again.

    Raises InputError when the cluster stays silent.
    """
    return asyncio.run(_follow(client, job_id))


async def _follow(client: JobSubmissionClient, job_id: str) -> JobDetails:
    import aiohttp
    import requests

    written = 0  # characters; a log that is opened again starts from its beginning
    for _ in range(RECONNECTS):
        try:
            seen = 0
            async for text in client.tail_job_logs(job_id):
                sys.stdout.write(text[max(0, written - seen) :])
                sys.stdout.flush()
                seen += len(text)
                written = max(written, seen)
            details = client.get_job_info(job_id)
            if details.status.is_terminal():
                return details
        except (RuntimeError, requests.exceptions.ConnectionError, aiohttp.ClientConnectionError):
            pass
        await asyncio.sleep(RECONNECT_SECONDS)
    raise InputError(f"the connection to job '{job_id}' is lost; the job itself may go on")


def wait_until_ended(client: JobSubmissionClient, job_id: str, seconds: float) -> JobDetails:
    """The job's details once it has ended, or those after this many seconds."""
    deadline = time.monotonic() + seconds
    while True:
        details = client.get_job_info(job_id)
        if details.status.is_terminal() or time.monotonic() >= deadline:
            return details
        time.sleep(0.5)


def exit_status(details: JobDetails) -> int:
    """What the job's driver returned; 128 + the signal that killed it; 130 when stopped; 1 when it never started."""
    if details.status.value == "STOPPED":
        return 130
    if details.driver_exit_code is None:
        return 0 if details.status.value == "SUCCEEDED" else 1
    return details.driver_exit_code if details.driver_exit_code >= 0 else 128 - details.driver_exit_code


def why_not_started(details: JobDetails) -> str | None:
    """The reason, in one line, of a job that failed before its driver could run; None for all others."""
    if details.status.value != "FAILED" or details.driver_exit_code is not None:
        return None
    return shorten(" ".join((details.message or "no reason given").split()), 500)


def how_to_go_on(details: JobDetails, address: str) -> str | None:
    """One line for a job whose driver was killed, and could not say it; None for all others."""
    status = exit_status(details)
    if details.status.value != "FAILED" or status <= 128:
        return None
    text = f"the driver of job {details.submission_id} was ended by signal {status - 128}"
    place = _place_of((details.metadata or {}).get("command", ""))
    if place is None:
        return text
    resume = shlex.join(["python", "sweeps/submit.py", "--address", address, "--", "--resume", place])
    return f"{text}; what had finished is kept, go on by: {resume}"


def _place_of(command: str) -> str | None:
    """Where the sweep of this command line keeps its results; None when the line does not say."""
    flags = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    for flag in ("--resume", "--results", "--name"):
        flags.add_argument(flag)
    try:
        found, _ = flags.parse_known_args(shlex.split(command))
    except (argparse.ArgumentError, ValueError):
        return None
    if found.resume:
        return str(found.resume)
    return f"{found.results.rstrip('/')}/{found.name}" if found.results and found.name else None
