"""What the lag of a search costs, without any training: slots that stand idle, and how fast the search finds good settings.

    python benchmarks/lag.py [--sweeps 200] [--jobs 2]

The real `FamilySearch` is driven over made-up learning curves, on a clock of its own. `ends decide` is the search without a
lag, in which whatever has ended decides, as it was before there was one. 9 minutes of processor time; found (lag 2 is the
default: the largest that searches as well as without a lag, within noise; it keeps two and three slots busy. For four, 3):

    idle slots of space spatial, mean of 20 sweeps
    lag      2 at once   3 at once   4 at once   8 at once
    1             5.4%       36.9%       52.7%       76.3%
    2             0.0%        3.5%       18.0%       59.0%
    3             0.0%        0.1%        3.9%       44.4%
    4             0.0%        0.0%        0.3%       28.7%
    6             0.0%        0.0%        0.0%        8.0%

    val value above the expected best of 64 random trials (x 1000), 200 sweeps of one family
    after                       100 epochs    150 epochs    200 epochs     24 trials     48 trials  epochs to it  epochs of 24
    lag 1                       -7.6 ± 1.0     1.5 ± 0.6     5.7 ± 0.5     5.1 ± 0.5     9.5 ± 0.4   136.0 ± 5.3   185.2 ± 1.4
    lag 2                      -13.4 ± 1.3    -1.1 ± 0.7     4.6 ± 0.5     4.9 ± 0.4     9.3 ± 0.4   148.1 ± 5.0   192.2 ± 1.4
    lag 3                      -15.5 ± 1.3    -3.6 ± 0.8     2.0 ± 0.6     3.4 ± 0.5     9.2 ± 0.4   165.3 ± 5.3   197.0 ± 1.4
    lag 4                      -19.7 ± 1.6    -6.6 ± 0.9     0.6 ± 0.6     2.2 ± 0.5     9.0 ± 0.4   183.6 ± 6.0   201.7 ± 1.4
    lag 6                      -28.3 ± 1.9   -12.6 ± 1.1    -3.9 ± 0.9     0.5 ± 0.6     8.7 ± 0.4   218.9 ± 6.4   210.0 ± 1.3
    ends decide, 1 at once      -7.6 ± 1.0     1.5 ± 0.6     5.7 ± 0.5     5.1 ± 0.5     9.5 ± 0.4   136.0 ± 5.3   185.2 ± 1.4
    ends decide, 2 at once     -12.5 ± 1.3    -1.1 ± 0.7     4.4 ± 0.4     4.1 ± 0.5     9.2 ± 0.4   148.3 ± 4.9   186.1 ± 1.4
    ends decide, 4 at once     -18.3 ± 1.5    -5.8 ± 0.9     0.9 ± 0.6     1.3 ± 0.6     8.8 ± 0.4   184.2 ± 6.0   180.0 ± 1.3

Two families on two slots were `ends decide, 1 at once`, on four `ends decide, 2 at once`. Lag 3 ends 1.7 ± 0.7 below the first
after 24 trials and needs a fifth more epochs to random's best of 64; lag 2 ends 0.2 ± 0.7 below it.
"""

import argparse
import heapq
import math
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from statistics import fmean, stdev
from typing import NamedTuple

import numpy as np
import optuna
from optuna.pruners import SuccessiveHalvingPruner
from optuna.storages import InMemoryStorage
from ray.tune.search import Searcher

from sweeps.search.family_search import FamilySearch
from sweeps.search.space import SearchSpace, load_space
from sweeps.search.studies import sampler
from sweeps.seeds import derived_seed

SPACE = "spatial"
LAGS = (1, 2, 3, 4, 6)
AT_ONCE = (2, 3, 4, 8)  # trials, in the table of idle slots
ENDS_DECIDE = (1, 2, 4)  # trials of one family at once, without a lag
RANDOM_TRIALS = 64
TRIALS = (24, 48)  # of one family; the default space has the first number
BUDGETS = (100, 150, 200)  # epochs trained
NOISE = 0.004  # standard deviation of a val value, from seed to seed


