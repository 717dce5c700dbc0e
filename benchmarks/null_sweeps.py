"""Whole sweeps of one loss under two names: how often does the verdict name a winner where there is none?

    python benchmarks/null_sweeps.py --sweeps 20                  # each with a seed of its own; about three minutes each
    python benchmarks/null_sweeps.py --sweeps 10 --handicap 0.3   # family `two` trains at so many times its rate: it is worse

Both families are SpatialLoss with four searched parameters on `synthetic_medium`, 14 trials of up to 12 epochs. Sweeps run one
after the other with `sweeps/run.py`, into `--results`; those that are complete there are read, not run again, so the command
goes on where it was stopped. With `--handicap` the families differ, and it counts how often that is found.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from scipy import stats as distributions

from stclip.files.paths import PROJECT_ROOT
from stclip.terminal.parser import OneLineParser

PARAMETERS = {
    "loss.neighbor_alpha_scale": {"type": "float", "low": 0.05, "high": 5.0, "log": True},
    "loss.temp_reg_weight": {"type": "float", "low": 0.001, "high": 1.0, "log": True},
    "model.temperature": {"type": "float", "low": 0.025, "high": 0.5, "log": True},
}
RATE = (1.0e-4, 1.0e-2)


def space_of(trials: int, handicap: float) -> dict[str, Any]:
    """The space file; `handicap` scales the range of the second family's learning rate."""
    families = {}
    for name, factor in (("one", 1.0), ("two", handicap)):
        rate = {"type": "float", "low": RATE[0] * factor, "high": RATE[1] * factor, "log": True}
        families[name] = {"loss": {"name": "spatial"}, "parameters": {**PARAMETERS, "optimizer.lr": rate}}
    return {
        "about": "the same family twice" if handicap == 1 else "the same family twice, one with a handicap",
        "experiment": "sweep_base",
        "overrides": {"data": {"batching": "neighborhood"}, "model": {"learnable_temperature": False}},
        "metric": "val/R@10",
        "mode": "max",
        "trials": trials,
        "epochs": 12,
        "early_stopping": {"first_rung": 4, "factor": 3},
        "families": families,
    }


def run_one(space: Path, results: Path, name: str, seed: int) -> dict[str, Any] | None:
    """The summary of one sweep, which is run unless it is there; None when it did not come to its end."""
    folder = results / name
    command = [sys.executable, str(PROJECT_ROOT / "sweeps" / "run.py"), "--quiet"]
    fresh = ["--space", str(space), "--results", str(results), "--name", name, "--seed", str(seed)]
    if not _is_complete(folder):
        begun = (folder / "sweep.yaml").exists()
        subprocess.run(command + (["--resume", str(folder)] if begun else fresh), check=False)
    return json.loads((folder / "summary.json").read_text()) if _is_complete(folder) else None


def _is_complete(folder: Path) -> bool:
    file = folder / "summary.json"
    return file.exists() and json.loads(file.read_text())["status"] == "complete"


def line_of(seed: int, summary: dict[str, Any]) -> str:
    """One row of the table."""
    (pair,) = [one for one in summary["comparisons"] if one["kind"] == "families"]
    found = pair["metrics"]["R@10"]
    interval = f"{found['difference']:+.3f} [{found['low']:.3f}, {found['high']:.3f}]"
    return f"{seed:4d}  {interval}  p = {found['p']:.3f}  {found['outcome']:<10} {summary['seconds']:6.0f} s"


def named_a_winner(summary: dict[str, Any]) -> bool:
    """Whether the verdict calls one of the two families better."""
    (pair,) = [one for one in summary["comparisons"] if one["kind"] == "families"]
    return pair["metrics"]["R@10"]["outcome"] in ("better", "worse")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what is missing and print the table; exit status 1 when a sweep did not come to its end."""
    parser = OneLineParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sweeps", type=int, default=20)
    parser.add_argument("--first-seed", type=int, default=1)
    parser.add_argument("--trials", type=int, default=14)
    parser.add_argument("--handicap", type=float, default=1.0)
    parser.add_argument("--results", type=Path, default=PROJECT_ROOT / "results" / "null_sweeps")
    options = parser.parse_args(arguments)
    kind = "null" if options.handicap == 1 else f"handicap-{options.handicap:g}"
    results = options.results.absolute()
    results.mkdir(parents=True, exist_ok=True)
    space = results / f"{kind}.yaml"
    space.write_text(
        yaml.safe_dump(space_of(options.trials, options.handicap), sort_keys=False), encoding="utf-8"
    )
    winners, ended = 0, 0
    for seed in range(options.first_seed, options.first_seed + options.sweeps):
        summary = run_one(space, results, f"{kind}-{options.trials}-{seed}", seed)
        if summary is None:
            print(f"{seed:4d}  did not come to its end", flush=True)
            continue
        print(line_of(seed, summary), flush=True)
        winners, ended = winners + named_a_winner(summary), ended + 1
    if ended:
        found = distributions.binomtest(winners, ended).proportion_ci()
        print(
            f"a winner was named in {winners} of {ended} sweeps (95 %: {found.low:.0%} to {found.high:.0%})"
        )
    return int(ended < options.sweeps)


if __name__ == "__main__":
    sys.exit(main())
