"""A sweep, resolved: what the command line asked for, checked and counted before anything runs."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import product
from pathlib import Path
from typing import Any

from stclip.config import Experiment
from stclip.config.load import parse_override
from stclip.config.registry import LOGGERS, lookup
from stclip.data.store.data_key import DataKey, DataState, what_is_read
from stclip.errors import ConfigError
from stclip.files.addresses import is_address
from stclip.files.paths import PROJECT_ROOT, user_path
from sweeps.planning.command_line import cluster_address
from sweeps.planning.places import located_space, located_tree
from sweeps.planning.trial_request import TrialRequest
from sweeps.results.folder import RAY
from sweeps.results.record import Told
from sweeps.results.records import PLAIN, TrialRecord
from sweeps.search.budget import with_budget
from sweeps.search.computed import COMPUTED, computed_values
from sweeps.search.pinning import pin
from sweeps.search.space import SearchSpace, base_tree, family_experiment, load_space

_ONE_SLASH = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/(?!/)")  # "s3:/x"
CONFIRM_SEEDS = 3
CONFIRM_CONFIGS = 5
CPUS_PER_TRIAL = 1.0
MAX_FAILURES = 2
TRIAL_TIMEOUT = 2 * 3600.0  # seconds; a report comes once an epoch


@dataclass(frozen=True)
class SweepPlan:
    """Everything that decides a sweep. `tree` is what all families' experiments start from."""

    space: SearchSpace
    tree: Mapping[str, Any]
    name: str
    place: str  # of the results: a folder, or an address
    seed: int
    confirm_configs: int  # the best ones of each family, which are trained again
    confirm_seeds: (
        int  # fresh ones that each of them is trained with; 0: nothing is confirmed, test is not read
    )
    time_budget: float | None  # seconds
    cpus_per_trial: float
    gpus_per_trial: float | None
    max_concurrent: int | None
    max_failures: int  # restarts of a trial whose process died
    trial_timeout: float | None  # seconds without a report after which a trial has failed
    address: str | None  # of an existing Ray cluster; None: a private one on this machine
    told: Told | None = None  # sweep.yaml of a sweep that goes on
    data: DataState | None = None  # as this run of the driver found them; None until then

    @property
    def resumed(self) -> bool:
        """Whether it is a sweep that goes on."""
        return self.told is not None

    @property
    def configurations(self) -> int:
        """Of each family, at most, that are confirmed: the best ones of its search, or the winner of each of its searches."""
        return self.confirm_configs if self.space.searches == 1 else self.space.searches

    @property
    def devices(self) -> int:
        """Of each trial."""
        return self.space.resources.devices

    def experiment(self, family: str, params: Mapping[str, Any]) -> Experiment:
        """A family's configuration at these parameters."""
        return family_experiment(self.space, family, params, self.tree)

    def middles(self) -> dict[str, Experiment]:
        """Each family's configuration in the middle of its ranges."""
        return {family: self.experiment(family, self.space.middle(family)) for family in self.space.families}

    def data_variants(self) -> list[Experiment]:
        """One configuration for each store, frozen features and order of sentences that a trial may read."""
        variants: dict[str, Experiment] = {}
        for family in self.space.families:
            for params in self._read_by(family):
                config = self.experiment(family, params)
                variants.setdefault(what_is_read(config), config)
        return list(variants.values())

    def _read_by(self, family: str) -> Iterator[dict[str, Any]]:
        """The middle of a family's ranges, with every combination of what decides which arrays are read."""
        middle, parameters = self.space.middle(family), self.space.family(family).parameters
        searched = {key: computed_values(parameters[key]) for key in COMPUTED if key in parameters}
        for chosen in product(*searched.values()):
            yield middle | dict(zip(searched, chosen, strict=True))

    def request(self, trial: TrialRecord, test: bool) -> TrialRequest:
        """A trial of the search, as a worker is to run it. `test`: whether it reads the test slides when it is trained."""
        config = self.experiment(trial.family, trial.params)
        tree = config.model_dump(mode="json")
        tree["name"], tree["seed"] = trial.name, trial.seed
        tree["trainer"]["threads"] = max(1, int(self.cpus_per_trial))
        return TrialRequest(
            name=trial.name,
            params=dict(trial.params),
            experiment=tree,
            folder=f"{self.place}/trials/{trial.name}",
            checkpoints=self.storage,
            known_epochs=trial.epochs,
            test=test,
            data_key=self.data_key(config),
        )

    def resolve(self, trial: TrialRecord, test: bool) -> dict[str, Any]:
        """`request` as the plain data that Tune carries."""
        return self.request(trial, test).plain()

    def data_key(self, config: Experiment) -> DataKey | None:
        """What a configuration must find its data to be; None before they were looked at."""
        return self.data.key(config) if self.data else None

    @property
    def storage(self) -> str:
        """The folder or address that Ray's own files go to, with the trials' checkpoints."""
        return f"{self.place}/{RAY}"


