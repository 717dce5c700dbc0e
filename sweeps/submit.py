"""Run a sweep as a job on a Ray cluster, from any machine that reaches its dashboard. See `--help`."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from stclip.errors import ConfigError, InputError
from stclip.terminal.output import run_command
from stclip.terminal.parser import OneLineParser

if TYPE_CHECKING:
    from ray.job_submission import JobSubmissionClient

ABOUT = """\
Run a sweep as a job on a Ray cluster.

Sends the code of this checkout and the sweep's flags to the cluster's job API, shows the job's log, and returns the
sweep's exit status. Data and results are not sent: --results must name a folder that every node sees, or an address
such as s3://BUCKET/results.
The cluster's token is read from RAY_AUTH_TOKEN, from the file RAY_AUTH_TOKEN_PATH, or
from ~/.ray/auth_token.
"""

EXAMPLES = """\
examples:
  python sweeps/submit.py --address http://127.0.0.1:8265 -- --space spatial --results /shared/results
      Runs it and follows its log. Ctrl-C stops following; the job goes on.

  python sweeps/submit.py --address http://127.0.0.1:8265 --detach -- --space wide --results /shared/results
  python sweeps/submit.py --address http://127.0.0.1:8265 --logs wide-20261124-034512 --follow
  python sweeps/submit.py --address http://127.0.0.1:8265 --stop wide-20261124-034512

exit status: the sweep's own: 0 every family has a winner, 1 some family has none, 2 bad input. Also 2 when nothing
could be submitted, 130 after Ctrl-C or when the job was stopped, 128 + N when signal N killed it.
"""


def make_submit_parser() -> argparse.ArgumentParser:
    """The flags before `--`."""
    parser = OneLineParser(
        prog="python sweeps/submit.py",
        usage="%(prog)s --address URL [--name NAME] [--detach] -- FLAGS OF sweeps/run.py\n"
        "       %(prog)s --address URL --status|--stop|--logs ID",
        description=ABOUT,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--address", metavar="URL", default=os.environ.get("RAY_API_SERVER_ADDRESS"),
                        help="the cluster's dashboard, http://HOST:8265 (default: RAY_API_SERVER_ADDRESS)")  # fmt: skip
    parser.add_argument(
        "--name", help="name of the job and the sweep (default: the sweep's own, or its space and the time)"
    )
    parser.add_argument("--detach", action="store_true", help="print the job's id and return at once")
    later = parser.add_argument_group("a job that was submitted before")
    which = later.add_mutually_exclusive_group()
    which.add_argument("--status", metavar="ID", help="one line: state, exit status, command")
    which.add_argument("--logs", metavar="ID", help="print its log so far")
    which.add_argument("--stop", metavar="ID", help="stop it cleanly: it still writes its report")
    later.add_argument(
        "--follow", action="store_true", help="with --logs: until it ends; returns its exit status"
    )
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status: see EXAMPLES."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    cut = given.index("--") if "--" in given else len(given)
    options, sweep = make_submit_parser().parse_args(given[:cut]), given[cut + 1 :]
    try:
        _check(options, sweep)
        if sweep:
            return _submit(options, sweep)
        return _look_at(options)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def _check(options: argparse.Namespace, sweep: Sequence[str]) -> None:
    job_id = options.status or options.logs or options.stop
    if options.address is None:
        raise ConfigError("--address is missing: the cluster's dashboard, such as http://127.0.0.1:8265")
    if not sweep and job_id is None:
        raise ConfigError(
            "nothing to run: put the flags of sweeps/run.py after '--', such as -- --space spatial --results /shared"
        )
    if sweep and job_id is not None:
        raise ConfigError("--status, --logs and --stop look at a job; to submit another, leave them out")
    if options.follow and options.logs is None:
        raise ConfigError(
            "--follow goes with --logs; a job that is submitted is followed unless --detach is given"
        )
    if job_id is not None and (options.detach or options.name):
        raise ConfigError(
            "--detach and --name go with a job that is submitted, not with --status, --logs or --stop"
        )


def _submit(options: argparse.Namespace, sweep: Sequence[str]) -> int:
    from sweeps.cluster.job_request import make_request

    request = make_request(sweep, options.name, datetime.now())
    from sweeps.cluster.job_client import clear_errors, connect, submit

    client = connect(options.address)
    with clear_errors(options.address):
        submit(client, request)
    print(f"submitted {request.submission_id}: {request.command}", flush=True)
    if options.detach:
        print(_next_steps(options.address, request.submission_id))
        return 0
    return _follow(client, options.address, request.submission_id)


def _look_at(options: argparse.Namespace) -> int:
    from sweeps.cluster.job_client import clear_errors, connect, describe_job, job_details, wait_until_ended

    client = connect(options.address)
    with clear_errors(options.address):
        details = job_details(client, options.status or options.logs or options.stop)
        if options.stop is not None:
            client.stop_job(options.stop)
            try:
                details = wait_until_ended(client, options.stop, 10)
            except KeyboardInterrupt:
                details = client.get_job_info(options.stop)
            if not details.status.is_terminal():
                print("asked to stop; it still writes its report", file=sys.stderr)
        if options.logs is None:
            print(describe_job(details))
            return 0
        if not options.follow:
            sys.stdout.write(client.get_job_logs(options.logs))
            return 0
    return _follow(client, options.address, options.logs)


def _follow(client: JobSubmissionClient, address: str, job_id: str) -> int:
    from sweeps.cluster.job_client import clear_errors, exit_status, follow, how_to_go_on, why_not_started

    try:
        with clear_errors(address):
            details = follow(client, job_id)
    except KeyboardInterrupt:
        print(f"\nno longer following; job {job_id} goes on\n{_next_steps(address, job_id)}", file=sys.stderr)
        return 130
    reason = why_not_started(details)
    if reason is not None:
        print(f"error: the job did not start: {reason}", file=sys.stderr)
    killed = how_to_go_on(details, address)
    if killed is not None:
        print(f"error: {killed}", file=sys.stderr)
    return exit_status(details)


def _next_steps(address: str, job_id: str) -> str:
    command = f"python sweeps/submit.py --address {address}"
    return (
        f"state: {command} --status {job_id}\n"
        f"log:   {command} --logs {job_id} --follow\n"
        f"stop:  {command} --stop {job_id}"
    )


if __name__ == "__main__":
    run_command(main)
