"""Optuna remembers, Ray runs: the searcher that asks and tells one Optuna study for each family.

The studies are the record of truth. Nothing of this object has to survive the driver: opened again on the
same storage it goes on where the studies stand.
"""

from __future__ import annotations

import json
import math
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, cast

import optuna
from optuna.storages import BaseStorage
from optuna.trial import TrialState
from ray.tune.search import Searcher

from sweeps.results.records import State, TrialRecord, record_of, trial_name
from sweeps.search.asking import ask_again, ask_next, end_cut_off
from sweeps.search.driver_only import DriverOnly
from sweeps.search.first_points import startup_points
from sweeps.search.lag import known_trials
from sweeps.search.lanes import Lane, search_lanes, space_of_lanes
from sweeps.search.parameter import Scalar
from sweeps.search.space import SearchSpace
from sweeps.search.studies import open_study, training_seed
from sweeps.text import many


@dataclass
class _Live:
    """A trial that is being run now, under Tune's id for it."""

    family: str
    trial: optuna.Trial
    seconds_before: float  # spent on it by runs that were cut off
    reason: str | None = None  # of the newest error; a retry may still save the trial
    machine: str = ""  # what its process said last of itself


# A trial, and whether it reads the test slides, as the mapping that Tune carries to the worker; it has a `name`.
Resolve = Callable[[TrialRecord, bool], dict[str, Any]]


def as_described(trial: TrialRecord, test: bool) -> dict[str, Any]:
    """A trial by what the search itself knows of it; enough where nothing is trained."""
    keys = ("family", "number", "name", "params", "seed", "epochs")
    return {**{key: getattr(trial, key) for key in keys}, "test": test}


