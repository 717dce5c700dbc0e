"""Where trials run: a private local Ray, its resources and its dashboard."""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass
from typing import Any

from stclip.errors import InputError

# Read by Ray when it is imported or initialised, so they are set before `import ray`; a cluster has its own.
QUIET_ENVIRONMENT = {
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # each run logs for itself; Tune's copies cost 2 ms a report
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # Ctrl-C is ours: stop cleanly, keep what was cut off resumable
    "RAY_AIR_NEW_OUTPUT": "0",  # no tables of Tune's own
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # silences a notice about CUDA_VISIBLE_DEVICES
    "RAY_TRAIN_ENABLE_V2_MIGRATION_WARNINGS": "0",
    "RAY_USAGE_STATS_ENABLED": "0",  # nothing about a lab's sweep leaves the machine
    "RAY_worker_niceness": "0",  # trials are what the machine is for; at Ray's 15 the dashboard's start-up starves them
}
# What Tune gives its actors' environment. A job that has the same lets them take the processes that are warm already.
TRIAL_ENVIRONMENT = {"PL_DISABLE_FORK": "1", "RAY_TRAIN_ENABLE_V2_MIGRATION_WARNINGS": "0"}
OBJECT_STORE_BYTES = 128 * 1024**2  # trials exchange floats and small checkpoints through it


@dataclass(frozen=True)
class ClusterInfo:
    """What a sweep needs to know about the Ray it runs on."""

    cpus: float
    gpus: float
    dashboard: str | None  # address, with the way in


def start_local_ray() -> ClusterInfo:
    """A private Ray on this machine, never somebody else's; the dashboard on loopback."""
    os.environ.update({key: value for key, value in QUIET_ENVIRONMENT.items() if key not in os.environ})
    import ray

    context: Any = ray.init(
        address="local",
        include_dashboard=True,
        dashboard_host="127.0.0.1",
        object_store_memory=OBJECT_STORE_BYTES,
        log_to_driver=False,
        logging_level=logging.ERROR,
        runtime_env={"env_vars": TRIAL_ENVIRONMENT, "worker_process_setup_hook": "sweeps.trial.warm_up"},
    )
    total = ray.cluster_resources()
    dashboard = (
        f"http://{context.dashboard_url} (token: ray get-auth-token)" if context.dashboard_url else None
    )
    return ClusterInfo(float(total.get("CPU", 0)), float(total.get("GPU", 0)), dashboard)


def local_resources() -> tuple[float, float]:
    """Processors and GPUs of this machine, without starting Ray."""
    import torch

    return float(os.cpu_count() or 1), float(torch.cuda.device_count())


@dataclass(frozen=True)
class TrialResources:
    """What one trial gets, and how many run at once."""

    cpus: float
    gpus: float
    max_concurrent: int


def share_resources(
    cpus: float, gpus: float, cpus_per_trial: float, gpus_per_trial: float | None, max_concurrent: int | None
) -> TrialResources:
    """Fill in what was not asked for.

    Args:
        cpus, gpus: what the cluster has.
        cpus_per_trial: processors (and torch threads) of a trial.
        gpus_per_trial: fractions allowed; None shares the GPUs there are among the trials that the processors allow.
        max_concurrent: trials at once; None takes as many as fit.

    Raises InputError when not even one trial fits.
    """
    if cpus_per_trial > cpus:
        raise InputError(
            f"--cpus-per-trial {cpus_per_trial:g} is more than the {cpus:g} processors there are; ask for less"
        )
    if (gpus_per_trial or 0) > gpus:
        raise InputError(
            f"--gpus-per-trial {gpus_per_trial:g} is more than the {gpus:g} GPUs there are; ask for less"
        )
    by_cpu = max(1, int(cpus // cpus_per_trial))
    if gpus_per_trial is None:
        wanted = min(by_cpu, max_concurrent or by_cpu)
        gpus_per_trial = 0.0 if gpus == 0 else 1.0 if gpus >= wanted else int(100 * gpus / wanted) / 100
    by_gpu = _fitting(gpus, gpus_per_trial) if gpus_per_trial else by_cpu
    return TrialResources(cpus_per_trial, gpus_per_trial, min(by_cpu, by_gpu, max_concurrent or by_cpu))


def _fitting(gpus: float, per_trial: float) -> int:
    """A fraction of a GPU must come from one GPU, so what is left over on each is lost."""
    return int(gpus // per_trial) if per_trial >= 1 else int(gpus) * int(1 / per_trial + 1e-9)
