"""`--resume RESULTS_DIR`: the plan of a sweep that goes on. Its sweep.yaml decides; flags may only ask for more."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
)

from stclip.config.load import parse_override, validate
from stclip.data.store import SpotStore
from stclip.errors import ConfigError, InputError, shorten
from sweeps.planning.command_line import cluster_address
from sweeps.planning.places import located_tree
from sweeps.planning.plan import CONFIRM_SEEDS, SweepPlan, resolve_space, tidy_place
from sweeps.planning.sweep_yaml import describe_budget
from sweeps.results.record import SweepRecord, Told
from sweeps.results.records import PLAIN
from sweeps.search.budget import with_budget
from sweeps.search.space import SearchSpace

_MOST_SHOWN = 6  # differences in one message


class _Budget(BaseModel):
    """What a resumed sweep takes from `budget`."""

    model_config = ConfigDict(strict=True)

    confirm_configs: PositiveInt = 1
    confirm_seeds: NonNegativeInt = 0
    time_budget_seconds: float | None
    cpus_per_trial: PositiveFloat
    gpus_per_trial: NonNegativeFloat | None
    max_concurrent: PositiveInt | None
    max_failures: NonNegativeInt
    trial_timeout_seconds: PositiveFloat | None


class _Data(BaseModel):
    dataset: str
    fingerprint: str


class _Content(BaseModel):
    """What a resumed sweep takes from sweep.yaml as it stands. Anybody can write and seal one, so the driver's own folder, which
    has the sweep's name, must not be led elsewhere by it."""

    name: Annotated[str, Field(pattern=f"^{PLAIN.pattern}$")]
    seed: Annotated[int, Field(ge=0, lt=2**31)]
    budget: _Budget
    base: dict[str, Any]
    data: _Data
    space: dict[str, Any]
    experiments: dict[str, dict[str, Any]]


@dataclass(frozen=True)
class Sweep:
    """What a sealed sweep.yaml says, typed."""

    told: Told
    space: SearchSpace

    @property
    def tree(self) -> Mapping[str, Any]:
        return self.told.tree

    @classmethod
    def at(cls, place: str) -> Sweep:
        """Of a sweep's folder or address. Raises InputError: no sweep there, or a file that is not as the sweep wrote it."""
        with SweepRecord.looked_at(place) as folder:
            told = Told.read(folder)
            validate(_Content, told.tree, str(folder.sweep_yaml))
            return cls(told, validate(SearchSpace, told.tree["space"], f"{folder.sweep_yaml}: space"))


def plan_to_resume(options: argparse.Namespace) -> SweepPlan:
    """The plan of `--resume`. Raises InputError: no such sweep, or flags that contradict it, with the differences."""
    place = tidy_place(options.resume)
    sweep = Sweep.at(place)
    found = list(_differences(options, sweep, place))
    if found:
        more = f"; and {len(found) - _MOST_SHOWN} more" if len(found) > _MOST_SHOWN else ""
        raise ConfigError(
            f"--resume {options.resume}: sweep.yaml there decides, and the command line contradicts it: "
            f"{'; '.join(found[:_MOST_SHOWN])}{more}; leave these flags out, or start another sweep"
        )
    budget = sweep.tree["budget"]
    base = dict(sweep.tree["base"])
    if options.data is not None:  # they may have moved; `check_same_data` sees that they are the same
        base = located_tree({**base, "data": {**base["data"], "dataset": options.data, "root": None}})

    def chosen(flag: str, key: str) -> Any:
        given = getattr(options, flag)
        return budget[key] if given is None else given

    return SweepPlan(
        space=with_budget(sweep.space, options.trials, searches=options.searches),
        tree=base,
        name=sweep.tree["name"],
        place=place,
        seed=sweep.tree["seed"],
        confirm_configs=_given_or(options.confirm_configs, _confirm_configs(sweep)),
        confirm_seeds=_given_or(options.confirm_seeds, _confirm_seeds(sweep)),
        time_budget=options.time_budget,  # of one run, so not carried over
        cpus_per_trial=chosen("cpus_per_trial", "cpus_per_trial"),
        gpus_per_trial=chosen("gpus_per_trial", "gpus_per_trial"),
        max_concurrent=chosen("max_concurrent", "max_concurrent"),
        max_failures=chosen("max_failures", "max_failures"),
        trial_timeout=chosen("trial_timeout", "trial_timeout_seconds"),
        address=cluster_address(options.address),
        told=sweep.told,
    )


def _given_or(given: int | None, there: int) -> int:
    return there if given is None else given


def _confirm_seeds(sweep: Sweep) -> int:
    """Of a sweep that began before there were confirmations: as many as a new one has."""
    return int(sweep.tree["budget"].get("confirm_seeds", CONFIRM_SEEDS))


def _confirm_configs(sweep: Sweep) -> int:
    """Of a sweep that began when winners alone were confirmed: 1."""
    return int(sweep.tree["budget"].get("confirm_configs", 1))


