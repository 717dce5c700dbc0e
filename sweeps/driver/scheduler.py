"""Tune's scheduler of a sweep: it tells the search every result and stops the trials that the search gives up."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from numbers import Real
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ray.tune.experiment import Trial
from ray.tune.schedulers import FIFOScheduler, TrialScheduler

from sweeps.driver.failures import process_death
from sweeps.search.driver_only import DriverOnly
from sweeps.search.family_search import FamilySearch
from sweeps.trial.run_trial import EPOCH, FAILURE, MACHINE, NO_SPACE, SECONDS, TESTED

if TYPE_CHECKING:
    from ray.tune.execution.tune_controller import TuneController


class FamilyEarlyStopping(DriverOnly, FIFOScheduler):
    """Tells the search every result, and stops a trial when the search says so. Trials start in their order.

    Facts of ray 2.60 that this rests on (`TuneController._process_trial_result`, `stop_trial`,
    `_process_trial_failure`, `_stop_experiment_if_needed`); `tests/sweeps/driver/test_tune_order.py` sees them on a real Ray:

    - The scheduler sees a result first; the searcher's `on_trial_result` follows unless it decides STOP.
    - After STOP, and after a natural end, the searcher gets `on_trial_complete(id, result=<last result>)`. A
      natural end repeats the last result with `done`, which never reaches the scheduler's `on_trial_result`.
    - An error with retries left calls the scheduler's `on_trial_error` and `on_trial_add`, and the searcher
      not at all. The last error calls `on_trial_error`, then the searcher's
      `on_trial_complete(id, error=True)` without a result.
    - A stop of the whole run (Ctrl-C, time budget) calls neither.
    - An exception in any of these hooks ends the run. One in `on_trial_complete` counts as an error of the
      trial first, so that with retries left a trial that was through is trained once more.
    - A result without the metric ends the run when the searcher, the scheduler or the TuneConfig name one: so
      none of them does.
    """

    # Results of several epochs at once would be judged late.
    _supports_buffered_results = False

    def __init__(self, search: FamilySearch, on_no_space: Callable[[str], None]) -> None:
        """`on_no_space` is called, with the reason, when a trial could not write its files."""
        super().__init__()
        self._search = search
        self._on_no_space = on_no_space
        self._seconds: defaultdict[str, float] = defaultdict(float)  # of each trial, in this run

    def set_search_properties(self, metric: str | None, mode: str | None, **spec: Any) -> bool:
        """Take nothing: the search knows metric and mode from its space."""
        return True

    def on_trial_result(self, tune_controller: TuneController, trial: Trial, result: dict[str, Any]) -> str:
        """STOP a trial that is pruned, has failed, or has no finite metric; else CONTINUE."""
        if MACHINE in result:
            self._search.runs_on(trial.trial_id, str(result[MACHINE]))
        if result.get(NO_SPACE):
            # No fault of its parameters: it stays unfinished, for the sweep to go on with when there is room.
            self._search.interrupt(trial.trial_id)
            self._on_no_space(str(result[FAILURE]))
            return TrialScheduler.STOP
        if FAILURE in result:
            self._search.fail(trial.trial_id, str(result[FAILURE]))
            return TrialScheduler.STOP
        if TESTED in result:
            self._search.tested(trial.trial_id, str(result[TESTED]))
            return TrialScheduler.CONTINUE
        epoch = int(result.get(EPOCH, result.get("training_iteration", 0)))
        # Tune's own `time_total_s` follows the machine's clock, which may be set back or forth meanwhile.
        self._seconds[trial.trial_id] += float(result.get(SECONDS, 0.0))
        stop = self._search.report(
            trial.trial_id, epoch, logged_metrics(result), self._seconds[trial.trial_id]
        )
        return TrialScheduler.STOP if stop else TrialScheduler.CONTINUE

    def on_trial_error(self, tune_controller: TuneController, trial: Trial) -> None:
        """Remember the error for the trial's record; the searcher is told of an error without its reason."""
        self._search.note(trial.trial_id, process_death(_error_text(trial), trial.run_metadata.num_failures))


def logged_metrics(result: Mapping[str, Any]) -> dict[str, float]:
    """The numbers of a Tune result that training logged: `train/…`, `val/…` and `test/…`; NaN included."""
    return {
        key: float(value)
        for key, value in result.items()
        if key.startswith(("train/", "val/", "test/"))
        and isinstance(value, Real)
        and not isinstance(value, bool)
    }


def _error_text(trial: Trial) -> str:
    # `trial.get_error()` looks where Tune syncs to, which is behind; `error_file` is the driver's own copy.
    try:
        return Path(trial.error_file).read_text(encoding="utf-8") if trial.error_file else ""
    except (OSError, UnicodeDecodeError):
        return ""
