"""The command line: parse, plan, check, then launch a sweep, or list, or debug one trial. See `--help`."""

from __future__ import annotations

import argparse
import shlex
import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from stclip.errors import ConfigError, InputError
from stclip.terminal.output import run_command
from stclip.terminal.progress import waiting
from stclip.terminal.strict_warnings import warnings_stay_warnings
from stclip.training.launchers import forget_launchers
from sweeps.planning.command_line import make_parser

if TYPE_CHECKING:
    from sweeps.planning.plan import SweepPlan


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status: 0 every family has a winner, 1 some has none or a fault stopped the sweep, 2 bad input (one line on
    stderr), 130 Ctrl-C."""
    began = time.monotonic()
    given = sys.argv[1:] if arguments is None else list(arguments)
    parser = make_parser()
    options = parser.parse_args(given)
    forget_launchers()  # what Ray's processes start with is this environment
    warnings_stay_warnings()
    try:
        if options.list:
            from sweeps.driver.listing import list_names

            print(list_names())
            return 0
        with waiting("reading the command line", options.quiet or options.dry_run):
            plan = _plan(options)
        if options.debug:
            from sweeps.planning.debug import choose_family, debug_trial

            debug_trial(plan, choose_family(plan, options.set, options.family))
            return 0
        command = f"python sweeps/run.py {shlex.join(given)}"
        if plan.address is not None and plan.address.startswith("ray://"):
            from sweeps.cluster.client_driver import run_remotely

            return run_remotely(plan.address, given)
        if options.dry_run:
            from sweeps.driver.listing import dry_run

            print(dry_run(plan))
            return 0
        with waiting("loading what a sweep needs", options.quiet):
            from sweeps.driver.checks import make_ready
            from sweeps.driver.sweep import run_sweep

        plan, store = make_ready(plan, options.quiet)
        return run_sweep(plan, store, command, options.quiet, began)
    except KeyboardInterrupt:
        print("interrupted before the first trial; nothing was run", file=sys.stderr)
        return 130
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def _plan(options: argparse.Namespace) -> SweepPlan:
    """The sweep that the command line asks for, new or resumed. Raises InputError."""
    if options.family is not None and not options.debug:
        raise ConfigError("--family goes with --debug only; a sweep runs all families of its space")
    if options.resume is not None:
        from sweeps.planning.resume import plan_to_resume

        return plan_to_resume(options)
    if options.space is None:
        raise ConfigError(
            "--space is missing: name a space of configs/space/ or a YAML file (--list shows them), or go on with a sweep "
            "by --resume RESULTS/NAME"
        )
    from sweeps.planning.plan import make_plan

    return make_plan(options)


if __name__ == "__main__":
    run_command(main)