class FamilySearch(DriverOnly, Searcher):
    """An equal number of trials for every family, each from its own study.

    A family starts with its published settings and points spread over its space (`sweeps.search.first_points`), then
    follows TPE (Bergstra et al. 2011) on its own history, as far as `lag` lets a trial know it (`sweeps.search.lag`).
    The next trial belongs to the family that has started the fewest, of those whose next trial knows enough.
    Each of several independent searches of a family (`sweeps.search.lanes`) is a family in all of this.
    However many trials run at once, whichever ends first, wherever the driver was killed: each trial is the same.

    Args:
        space: the families, `trials` for each of them, `epochs`, metric and mode, early stopping, lag.
        storage: where the studies are or will be (`sweeps.results.study_file`).
        seed: the sweep's seed.
        resolve: what a suggestion is (in a sweep, a `TrialRequest` as plain data).

    Raises:
        ConfigError: the storage holds a sweep with another space, budget of epochs or seed.
    """

    def __init__(
        self, space: SearchSpace, storage: BaseStorage, seed: int, resolve: Resolve = as_described
    ) -> None:
        # No metric for Tune: it raises in the driver, and so ends the sweep, when a trial's result lacks it.
        super().__init__()
        self._lanes = self._lanes_of(space)
        self._space = space = space_of_lanes(space, self._lanes)
        self._seed, self._resolve = seed, resolve
        self._studies = {
            family: open_study(space, family, self._study_name(family), storage, seed)
            for family in space.families
        }
        self._startup = {family: self._first_points(family) for family in space.families}
        self._live: dict[str, _Live] = {}
        self._interrupted: deque[tuple[str, optuna.Trial]] = deque()
        self._records: dict[tuple[str, int], TrialRecord] = {}
        self._ended: list[TrialRecord] = []
        self._over = False
        # Whether an error of a trial's process says nothing about the trial: the sweep is being stopped, or Ray is gone.
        self.is_cut_off: Callable[[], bool] = lambda: False
        for family, study in self._studies.items():
            for trial in study.get_trials(deepcopy=False):
                if trial.state != TrialState.WAITING:
                    self._records[family, trial.number] = record_of(family, trial)

    # -- what another stage of a sweep does otherwise (see `sweeps.search.confirm_search`)

    reads_test = False

    def _lanes_of(self, space: SearchSpace) -> dict[str, Lane]:
        return search_lanes(space)

    def _study_name(self, family: str) -> str:
        return family

    def _first_points(self, family: str) -> list[dict[str, Scalar]]:
        chosen = self._space.families[family]
        return startup_points(chosen.parameters, chosen.first, self._space.trials, self._seed, family)

    def _trial_name(self, family: str, number: int) -> str:
        return trial_name(family, number)

    def _training_seed(self, family: str, number: int) -> int:
        return training_seed(self._seed, number, self._lanes[family].search)

    def _lacks(self, record: TrialRecord) -> str | None:
        """What a trial that has ended without an error still lacks to be COMPLETE; None for nothing."""
        if self._space.metric not in record.metrics or record.epochs < self._space.epochs:
            return f"ended after {record.epochs} of {many(self._space.epochs, 'epoch')} without an error"
        return None

    # -- what the driver asks

    def snapshot(self) -> list[TrialRecord]:
        """Every started trial as of now, without touching the storage; safe from another thread."""
        return self._outside(self._records.values())  # `_records` is replaced as a whole, never changed

    def ended(self) -> list[TrialRecord]:
        """The trials that ended in this run, in the order of their ends."""
        return self._outside(self._ended)

    def _outside(self, records: Iterable[TrialRecord]) -> list[TrialRecord]:
        """Records as others know them: inside, `family` is the name of a lane (`sweeps.search.lanes`)."""
        return [replace(record, **vars(self._lanes[record.family])) for record in records]

    def adopt(self) -> list[TrialRecord]:
        """Queue the trials that an interrupted sweep left RUNNING, to be suggested first. Call it once.

        They stay the same trials: number, parameters and seed are kept. One whose end the driver had learnt but
        could not write down any more (all epochs reported, a rung not passed, a failure) is ended now, as it would
        have been then. Returns the queued ones.
        """
        order = list(self._studies)
        running = [record for record in self._records.values() if record.state == "RUNNING"]
        for record in sorted(running, key=lambda record: (record.number, order.index(record.family))):
            trial = self._reopen(record.family, record.number)
            end = end_cut_off(trial, record, self._space.epochs, self._lacks(record))
            if end is None:
                self._record(record.family, trial)  # a kill may have left it without its name
                self._interrupted.append((record.family, trial))
            else:
                state, value = end
                self._studies[record.family].tell(trial, value, state)
                self._record(record.family, trial, state=state)
        return self._outside(self._records[family, trial.number] for family, trial in self._interrupted)

    def suggest(self, trial_id: str) -> dict[str, Any] | None:
        """The next trial, resolved for a worker.

        `Searcher.FINISHED` (a text) when every family's budget is used up. None while each next trial waits for the end
        of one that runs; Tune asks again after its next event or 0.1 s (`TuneController.step` of ray 2.60).
        """
        if self._over:
            return cast(dict[str, Any], Searcher.FINISHED)
        if self._interrupted:
            family, trial = self._interrupted.popleft()
        else:
            open_families = [f for f in self._studies if self._started(f) < self._space.trials]
            if not open_families:
                return cast(dict[str, Any], Searcher.FINISHED)  # Searcher's own annotation leaves it out
            ready = [family for family in open_families if self._is_ready(family)]
            if not ready:
                return None
            family = min(ready, key=self._started)
            trial = self._ask(family)
        known = self._records.get((family, trial.number))
        self._live[trial_id] = _Live(family, trial, seconds_before=known.seconds if known else 0.0)
        (record,) = self._outside([self._record(family, trial)])
        return self._resolve(record, self.reads_test)

    def report(self, trial_id: str, epoch: int, metrics: Mapping[str, float], seconds: float = 0.0) -> bool:
        """Write down a trial's metrics after `epoch` (1-based) and say whether it should stop.

        It should when early stopping prunes it (never at its last epoch) and when its metric is missing, NaN
        or infinite; its end is then already told. `seconds` is the trial's training time in this run.
        """
        live = self._live.get(trial_id)
        if live is None:
            return True
        value = metrics.get(self._space.metric, math.nan)
        seconds += live.seconds_before
        if epoch <= self._records[live.family, live.trial.number].epochs:
            # A restarted trial repeats what came after its checkpoint; what was reported first stands.
            self._record(live.family, live.trial, seconds=seconds)
            return False
        finite = {name: float(v) for name, v in metrics.items() if math.isfinite(v)}
        if not math.isfinite(value):
            what = f"is {value}" if self._space.metric in metrics else "is missing"
            self._record(live.family, live.trial, metrics=finite, seconds=seconds)
            self.fail(trial_id, f"{self._space.metric} {what} after epoch {epoch}")
            return True
        # Metrics before the value: a stored value then always has its metrics beside it.
        self._record(live.family, live.trial, metrics=finite, seconds=seconds, epochs=epoch)
        live.trial.report(value, epoch)
        if epoch >= self._space.epochs or not live.trial.should_prune():
            return False
        self._end(trial_id, TrialState.PRUNED, None)
        return True

    def tested(self, trial_id: str, found: str) -> None:
        """Write down what a trial found on the test slides (see `sweeps.trial.run_trial.tested_text`)."""
        live = self._live.get(trial_id)
        if live is not None:
            content = json.loads(found)
            metrics = self._records[live.family, live.trial.number].metrics | content["metrics"]
            self._record(live.family, live.trial, metrics=metrics, slides=content["slides"])

    def runs_on(self, trial_id: str, machine: str) -> None:
        """Remember what a trial's process says of itself (see `sweeps.trial.machine`); it is written down when the trial ends."""
        if trial_id in self._live:
            self._live[trial_id].machine = machine

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Nothing: `FamilyEarlyStopping` has reported the result already (Tune tells its scheduler first)."""

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """The end of a trial in Tune: COMPLETE after all its epochs, else FAIL with a reason.

        Tune calls it after a natural end and after STOP (with the last result), and after an error that no
        retry is left for (result None). It does not for trials that a stop of the whole sweep cuts off: they
        stay RUNNING. Never raises for a bad trial.
        """
        live = self._live.get(trial_id)
        if live is None:  # ended already: pruned or failed in `report`
            return
        record = self._records[live.family, live.trial.number]
        value = record.metrics.get(self._space.metric)
        if error and self.is_cut_off():
            self.interrupt(trial_id)
        elif error:
            self.fail(
                trial_id, live.reason or "the trial's process died or raised; see error.txt in its folder"
            )
        elif result is None:  # taken back before it ran; others may wait for its end
            self._interrupted.append((live.family, live.trial))
            self.interrupt(trial_id)
        elif lacking := self._lacks(record):
            self.fail(trial_id, lacking)
        else:
            self._end(trial_id, TrialState.COMPLETE, value)

    def fail(self, trial_id: str, reason: str) -> None:
        """End a trial as FAIL; the reason is kept as one line."""
        live = self._live.get(trial_id)
        if live is not None:
            self._record(live.family, live.trial, error=" ".join(reason.split())[:500])
            self._end(trial_id, TrialState.FAIL, None)

    def note(self, trial_id: str, reason: str) -> None:
        """Remember why a trial's process failed, for the case that no retry saves it."""
        if trial_id in self._live:
            self._live[trial_id].reason = reason

    def interrupt(self, trial_id: str) -> None:
        """Let go of a trial and leave it RUNNING in the storage, for a later run to `adopt`."""
        self._live.pop(trial_id, None)

    def let_go(self) -> None:
        """Let go of all trials, for a later run to `adopt`: whatever Tune still says of them is not true any more."""
        self._over = True
        self._live.clear()

    def save_to_dir(self, checkpoint_dir: str, session_str: str = "default") -> None:
        """Nothing: Tune's own pickles are never read, the studies are."""

    def _started(self, family: str) -> int:
        return sum(key[0] == family for key in self._records)

    def _is_ready(self, family: str) -> bool:
        """Has everything ended that the family's next trial is to know?"""
        number = self._started(family)
        if self._space.early_stopping is None and number < len(self._startup[family]):
            return True  # nothing about it depends on another trial
        known = range(known_trials(number, self._space.lag))
        return all(self._records[family, earlier].state != "RUNNING" for earlier in known)

    def _ask(self, family: str) -> optuna.Trial:
        study, startup = self._studies[family], self._startup[family]
        return self._named(family, ask_next(study, self._space, family, startup, self._seed))

    def _reopen(self, family: str, number: int) -> optuna.Trial:
        return self._named(family, ask_again(self._studies[family], self._space, family, number))

    def _named(self, family: str, trial: optuna.Trial) -> optuna.Trial:
        if "seed" not in trial.user_attrs:
            trial.set_user_attr("name", self._trial_name(family, trial.number))
            trial.set_user_attr("seed", self._training_seed(family, trial.number))
        return trial

    def _end(self, trial_id: str, state: TrialState, value: float | None) -> None:
        live = self._live.pop(trial_id)
        live.trial.set_user_attr("epochs", self._records[live.family, live.trial.number].epochs)
        if live.machine:
            live.trial.set_user_attr("machine", json.loads(live.machine))
        self._studies[live.family].tell(live.trial, value, state)
        self._ended.append(self._record(live.family, live.trial, state=state))

    def _record(
        self,
        family: str,
        trial: optuna.Trial,
        state: TrialState = TrialState.RUNNING,
        metrics: dict[str, float] | None = None,
        seconds: float | None = None,
        epochs: int | None = None,
        error: str | None = None,
        slides: dict[str, dict[str, float]] | None = None,
    ) -> TrialRecord:
        """Write what is given to the study and to the snapshot."""
        given = {"metrics": metrics, "seconds": seconds, "reason": error, "test_slides": slides}
        for key, value in given.items():
            if value is not None:
                trial.set_user_attr(key, value)
        record = record_of(family, trial._cached_frozen_trial)
        record = replace(
            record, state=cast(State, state.name), epochs=record.epochs if epochs is None else epochs
        )
        self._records = {**self._records, (family, trial.number): record}
        return record
