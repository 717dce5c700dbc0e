"""Tune without Ray: the calls that the sweep's searcher and scheduler get, in the order of `ray.tune`'s controller.

`test_tune_order` compares that order with a real Ray, case by case; both write their calls down by `Recorder`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

from optuna.storages import BaseStorage, InMemoryStorage
from ray import tune
from ray.tune.schedulers import TrialScheduler
from ray.tune.search import Searcher

from sweeps.driver.scheduler import FamilyEarlyStopping
from sweeps.driver.stopping import StopSwitch
from sweeps.search.family_search import FamilySearch
from sweeps.search.parameter import Parameter
from sweeps.search.space import EarlyStopping, Family, SearchSpace
from tests.sweeps.tune_cases import DIES, METRIC, RAISES, Case, Start, report_of

FAMILY = Family(
    loss={"name": "clip"}, parameters={"model.temperature": Parameter(type="float", low=0.1, high=1)}
)
HOOKS = {
    "searcher": ("suggest", "on_trial_result", "on_trial_complete"),
    "scheduler": (
        "on_trial_add",
        "on_trial_result",
        "on_trial_error",
        "on_trial_complete",
        "on_trial_remove",
    ),
    "callback": (
        "on_trial_start",
        "on_trial_result",
        "on_trial_recover",
        "on_trial_complete",
        "on_trial_error",
    ),
}


def make_search(
    storage: BaseStorage,
    rule: EarlyStopping | None,
    epochs: int,
    trials: int = 40,
    families: int = 1,
    mode: str = "max",
    lag: int = 1,
) -> FamilySearch:
    space = SearchSpace(
        name="tiny",
        experiment="sweep_base",
        metric=METRIC,
        mode=mode,
        trials=trials,
        epochs=epochs,
        early_stopping=rule,
        lag=lag,
        families={f"family{i}": FAMILY for i in range(families)},
    )
    return FamilySearch(space, storage, seed=0)


class HookError(Exception):
    """What a hook raises where the case says so."""


class Tune:
    """Calls scheduler, searcher and callback in the order in which ray.tune does."""

    def __init__(
        self,
        search: FamilySearch,
        retries: int = 0,
        callback: Any = None,
        on_no_space: Callable[[str], None] = print,
    ) -> None:
        self.search = search
        self.scheduler = FamilyEarlyStopping(search, on_no_space)
        self.metric: str | None = None  # that the TuneConfig names
        self._retries = retries
        self._callback = callback or tune.Callback()
        self._errors: Counter[str] = Counter()
        self._again: set[str] = set()  # trials that wait for another start

    def add(self, trial_id: str) -> dict[str, Any] | None:
        """The next trial; None when the search has finished."""
        config = self.search.suggest(trial_id)
        if config == Searcher.FINISHED:
            return None
        self.scheduler.on_trial_add(None, _trial(trial_id))
        return config

    def result(self, trial_id: str, result: dict[str, Any]) -> str:
        """A report, and the trial's end if the scheduler says so."""
        for name in (self.metric, self.scheduler.metric, self.search.metric):
            if name is not None and name not in result:
                raise ValueError("Trial returned a result which did not include the specified metric(s)")
        trial = _trial(trial_id)
        decision = self.scheduler.on_trial_result(None, trial, result)
        if decision == TrialScheduler.STOP:
            result = {**result, "done": True}
        else:
            self.search.on_trial_result(trial_id, result)
        self._callback.on_trial_result(0, [trial], trial, result)
        if decision == TrialScheduler.STOP:
            self.complete(trial_id, result)
        return decision

    def complete(self, trial_id: str, last_result: dict[str, Any]) -> None:
        """The end of a trial's function, or of a trial that the scheduler has stopped."""
        trial, result = _trial(trial_id), {**last_result, "done": True}
        try:
            self.scheduler.on_trial_complete(None, trial, result)
            self.search.on_trial_complete(trial_id, result)
            self._callback.on_trial_complete(0, [trial], trial)
        except Exception:  # as if the trial itself had raised
            self.error(trial_id)

    def error(self, trial_id: str) -> None:
        """The trial's process raised or died; while a retry is left the trial is started again."""
        self._errors[trial_id] += 1
        trial = _trial(trial_id, self._errors[trial_id])
        self.scheduler.on_trial_error(None, trial)
        if self._errors[trial_id] <= self._retries:
            self.scheduler.on_trial_add(None, trial)
            self._callback.on_trial_recover(0, [trial], trial)
            self._again.add(trial_id)
        else:
            self.search.on_trial_complete(trial_id, error=True)
            self._callback.on_trial_error(0, [trial], trial)

    def train(self, trial_id: str, values: list[float], start: int = 1) -> int:
        """Report from epoch `start` until stopped or through; the last epoch run."""
        for epoch, value in enumerate(values[start - 1 :], start):
            if self.result(trial_id, {METRIC: value, "epoch": epoch}) == TrialScheduler.STOP:
                return epoch
        self.complete(trial_id, {METRIC: values[-1], "epoch": len(values)})
        return len(values)

    def play(self, case: Case, stopped: Callable[[], bool]) -> None:
        """All trials of a case, one after another. `stopped` is asked after each event, as Tune asks its Stopper."""
        for number, starts in enumerate(case.trials):
            trial_id = f"fake_{number}"
            self.add(trial_id)
            epoch = 0
            for steps in starts:
                self._again.discard(trial_id)
                self._callback.on_trial_start(0, [], _trial(trial_id))
                epoch = self._play(trial_id, steps, epoch if case.checkpoints else 0, stopped)
                if stopped():
                    return
            assert trial_id not in self._again, "the case has too few starts"
        assert self.add("fake_last") is None

    def _play(self, trial_id: str, steps: Start, epoch: int, stopped: Callable[[], bool]) -> int:
        """One start of a trial; its last epoch."""
        result: dict[str, Any] = {}
        for step in steps:
            if step in (RAISES, DIES):
                self.error(trial_id)
                return epoch
            epoch += 1
            result = report_of(step, epoch)
            if self.result(trial_id, result) == TrialScheduler.STOP or stopped():
                return epoch
        self.complete(trial_id, result)
        return epoch