def check_same_data(plan: SweepPlan, store: SpotStore) -> None:
    """Raise InputError when the data, or the pretrained models, are not those that the sweep began with."""
    assert plan.told is not None
    data = plan.told.tree["data"]
    if store.path.name != data["fingerprint"]:
        raise InputError(
            f"--resume {plan.place}: the data set '{data['dataset']}' is not as it was when the sweep began "
            f"(fingerprint {store.path.name}, then {data['fingerprint']}; shards, their times or the split files have "
            "changed), so old and new trials could not be compared; put the data back (--data if they have moved), or "
            "start another sweep"
        )
    began = data.get("models", {})  # a sweep of an older version does not say
    for name, found in (plan.data.models if plan.data else {}).items():
        if began.get(name, found) != found:
            raise InputError(
                f"--resume {plan.place}: the model {name} is not as it was when the sweep began (fingerprint {found}, then "
                f"{began[name]}), so old and new trials could not be compared; put its files back, or start another sweep"
            )


def widened(plan: SweepPlan) -> dict[str, Any] | None:
    """The sweep.yaml of a sweep that goes on, where the trials per family or the confirmation have grown; else None.

    So has the lag in a file of an older version, which had none: the sweep goes on with today's, and keeps to it.
    """
    assert plan.told is not None
    tree = plan.told.tree
    space, budget, own = tree["space"], tree["budget"], plan.space
    there = (space["trials"], space.get("searches", 1), space.get("lag"), budget.get("confirm_configs", 1),
             budget.get("confirm_seeds", CONFIRM_SEEDS))  # fmt: skip
    if (own.trials, own.searches, own.lag, plan.confirm_configs, plan.confirm_seeds) == there:
        return None
    grown = {**space, "trials": own.trials, "searches": own.searches, "lag": own.lag}
    larger = {**describe_budget(plan), "time_budget_seconds": budget["time_budget_seconds"]}
    return {**tree, "space": grown, "budget": larger}


def _differences(options: argparse.Namespace, sweep: Sweep, place: str) -> Iterator[str]:
    """One `flag: got X, there Y` for each flag that was given and says something else than the sweep."""
    exact = {"--seed": (options.seed, sweep.tree["seed"]), "--epochs": (options.epochs, sweep.space.epochs),
             "--name": (options.name, sweep.tree["name"]),
             "--margin": (options.margin, sweep.space.margin)}  # fmt: skip
    for flag, (given, there) in exact.items():
        if given is not None and given != there:
            yield f"{flag} {given}, there {there}"
    if options.trials is not None and options.trials < sweep.space.trials:
        yield f"--trials {options.trials}, there {sweep.space.trials} (it may grow, not shrink)"
    growing = {"--searches": (options.searches, sweep.space.searches),
               "--confirm-configs": (options.confirm_configs, _confirm_configs(sweep)),
               "--confirm-seeds": (options.confirm_seeds, _confirm_seeds(sweep))}  # fmt: skip
    for flag, (given, there) in growing.items():
        if given is not None and given < there:
            yield f"{flag} {given}, there {there} (it may grow, not shrink)"
    home = place.rpartition("/")[0]
    if options.results is not None and tidy_place(options.results) != home:
        yield f"--results {options.results}, there {home}"
    yield from _space_differences(options, sweep)


def _space_differences(options: argparse.Namespace, sweep: Sweep) -> Iterator[str]:
    there = {"space": sweep.space.model_dump(mode="json"), "base": sweep.tree["base"]}
    if options.space is not None:
        same = argparse.Namespace(**{**vars(options), "trials": sweep.space.trials, "epochs": sweep.space.epochs,
                                     "margin": sweep.space.margin, "searches": sweep.space.searches,
                                     "data": None})  # fmt: skip
        space, base = resolve_space(same, options.space)
        given = {"space": space.model_dump(mode="json"), "base": base}
        flag = " ".join([f"--space {options.space}", *(f"--set {text}" for text in options.set)])
        paths = dict.fromkeys([*dict(_leaves(given)), *dict(_leaves(there))])
        skipped = (
            ("base", "data", "root"),
            ("base", "data", "dataset"),
            ("space", "name"),
            ("space", "experiment"),
        )
        for path in paths:
            ours, theirs = dict(_leaves(given)).get(path), dict(_leaves(there)).get(path)
            if ours != theirs and path not in skipped:
                yield f"{flag}: {'.'.join(path[1:])} {_short(ours)}, there {_short(theirs)}"
        return
    for text in options.set:
        path, value = parse_override(text)
        theirs = {_at(tree, path) for tree in sweep.tree["experiments"].values()} - {"absent"}
        searched = any(".".join(path) in family.parameters for family in sweep.space.families.values())
        if searched or theirs != {_short(value)}:
            known = "searched" if searched else " or ".join(sorted(theirs)) or "absent"
            yield f"--set {shorten(text, 60)}, there {known}"
    if options.logger is not None:
        loggers = [name.strip() for name in options.logger.split(",") if name.strip()]
        theirs = {_at(tree, ("trainer", "loggers")) for tree in sweep.tree["experiments"].values()}
        if theirs != {_short(loggers)}:
            yield f"--logger {options.logger}, there {' or '.join(sorted(theirs))}"


def _leaves(tree: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    if isinstance(tree, Mapping) and tree:
        for key, value in tree.items():
            yield from _leaves(value, (*path, str(key)))
    else:
        yield path, list(tree) if isinstance(tree, tuple) else tree


def _at(tree: Any, path: tuple[str, ...]) -> str:
    for key in path:
        if not isinstance(tree, Mapping) or key not in tree:
            return "absent"
        tree = tree[key]
    return _short(tree)


def _short(value: Any) -> str:
    return (
        "nothing" if value is None else shorten(str(list(value) if isinstance(value, tuple) else value), 60)
    )