class EndsDecide(FamilySearch):
    """The search without a lag: TPE and rungs take whatever has ended or has been reported."""

    def __init__(self, space: SearchSpace, storage: InMemoryStorage, seed: int) -> None:
        super().__init__(space, storage, seed)
        rule = space.early_stopping
        for study in self._studies.values():
            study.pruner = SuccessiveHalvingPruner(rule.first_rung, rule.factor)

    def _is_ready(self, family: str) -> bool:
        return True

    def _ask(self, family: str) -> optuna.Trial:
        study, number = self._studies[family], self._started(family)
        if number < len(self._startup[family]):
            study.enqueue_trial(self._startup[family][number])
        study.sampler = sampler(self._seed, family, number)
        return self._named(family, study.ask(self._space.distributions(family)))


class Landscape:
    """Made-up learning curves over a family's space: smooth, with one best place, and slower far from it."""

    def __init__(self, space: SearchSpace, family: str, seed: int) -> None:
        rng = np.random.default_rng(derived_seed(seed, "landscape", family))
        self._ranges = space.family(family).parameters
        self._best = rng.uniform(0.15, 0.85, len(self._ranges))
        self._width = rng.uniform(0.25, 0.8, len(self._ranges))
        self._seed = seed
        draws = rng.uniform(size=(4000, len(self._ranges)))
        self.random_best = self._expected_best(np.sort(self._top(draws)), RANDOM_TRIALS)

    def top(self, params: dict) -> float:
        """What a full training of these parameters gives, without noise."""
        return float(self._top(self._shares(params)))

    def curve(self, params: dict, number: int, epochs: int) -> np.ndarray:
        """Val values by epoch."""
        shares = self._shares(params)
        rng = np.random.default_rng(derived_seed(self._seed, "noise", number))
        pace = 2.0 + 2.0 * abs(shares[0] - self._best[0])  # epochs
        grown = 1 - 0.6 * np.exp(-np.arange(1, epochs + 1) / pace)
        return self._top(shares) * grown + rng.normal(0, NOISE, epochs)

    def _shares(self, params: dict) -> np.ndarray:
        found = [(params[key], parameter) for key, parameter in self._ranges.items()]
        return np.array([math.log(value / p.low) / math.log(p.high / p.low) for value, p in found])

    def _top(self, shares: np.ndarray) -> np.ndarray:
        return 0.3 + 0.3 * np.exp(-0.5 * (((shares - self._best) / self._width) ** 2).sum(-1))

    @staticmethod
    def _expected_best(ordered: np.ndarray, draws: int) -> float:
        shares = (np.arange(len(ordered) + 1) / len(ordered)) ** draws
        return float(ordered @ np.diff(shares))


class Trained(NamedTuple):
    """One epoch of one trial."""

    number: int  # of the trial, in its family
    final: float  # the val value that the search chooses by; NaN before the last epoch
    top: float  # the trial's noise-free value


def drive(search: FamilySearch, space: SearchSpace, at_once: int, seed: int) -> tuple[float, list[Trained]]:
    """Run a whole search on `at_once` slots. An epoch of a trial takes its own time, 0.3 in the logarithm around 1.

    Returns the share of the slots' time, until the last trial began, in which one was free and nothing was ready; and all
    epochs in the order of their ends.
    """
    landscapes = {family: Landscape(space, family, seed) for family in space.families}
    events: list[tuple[float, str, int]] = []  # the end of an epoch: when, Tune's id, which epoch
    running: dict[
        str, tuple[int, np.ndarray, float, float]
    ] = {}  # number, curve, time of an epoch, noise-free value
    log: list[Trained] = []
    now = idle = waited = last_start = 0.0
    started = 0
    while True:
        while len(running) < at_once:
            asked = search.suggest(str(started))
            if asked is None or asked == Searcher.FINISHED:
                break
            land, number = landscapes[asked["family"]], asked["number"]
            drawn = np.random.default_rng(derived_seed(seed, "pace", asked["family"], number)).normal(0, 0.3)
            pace, curve = math.exp(drawn), land.curve(asked["params"], number, space.epochs)
            running[str(started)] = (number, curve, pace, land.top(asked["params"]))
            heapq.heappush(events, (now + pace, str(started), 1))
            started, last_start, waited = started + 1, now, idle
        if not events:
            return waited / (at_once * last_start), log
        at, trial, epoch = heapq.heappop(events)
        idle += (at_once - len(running)) * (at - now)
        now = at
        number, curve, pace, top = running[trial]
        stop = search.report(trial, epoch, {space.metric: float(curve[epoch - 1])})
        log.append(Trained(number, curve[-1] if epoch == space.epochs else math.nan, top))
        if stop or epoch == space.epochs:
            del running[trial]
            search.on_trial_complete(trial, {"done": True})
        else:
            heapq.heappush(events, (at + pace, trial, epoch + 1))