def _trial(trial_id: str, errors: int = 0) -> Any:
    return SimpleNamespace(
        trial_id=trial_id, error_file=None, run_metadata=SimpleNamespace(num_failures=errors)
    )


def case_search(case: Case) -> FamilySearch:
    """A search of as many trials as the case has. Its rule stops a trial whose first value is below the best half."""
    rule = EarlyStopping(first_rung=1, factor=2)
    return make_search(InMemoryStorage(), rule, epochs=3, trials=len(case.trials))


def name_metric(case: Case, search: FamilySearch, scheduler: FamilyEarlyStopping) -> None:
    """As a searcher or scheduler does that asks for a metric, which ours never do."""
    for who, named in (("searcher", search), ("scheduler", scheduler)):
        named._metric = METRIC if case.metric_named_by == who else None


class Recorder:
    """Writes each call of a hook down before it is passed on; raises, and stops the run, where the case says so."""

    def __init__(self, case: Case, switch: StopSwitch) -> None:
        self.calls: list[str] = []
        self._case = case
        self._switch = switch
        self._numbers: dict[str, int] = {}  # of trials, by Tune's id

    def watch(self, searcher: Any, scheduler: Any, callback: Any) -> None:
        for who, watched in (("searcher", searcher), ("scheduler", scheduler), ("callback", callback)):
            for hook in HOOKS[who]:
                setattr(watched, hook, self._written_down(f"{who}.{hook}", getattr(watched, hook)))

    @contextmanager
    def to_the_end(self) -> Iterator[None]:
        """Write down how the run ends: by itself, by the switch, or by an exception."""
        try:
            yield
        except Exception as error:  # Tune's own kind, with the first one's traceback in its text
            known = ("HookError", "did not include the specified metric")
            text = f"{type(error).__name__}: {error}"
            self.calls.append(f"the run raises {next((words for words in known if words in text), text)}")
        else:
            self.calls.append("the run was stopped" if self._switch.reason else "the run ends")

    def _written_down(self, hook: str, work: Callable[..., Any]) -> Callable[..., Any]:
        def call(*given: Any, **named: Any) -> Any:
            values = [*given, *named.values()]
            ids = [getattr(v, "trial_id", v) for v in values if isinstance(v, str) or hasattr(v, "trial_id")]
            number = self._numbers.setdefault(ids[0], len(self._numbers))
            results = [value for value in values if isinstance(value, dict)]
            said = ["error"] if named.get("error") else [_in_short(result) for result in results]
            at = len(self.calls)
            self.calls.append(f"{hook}: {', '.join([f'trial {number}', *said])}")
            if self._case.hook_that_raises == hook:
                raise HookError(hook)
            if hook == "scheduler.on_trial_result" and results[0].get("epoch") == self._case.stop_at:
                self._switch.stop("as the case says")
            answer = work(*given, **named)
            if isinstance(answer, str):
                self.calls[at] += f" -> {answer}"
            return answer

        return call


def _in_short(result: dict[str, Any]) -> str:
    said = [
        "full disk" if result.get("no_space") else "failure" if "failure" in result else "",
        f"epoch {result['epoch']}" if "epoch" in result else "",
        f"value {result[METRIC]}" if METRIC in result else "",
        "done" if result.get("done") else "",
    ]
    return " ".join(text for text in said if text) or "no report"
