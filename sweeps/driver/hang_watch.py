"""A trial that has not reported for too long is taken for hung: it fails, and its process is ended."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from ray.tune import Callback
from ray.tune.experiment import Trial

from sweeps.search.driver_only import DriverOnly
from sweeps.search.family_search import FamilySearch
from sweeps.text import duration


class HangWatch(DriverOnly, Callback):
    """Tune tells it when a trial starts, restarts and reports; after each step of Tune's loop it looks who is silent."""

    def __init__(
        self, search: FamilySearch, timeout: float | None, now: Callable[[], float] = time.monotonic
    ) -> None:
        """`timeout`: seconds; None watches nothing."""
        self._search = search
        self._timeout = timeout
        self._now = now
        self._heard: dict[str, float] = {}

    def on_trial_start(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """Tune hook; called again for each restart."""
        self._heard[trial.trial_id] = self._now()

    def on_trial_result(
        self, iteration: int, trials: list[Trial], trial: Trial, result: dict[str, Any], **info: Any
    ) -> None:
        """Tune hook."""
        self._heard[trial.trial_id] = self._now()

    def on_trial_recover(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """Tune hook: the trial waits for a new process, which is no silence."""
        self._heard.pop(trial.trial_id, None)

    def on_trial_complete(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """Tune hook."""
        self._heard.pop(trial.trial_id, None)

    def on_trial_error(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """Tune hook."""
        self._heard.pop(trial.trial_id, None)

    def on_step_end(self, iteration: int, trials: list[Trial], **info: Any) -> None:
        """Tune hook."""
        if self._timeout is None:
            return
        silent = {name for name, at in self._heard.items() if self._now() - at > self._timeout}
        for trial in trials if silent else []:
            if trial.trial_id in silent:
                del self._heard[trial.trial_id]
                self._end(trial)

    def _end(self, trial: Trial) -> None:
        import ray

        assert self._timeout is not None
        self._search.fail(
            trial.trial_id,
            f"hung: no report for {duration(self._timeout)} (--trial-timeout), so its process was ended",
        )
        trial.max_failures = 0  # it would hang again
        actor = trial.temporary_state.ray_actor
        if actor is not None:
            ray.kill(actor)