def chosen(log: Sequence[Trained]) -> float:
    """The noise-free value of the trial that the search would choose; 0 while none is through."""
    through = [epoch for epoch in log if not math.isnan(epoch.final)]
    return max(through, key=lambda epoch: epoch.final).top if through else 0.0


def idle_share(lag: int, at_once: int, seed: int) -> float:
    """Of the default space, both families."""
    space = load_space(SPACE).model_copy(update={"lag": lag})
    return drive(FamilySearch(space, InMemoryStorage(), seed), space, at_once, seed)[0]


def quality(how: tuple[str, int], seed: int) -> list[float]:
    """A row of the second table for one sweep: `how` is "lag" and the lag, or "ends decide" and the trials at once."""
    kind, number = how
    space = load_space(SPACE)
    families = {"spatial": space.families["spatial"]}
    space = space.model_copy(update={"families": families, "trials": TRIALS[-1], "lag": number})
    search = (FamilySearch if kind == "lag" else EndsDecide)(space, InMemoryStorage(), seed)
    _, log = drive(search, space, number, seed)
    goal = Landscape(space, "spatial", seed).random_best
    logs = [log[:budget] for budget in BUDGETS]
    logs += [[epoch for epoch in log if epoch.number < trials] for trials in TRIALS]
    through = [at for at, epoch in enumerate(log, 1) if not math.isnan(epoch.final)]
    reached = next((at for at in through if chosen(log[:at]) >= goal), len(log))
    return [*(1000 * (chosen(one) - goal) for one in logs), reached, len(logs[len(BUDGETS)])]


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sweeps", type=int, default=200, help="made-up sweeps for each row")
    parser.add_argument("--jobs", type=int, default=2, help="processes")
    options = parser.parse_args()
    with ProcessPoolExecutor(options.jobs, initializer=_quiet) as pool:
        seeds = range(options.sweeps)
        for line in [
            *idle_table(pool, seeds[: max(1, options.sweeps // 10)]),
            "",
            *quality_table(pool, seeds),
        ]:
            print(line, flush=True)


def idle_table(pool: ProcessPoolExecutor, seeds: Sequence[int]) -> Iterator[str]:
    """A row a lag, a column for each number of trials at once."""
    yield f"idle slots of space {SPACE}, mean of {len(seeds)} sweeps"
    yield "lag   " + "".join(f"{n} at once".rjust(12) for n in AT_ONCE)
    for lag in LAGS:
        shares = [fmean(pool.map(partial(idle_share, lag, n), seeds)) for n in AT_ONCE]
        yield f"{lag:<6}" + "".join(f"{share:12.1%}" for share in shares)


def quality_table(pool: ProcessPoolExecutor, seeds: Sequence[int]) -> Iterator[str]:
    """A row for each lag, and for each number of trials at once without one."""
    yield f"val value above the expected best of {RANDOM_TRIALS} random trials (x 1000), {len(seeds)} sweeps of one family"
    heads = [
        *(f"{n} epochs" for n in BUDGETS),
        *(f"{n} trials" for n in TRIALS),
        "epochs to it",
        f"epochs of {TRIALS[0]}",
    ]
    yield f"{'after':<24}" + "".join(head.rjust(14) for head in heads)
    for how in [*(("lag", lag) for lag in LAGS), *(("ends decide", n) for n in ENDS_DECIDE)]:
        columns = zip(*pool.map(partial(quality, how), seeds), strict=True)
        name = f"lag {how[1]}" if how[0] == "lag" else f"ends decide, {how[1]} at once"
        yield f"{name:<24}" + "".join(_mean(column).rjust(14) for column in columns)


def _mean(values: Sequence[float]) -> str:
    error = stdev(values) / math.sqrt(len(values)) if len(values) > 1 else math.nan
    return f"{fmean(values):.1f} ± {error:.1f}"


def _quiet() -> None:
    optuna.logging.set_verbosity(optuna.logging.WARNING)


if __name__ == "__main__":
    main()
