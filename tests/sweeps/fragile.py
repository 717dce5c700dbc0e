"""Searches in which trials run side by side, advance in a drawn order, and whose driver is killed now and then."""

from __future__ import annotations

import math
import random
from dataclasses import asdict, dataclass, field
from typing import Any

from optuna.storages import InMemoryStorage
from ray.tune.search import Searcher

from sweeps.search.family_search import FamilySearch
from sweeps.search.space import SearchSpace
from tests.sweeps.searches import METRIC, score

SEED = 2
RAISES, DIVERGES = 1, 2  # trials of each family, by number; both in their second epoch
WRITES = (
    "create_new_trial",
    "set_trial_param",
    "set_trial_state_values",
    "set_trial_intermediate_value",
    "set_trial_user_attr",
    "set_study_user_attr",
)


class Killed(BaseException):
    """Stands for SIGKILL: nothing of the product handles it."""


class FragileStorage(InMemoryStorage):
    """Kills the driver before a write, `writes_left` writes from now; never while that is None."""

    def __init__(self) -> None:
        super().__init__()
        self.writes_left: int | None = None

    def spend(self) -> None:
        if self.writes_left is not None:
            self.writes_left -= 1
            if self.writes_left < 0:
                raise Killed


def _spending(name: str) -> Any:
    def write(self: FragileStorage, *given: Any, **named: Any) -> Any:
        self.spend()
        return getattr(InMemoryStorage, name)(self, *given, **named)

    return write


for _name in WRITES:
    setattr(FragileStorage, _name, _spending(_name))


@dataclass
class Played:
    """A search that came to its end."""

    table: list[dict[str, Any]]  # all about each trial, but its seconds
    ends: list[str]  # names, in the order of the ends
    waits: int = 0  # how often a slot was free and nothing was ready
    kills: int = 0


@dataclass
class _Driver:
    search: FamilySearch
    running: dict[str, list[Any]] = field(default_factory=dict)  # Tune's id -> suggestion, next epoch


def play(space: SearchSpace, at_once: int, order: random.Random, writes_between_kills: int = 0) -> Played:
    """A whole search.

    Args:
        space: of the search.
        at_once: slots.
        order: draws whose epoch ends next, where a restarted trial goes on, and when the driver is killed.
        writes_between_kills: at most; 0 for no kills.
    """
    storage = FragileStorage()
    played = Played([], [])
    over = False
    while not over:
        if writes_between_kills and played.kills < 20:
            storage.writes_left = order.randint(0, writes_between_kills)
        driver = None
        try:
            driver = _Driver(FamilySearch(space, storage, SEED))
            driver.search.adopt()
            _run(driver, space, at_once, order, played)
            over = True
        except Killed:
            played.kills += 1
        storage.writes_left = None
        played.ends += [record.name for record in driver.search.ended()] if driver else []
    records = sorted(driver.search.snapshot(), key=lambda record: (record.family, record.number))
    played.table = [{**asdict(record), "seconds": None} for record in records]
    return played


def _run(driver: _Driver, space: SearchSpace, at_once: int, order: random.Random, played: Played) -> None:
    started = 0
    while True:
        while len(driver.running) < at_once:
            trial_id = str(started)
            config = driver.search.suggest(trial_id)
            if config == Searcher.FINISHED:
                break
            if config is None:
                played.waits += 1
                break
            started += 1
            driver.running[trial_id] = [config, 1 + order.randint(0, config["epochs"])]  # after a checkpoint
        if not driver.running:
            return
        _one_epoch(driver, space, order.choice(sorted(driver.running)))


def _one_epoch(driver: _Driver, space: SearchSpace, trial_id: str) -> None:
    config, epoch = driver.running[trial_id]
    driver.running[trial_id][1] += 1
    if config["number"] == RAISES and epoch >= 2:
        driver.search.fail(trial_id, "ValueError: broken")
        ended = True
    else:
        value = score(config["params"], epoch) + 0.01 * random.Random(config["seed"] + epoch).random()
        diverges = config["number"] == DIVERGES and epoch >= 2
        metrics = {METRIC: math.nan if diverges else value, "val/loss": 1.0 / epoch}
        ended = driver.search.report(trial_id, epoch, metrics) or epoch >= space.epochs
    if ended:
        driver.search.on_trial_complete(trial_id, {"done": True})
        del driver.running[trial_id]
