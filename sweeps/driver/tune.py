"""Tune's part: place the trials that the search asks for, restart dead workers, keep the newest checkpoint of each."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from ray import tune
from ray.tune.experiment import Trial

from sweeps.cluster.connect import TrialResources
from sweeps.cluster.credentials import credentials_stay
from sweeps.driver.hang_watch import HangWatch
from sweeps.driver.lost_workers import lost_workers_are_failures
from sweeps.driver.scheduler import FamilyEarlyStopping
from sweeps.driver.stopping import StopSwitch
from sweeps.planning.plan import SweepPlan
from sweeps.search.driver_only import DriverOnly
from sweeps.search.family_search import FamilySearch
from sweeps.trial.actor import named_trainable
from sweeps.trial.run_trial import make_trainable, train_here
from sweeps.trial.storage import ray_storage
from sweeps.trial.worker_group import train_on_workers, waiting_actor

ENDLESS = 10**9  # Tune's own trial limit; the search says FINISHED when every family's budget is used up


def run_tuner(
    plan: SweepPlan,
    search: FamilySearch,
    switch: StopSwitch,
    resources: TrialResources,
    storage: str,
    run: int,
    on_step: Callable[[], None],
) -> None:
    """Run until the search is finished or the switch is thrown. `on_step` is called often, in this thread.

    `storage`: the folder or address that Tune's files go to, with the trials' checkpoints, below the number of this `run`.
    """
    # A new process costs about four CPU seconds of imports, which is more than many a trial on one machine takes. On a
    # cluster trials are long, and each gets its own, so that Ray's dashboard lists it as an actor by its name.
    reuse = plan.address is None
    path, filesystem = ray_storage(storage)
    tuner = tune.Tuner(
        named_trainable(_function(resources), reuse),
        tune_config=tune.TuneConfig(
            search_alg=search,
            scheduler=FamilyEarlyStopping(search, switch.break_off),
            num_samples=ENDLESS,
            max_concurrent_trials=resources.max_concurrent,
            reuse_actors=reuse,
            trial_name_creator=_readable_name,
            trial_dirname_creator=_readable_name,
        ),
        run_config=tune.RunConfig(
            name=f"{run:04d}",
            storage_path=path,
            storage_filesystem=filesystem,
            stop=SwitchStopper(switch),
            verbose=0,
            callbacks=[StepCallback(on_step), HangWatch(search, plan.trial_timeout)],
            failure_config=tune.FailureConfig(max_failures=plan.max_failures),
            checkpoint_config=tune.CheckpointConfig(num_to_keep=1),
        ),
    )
    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)  # the view says it, without tracebacks
    with lost_workers_are_failures(), credentials_stay():
        tuner.fit()


def _function(resources: TrialResources) -> Any:
    if resources.devices == 1:
        return tune.with_resources(make_trainable(train_here), {"cpu": resources.cpus, "gpu": resources.gpus})
    return tune.with_resources(make_trainable(train_on_workers(resources)), waiting_actor())


class SwitchStopper(DriverOnly, tune.Stopper):
    """Tune asks it at every step whether to cut off all running trials."""

    def __init__(self, switch: StopSwitch) -> None:
        self._switch = switch

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        """Single trials are stopped by the scheduler, not here."""
        return False

    def stop_all(self) -> bool:
        """True once the sweep is to stop."""
        return self._switch.stop_all()


class StepCallback(DriverOnly, tune.Callback):
    """Calls a function after each step of Tune's loop."""

    def __init__(self, work: Callable[[], None]) -> None:
        self._work = work

    def on_step_end(self, iteration: int, trials: list[Trial], **info: Any) -> None:
        """Tune hook."""
        self._work()


def _readable_name(trial: Trial) -> str:
    return str(trial.config["name"])