def make_plan(options: argparse.Namespace) -> SweepPlan:
    """Resolve a parsed command line (see `sweeps.planning.command_line`). Raises ConfigError; touches neither data nor Ray."""
    space, tree = resolve_space(options, options.space)
    name = f"{space.name}-{datetime.now():%Y%m%d-%H%M%S}" if options.name is None else options.name
    if not PLAIN.fullmatch(name):
        whose = "--name" if options.name is not None else f"space {space.name}: choose a --name, which"
        raise ConfigError(f"{whose} is up to 100 letters, digits, '.', '-' and '_', got '{name}'")
    place = results_place(_given(options.results, str(PROJECT_ROOT / "results")), name)
    plan = SweepPlan(
        space=space,
        tree=tree,
        name=name,
        place=place,
        seed=_given(options.seed, 0),
        confirm_configs=_given(options.confirm_configs, CONFIRM_CONFIGS),
        confirm_seeds=_given(options.confirm_seeds, CONFIRM_SEEDS),
        time_budget=options.time_budget,
        cpus_per_trial=_given(options.cpus_per_trial, CPUS_PER_TRIAL),
        gpus_per_trial=options.gpus_per_trial,
        max_concurrent=options.max_concurrent,
        max_failures=_given(options.max_failures, MAX_FAILURES),
        trial_timeout=_given(options.trial_timeout, TRIAL_TIMEOUT),
        address=cluster_address(options.address),
    )
    _no_own_devices(plan)
    return plan


def results_place(results: str, name: str) -> str:
    """The folder or address of a sweep of this name; nothing is made. Raises ConfigError."""
    home = tidy_place(results)
    if home.startswith("memory://"):
        raise ConfigError(
            f"results at {home}: each process has a memory of its own, so a trial's results would not reach the sweep; choose a "
            "folder or a bucket with --results"
        )
    return f"{home}/{name}" if is_address(home) else str(Path(home) / name)


def tidy_place(text: str) -> str:
    """A folder or an address as it is compared and shown. Raises ConfigError for an address of nothing."""
    if not is_address(text):
        if _ONE_SLASH.match(text):
            raise ConfigError(
                f"an address of results is PROTOCOL://BUCKET/FOLDER, with two slashes, got '{text}'"
            )
        return str(user_path(text).absolute())
    protocol, _, path = text.partition("://")
    if not path.strip("/"):
        raise ConfigError(f"an address of results is {protocol}://BUCKET/FOLDER, got '{text}'")
    return text.rstrip("/")


def resolve_space(options: argparse.Namespace, name: str) -> tuple[SearchSpace, dict[str, Any]]:
    """A space with the command line's changes, and what its families' experiments start from. Raises ConfigError."""
    space = with_budget(load_space(name), options.trials, options.epochs, options.margin, options.searches)
    space = pin(space, [parse_override(text) for text in options.set])
    if options.logger is not None:
        space = space.model_copy(update={"overrides": _with_loggers(space.overrides, options.logger)})
    return located_space(space), located_tree(base_tree(space, options.data))


def _given(value: Any, default: Any) -> Any:
    return default if value is None else value


def _no_own_devices(plan: SweepPlan) -> None:
    """Raise ConfigError for an experiment that asks for several devices: those are the space's to give."""
    devices = {config.trainer.devices for config in plan.middles().values()}
    if devices != {1}:
        raise ConfigError(
            f"a sweep decides itself how many devices a trial trains on, got trainer.devices={max(devices)}; "
            "write `resources: {devices: N}` into the space, or train one configuration with python -m stclip.train"
        )


def _with_loggers(overrides: Mapping[str, Any], names: str) -> dict[str, Any]:
    chosen = [name.strip() for name in names.split(",") if name.strip()]
    for name in chosen:
        lookup("logger", LOGGERS, name)
    return {**overrides, "trainer": {**overrides.get("trainer", {}), "loggers": chosen}}
