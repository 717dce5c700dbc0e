"""A sweep, resolved: what the command line asked for, checked and counted before anything runs."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from stclip.config import PROJECT_ROOT, Experiment
from stclip.configio import parse_override
from stclip.errors import ConfigError
from stclip.paths import user_path
from stclip.registry import LOGGERS, lookup
from sweeps.records import trial_name
from sweeps.space import SearchSpace, base_tree, family_experiment, load_space, pin, with_budget
from sweeps.trial import TrialRequest

TRIALS = "trials"  # folder of the runs' own files, below the results folder


@dataclass(frozen=True)
class SweepPlan:
    """Everything that decides a sweep. `tree` is what all families' experiments start from."""

    space: SearchSpace
    tree: Mapping[str, Any]
    name: str
    folder: Path
    seed: int
    time_budget: float | None  # seconds
    cpus_per_trial: float
    gpus_per_trial: float | None
    max_concurrent: int | None

    def experiment(self, family: str, params: Mapping[str, Any]) -> Experiment:
        """A family's configuration at these parameters."""
        return family_experiment(self.space, family, params, self.tree)

    def middles(self) -> dict[str, Experiment]:
        """Each family's configuration in the middle of its ranges."""
        return {family: self.experiment(family, self.space.middle(family)) for family in self.space.families}

    def data_variants(self) -> Iterator[Experiment]:
        """One configuration for each data set and frozen encoder that a trial may read."""
        for family in self.space.families:
            middle = self.space.middle(family)
            towers = self.space.family(family).parameters.get("model.image.name")
            for name in towers.ends() if towers else [None]:
                yield self.experiment(family, middle | ({"model.image.name": name} if name else {}))

    def request(self, suggestion: Mapping[str, Any]) -> TrialRequest:
        """What the search suggests (family, number, params, seed), as a trial to run."""
        name = trial_name(suggestion["family"], suggestion["number"])
        config = self.experiment(suggestion["family"], suggestion["params"])
        tree = config.model_dump(mode="json")
        tree["name"], tree["seed"] = name, suggestion["seed"]
        tree["trainer"]["threads"] = max(1, int(self.cpus_per_trial))
        return TrialRequest(name, tree, str(self.folder / TRIALS / name))


def make_plan(options: argparse.Namespace) -> SweepPlan:
    """Resolve a parsed command line (see `sweeps.arguments`). Raises ConfigError; touches neither data nor Ray."""
    space = with_budget(load_space(options.space), options.trials, options.epochs)
    space = pin(space, [parse_override(text) for text in options.set])
    if options.logger is not None:
        space = space.model_copy(update={"overrides": _with_loggers(space.overrides, options.logger)})
    name = options.name or f"{space.name}-{datetime.now():%Y%m%d-%H%M%S}"
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}", name):
        whose = "--name" if options.name else f"space {space.name}: choose a --name, which"
        raise ConfigError(f"{whose} is up to 100 letters, digits, '.', '-' and '_', got '{name}'")
    plan = SweepPlan(
        space=space,
        tree=base_tree(space, options.data),
        name=name,
        folder=(user_path(options.results) if options.results else PROJECT_ROOT / "results") / name,
        seed=options.seed,
        time_budget=options.time_budget,
        cpus_per_trial=options.cpus_per_trial,
        gpus_per_trial=options.gpus_per_trial,
        max_concurrent=options.max_concurrent,
    )
    _one_device(plan)
    return plan


def _one_device(plan: SweepPlan) -> None:
    devices = {config.trainer.devices for config in plan.middles().values()}
    if devices != {1}:
        raise ConfigError(
            f"a trial of a sweep trains on one device, got trainer.devices={max(devices)}; "
            "share GPUs with --gpus-per-trial, or train one configuration with python -m stclip.train"
        )


def _with_loggers(overrides: Mapping[str, Any], names: str) -> dict[str, Any]:
    chosen = [name.strip() for name in names.split(",") if name.strip()]
    for name in chosen:
        lookup("logger", LOGGERS, name)
    return {**overrides, "trainer": {**overrides.get("trainer", {}), "loggers": chosen}}
