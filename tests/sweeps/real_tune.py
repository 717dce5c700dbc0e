"""Plays the cases of `tune_cases` on a real Ray, in a process of its own, and writes the calls that Tune makes as JSON.

python -m tests.sweeps.real_tune FOLDER OUTPUT
"""

from __future__ import annotations

import json
import logging
import sys
from pathlib import Path

from sweeps.cluster.connect import (
    LOOPBACK_ENVIRONMENT,
    OBJECT_STORE_BYTES,
    QUIET_ENVIRONMENT,
    TRIAL_ENVIRONMENT,
    set_environment,
)
from sweeps.cluster.ray_token import require_token


def main(folder: Path, output: Path) -> None:
    require_token()
    set_environment(QUIET_ENVIRONMENT | LOOPBACK_ENVIRONMENT)
    import ray

    ray.init(
        address="local", include_dashboard=False, num_cpus=1, object_store_memory=OBJECT_STORE_BYTES,
        log_to_driver=False, logging_level=logging.ERROR, runtime_env={"env_vars": TRIAL_ENVIRONMENT},
    )  # fmt: skip
    try:
        from tests.sweeps.tune_cases import CASES

        found = {name: _calls(name, folder / str(at)) for at, name in enumerate(CASES)}
    finally:
        ray.shutdown()
    output.write_text(json.dumps(found))


def _calls(name: str, folder: Path) -> list[str]:
    from ray import tune

    from sweeps.driver.lost_workers import lost_workers_are_failures
    from sweeps.driver.scheduler import FamilyEarlyStopping
    from sweeps.driver.stopping import StopSwitch
    from sweeps.driver.tune import ENDLESS, SwitchStopper
    from sweeps.search.driver_only import DriverOnly
    from tests.sweeps.fake_tune import Recorder, case_search, name_metric
    from tests.sweeps.tune_cases import CASES, METRIC, trainable

    class Callback(DriverOnly, tune.Callback):
        pass

    (folder / "marks").mkdir(parents=True)
    case = CASES[name]
    switch = StopSwitch(None, lambda reason: None)
    search, callback = case_search(case), Callback()
    scheduler = FamilyEarlyStopping(search, switch.break_off)
    recorder = Recorder(case, switch)
    name_metric(case, search, scheduler)
    recorder.watch(search, scheduler, callback)
    tuner = tune.Tuner(
        tune.with_resources(trainable(case, str(folder / "marks")), {"cpu": 1}),
        tune_config=tune.TuneConfig(
            metric=METRIC if case.metric_named_by == "config" else None,
            mode="max" if case.metric_named_by == "config" else None,
            search_alg=search,
            scheduler=scheduler,
            num_samples=ENDLESS,
            max_concurrent_trials=1,
            reuse_actors=True,
        ),
        run_config=tune.RunConfig(
            name="run",
            storage_path=str(folder),
            stop=SwitchStopper(switch),
            verbose=0,
            callbacks=[callback],
            failure_config=tune.FailureConfig(max_failures=case.retries),
            checkpoint_config=tune.CheckpointConfig(num_to_keep=1),
        ),
    )
    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)
    with lost_workers_are_failures(), recorder.to_the_end():
        tuner.fit()
    return recorder.calls


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
