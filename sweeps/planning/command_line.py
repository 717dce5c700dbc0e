"""The command line of `python sweeps/run.py`."""

from __future__ import annotations

import argparse
import math
import os
import re

from stclip.errors import ConfigError
from stclip.terminal.parser import OneLineParser

ABOUT = """\
Search the best settings of every loss family and say which retrieves best.

Trains a dual encoder (H&E tile, gene sentence) under every configuration that the search proposes, an equal number
of trials for each loss family, and reports the best Recall@1/5/10 of each, beside chance and a CCA baseline.
Trials run on a private Ray of this machine, or on a cluster (--address). What was found is in the results folder,
and whatever interrupts the sweep, --resume goes on from there.
"""

EXAMPLES = """\
examples:
  python sweeps/run.py --space spatial
      The default: SpatialLoss against ClipLoss on built-in data, made on first use. About three minutes on two cores.

  python sweeps/run.py --space wide --data hest_v1_human_medium --trials 40 --time-budget 8h --gpus-per-trial 0.25
      A longer search on your own shards (see data/README.md), four trials to a GPU, stopped after eight hours.

  python sweeps/run.py --resume results/spatial-20261124-034512 --trials 48
      Go on with a sweep that was interrupted, or give a finished one a larger budget: what is done is kept.

  python sweeps/run.py --space spatial --debug --set loss.neighbor_alpha_scale=0.5
      One SpatialLoss trial in this very process: breakpoints work, exceptions arrive whole.

exit status: 0 every family has a winner, confirmed where that was asked for (single trials may have failed; the report
counts them), 1 some family has none, a fault stopped the sweep, or what was printed could not be written, 2 bad input
(nothing was run), 130 stopped at once by a second Ctrl-C.
"""

_SMALLEST_SHARE = 0.0001  # of a processor or GPU


def make_parser() -> argparse.ArgumentParser:
    """The parser; abbreviations of flags are refused, so that a new flag never changes an old command."""
    parser = OneLineParser(
        prog="python sweeps/run.py",
        description=ABOUT,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    what = parser.add_argument_group("what to search")
    what.add_argument(
        "--space", metavar="NAME|FILE", help="a space of configs/space/, or a YAML file (see --list)"
    )
    what.add_argument("--data", metavar="NAME|PATH|URL", help="data set below data/processed, its folder, or its address "
                      "(s3://BUCKET/NAME); the space's own "
                      "choice when left out (synthetic_medium, made on first use)")  # fmt: skip
    what.add_argument("--set", metavar="KEY=VALUE", action="append", default=[],
                      help="fix a key of the experiment, such as model.embed_dim=256; a parameter that is set is no "
                      "longer searched; may be repeated")  # fmt: skip
    budget = parser.add_argument_group("how much")
    budget.add_argument(
        "--trials", metavar="N", type=_count, help="trials for each family (default: the space's)"
    )
    budget.add_argument(
        "--epochs",
        metavar="N",
        type=_count,
        help="epochs of a whole trial (default: the space's); early stopping moves along",
    )
    budget.add_argument("--searches", metavar="N", type=_count, help="independent searches of each family, each with all trials; "
                        "their winners are confirmed (default: the space's, 1)")  # fmt: skip
    budget.add_argument("--confirm-configs", metavar="N", type=_count, help="confirm the best N configurations of each family, "
                        "since which of them a search ends at is chance too (default 5)")  # fmt: skip
    budget.add_argument("--confirm-seeds", metavar="N", type=_whole, help="train each of them again with N fresh seeds and read "
                        "the test slides with those (default 3; 0: do neither)")  # fmt: skip
    budget.add_argument("--margin", metavar="X", type=_share, help="differences of recall below it do not matter: families that "
                        "differ by less are called equivalent (default: the space's, 0.01)")  # fmt: skip
    budget.add_argument(
        "--time-budget",
        metavar="TIME",
        type=parse_duration,
        help="stop after this long, such as 90s, 30m, 1h30m",
    )
    budget.add_argument("--seed", metavar="N", type=_seed, help="the one source of randomness (default 0)")
    where = parser.add_argument_group("on what")
    where.add_argument(
        "--address",
        metavar="auto|HOST:PORT|ray://HOST:PORT",
        help="an existing Ray cluster (default: RAY_ADDRESS, else a private Ray on this machine); see "
        "configs/cluster/README.md",
    )
    where.add_argument(
        "--cpus-per-trial",
        metavar="X",
        type=_positive,
        help="processors, and torch threads, of a trial, or of each of its devices (default 1)",
    )
    where.add_argument(
        "--gpus-per-trial",
        metavar="X",
        type=_fraction,
        help="GPUs of a trial, fractions allowed (default: share those there are); with resources.devices 0 or 1 for each",
    )
    where.add_argument(
        "--max-concurrent", metavar="N", type=_count, help="trials at once (default: as many as fit)"
    )
    faults = parser.add_argument_group("when something breaks")
    faults.add_argument("--resume", metavar="PLACE", help="go on with the sweep in this folder, or at this address; its "
                        "sweep.yaml decides, --trials may only grow")  # fmt: skip
    faults.add_argument(
        "--max-failures",
        metavar="N",
        type=_whole,
        help="restarts of a trial whose process died, from its last checkpoint (default 2)",
    )
    faults.add_argument(
        "--trial-timeout",
        metavar="TIME",
        type=parse_duration,
        help="a trial without a report (one an epoch) for this long has failed (default 2h)",
    )
    out = parser.add_argument_group("what comes out")
    out.add_argument("--name", help="name of the sweep (default: the space and the time)")
    out.add_argument("--results", metavar="DIR|URL", help="folder of all results (default: results), or an address such "
                     "as s3://BUCKET/results; on a cluster one that every node reaches")  # fmt: skip
    out.add_argument("--logger", metavar="NAMES", help="loggers of each trial, with commas (default: csv,tensorboard; "
                     "also mlflow, wandb)")  # fmt: skip
    out.add_argument("--quiet", action="store_true", help="print the final table only")
    instead = parser.add_argument_group("instead of a sweep")
    modes = instead.add_mutually_exclusive_group()
    modes.add_argument(
        "--dry-run", action="store_true", help="resolve, count and check everything; run nothing"
    )
    modes.add_argument("--list", action="store_true", help="spaces, data sets and losses, a line each")
    modes.add_argument(
        "--debug", action="store_true", help="one trial in this process, in the middle of the space's ranges"
    )
    instead.add_argument(
        "--family", help="with --debug: which family (default: the first that --set concerns)"
    )
    return parser


def parse_duration(text: str) -> float:
    """`90s`, `30m`, `1h30m`, `2d` as seconds. Raises ArgumentTypeError for anything else, and for nothing at all."""
    match = re.fullmatch(r"(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?", text.strip())
    seconds = (
        sum(int(n or 0) * unit for n, unit in zip(match.groups(), (86400, 3600, 60, 1), strict=True))
        if match
        else 0
    )
    if seconds <= 0:
        raise argparse.ArgumentTypeError(f"a time looks like 90s, 30m or 1h30m, got '{text}'")
    if seconds > 366 * 86400:
        raise argparse.ArgumentTypeError(f"a time is a year (366d) at most, got '{text}'")
    return float(seconds)


def _count(text: str) -> int:
    if not re.fullmatch(r"\d{1,9}", text) or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number from 1 up, got '{text}'")
    return int(text)


def _whole(text: str) -> int:
    if not re.fullmatch(r"\d{1,6}", text):
        raise argparse.ArgumentTypeError(f"must be a whole number from 0 up, got '{text}'")
    return int(text)


def _seed(text: str) -> int:
    if not re.fullmatch(r"\d{1,10}", text) or int(text) >= 2**31:
        raise argparse.ArgumentTypeError(f"must be a whole number from 0 to {2**31 - 1}, got '{text}'")
    return int(text)


def _positive(text: str) -> float:
    value = _fraction(text)
    if value == 0:
        raise argparse.ArgumentTypeError(f"must be above 0, got '{text}'")
    return value


def _share(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < 1:
        raise argparse.ArgumentTypeError(f"must lie between 0 and 1, such as 0.01, got '{text}'")
    return value


def _fraction(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value < 1e6:
        raise argparse.ArgumentTypeError(f"must be a number from 0 up, got '{text}'")
    if 0 < value < _SMALLEST_SHARE:
        raise argparse.ArgumentTypeError(
            f"must be {_SMALLEST_SHARE} or more, the smallest share that Ray counts, got '{text}'"
        )
    if value > 1 and value != int(value):
        raise argparse.ArgumentTypeError(f"above 1 it must be a whole number, got '{text}'")
    return value


def cluster_address(given: str | None) -> str | None:
    """The cluster to use: `--address`, else RAY_ADDRESS, else None (a private Ray on this machine).

    Raises ConfigError for what is no address.
    """
    address = given if given is not None else os.environ.get("RAY_ADDRESS") or None
    if address is None or address == "local":
        return None
    if address != "auto" and not re.fullmatch(
        r"(ray://)?(\[[0-9a-fA-F:]+\]|[A-Za-z0-9_.-]+):\d{1,5}", address
    ):
        source = "--address" if given is not None else "RAY_ADDRESS"
        raise ConfigError(f"{source} must be auto, HOST:PORT or ray://HOST:PORT, got '{address}'")
    return address
