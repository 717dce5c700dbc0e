"""Where trials run: a private Ray on this machine, or a cluster that is there already."""

from __future__ import annotations

import logging
import os
import socket
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stclip.errors import InputError
from stclip.processors import usable_processors
from sweeps.cluster.ray_token import use_token_if_there
from sweeps.cluster.shipped_code import stage_code

# Read by Ray when it is imported or initialised, so they are set before `import ray`; a cluster has its own.
QUIET_ENVIRONMENT = {
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # each run logs for itself; Tune's copies cost 2 ms a report
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # Ctrl-C is ours: stop cleanly, keep what was cut off resumable
    "TUNE_FORCE_TRIAL_CLEANUP_S": "20",  # a trial that does not let itself be stopped is killed after this long
    "RAY_AIR_NEW_OUTPUT": "0",  # no tables of Tune's own
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # silences a notice about CUDA_VISIBLE_DEVICES
    "RAY_TRAIN_ENABLE_V2_MIGRATION_WARNINGS": "0",
    "RAY_USAGE_STATS_ENABLED": "0",  # nothing about a lab's sweep leaves the machine
    # Without its GCS Ray ends the driver after a minute. Whether Ray is gone is watched here (`sweeps.cluster.ray_watch`).
    "RAY_gcs_rpc_server_reconnect_timeout_s": "86400",
    "RAY_worker_niceness": "0",  # trials are what the machine is for; at Ray's 15 the dashboard's start-up starves them
}
# Ray takes the machine's outward address as its own and listens on all interfaces, even for a private session. With
# this switch, meant for other systems, its address is 127.0.0.1 and every port is on loopback.
LOOPBACK_ENVIRONMENT = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}
# What Tune gives its actors' environment. A job that has the same lets them take the processes that are warm already.
TRIAL_ENVIRONMENT = {"PL_DISABLE_FORK": "1", "RAY_TRAIN_ENABLE_V2_MIGRATION_WARNINGS": "0"}
OBJECT_STORE_BYTES = 128 * 1024**2  # trials exchange floats and small checkpoints through it
# Called in each process of the job as it starts. A cluster's processes have the environment of whoever started the cluster,
# such as Slurm's.
WARM_UP = "sweeps.trial.run_trial.warm_up"
COLD = "stclip.training.launchers.forget_launchers"
IN_A_JOB = "RAY_JOB_CONFIG_JSON_ENV_VAR"  # set by Ray for the driver of a submitted job
_CONNECT_SECONDS = 5.0


@dataclass(frozen=True)
class Node:
    """One machine (or raylet) of a cluster: what it has in all."""

    cpus: float
    gpus: float


@dataclass(frozen=True)
class ClusterInfo:
    """What a sweep needs to know about the Ray it runs on."""

    nodes: tuple[Node, ...]
    dashboard: str | None  # address, with the way in
    address: str | None  # None: a private Ray of this process


def connect(address: str, warm: bool = True) -> ClusterInfo:
    """A cluster that is there already; this checkout's code travels to its nodes. `warm` as in `job_environment`.

    Raises InputError: nothing listens there, it lets us not in, or its Ray or Python is another.
    """
    use_token_if_there()
    set_environment(QUIET_ENVIRONMENT)
    if address != "auto":
        check_listening(address)
    import ray

    environment = job_environment(warm)
    with tempfile.TemporaryDirectory(prefix="stclip-code-") as folder:
        if IN_A_JOB not in os.environ:  # a job's code has travelled already
            stage_code(Path(folder))
            environment |= {"working_dir": folder}
        try:
            context: Any = ray.init(
                address=_as_ray_takes_it(address),
                log_to_driver=False,
                logging_level=logging.ERROR,
                runtime_env=environment,
            )
        except Exception as error:  # Ray raises many kinds, RuntimeError and its own among them
            raise _cannot_connect(address, error) from None
    return ClusterInfo(nodes_of_ray(), way_in(context.dashboard_url), address)


def way_in(url: str | None) -> str | None:
    """A dashboard's address and how to get in; None without a dashboard."""
    if not url:
        return None
    token = os.environ.get("RAY_AUTH_MODE") == "token"
    return f"open http://{url}" + (", paste the token from `ray get-auth-token`" if token else "")


def job_environment(warm: bool) -> dict[str, Any]:
    """The runtime environment of all processes of the sweep. `warm`: each imports at its start what trials need."""
    return {"env_vars": TRIAL_ENVIRONMENT, "worker_process_setup_hook": WARM_UP if warm else COLD}


def set_environment(values: dict[str, str]) -> None:
    """Set what is not set."""
    for key, value in values.items():
        os.environ.setdefault(key, value)


def nodes_of_ray() -> tuple[Node, ...]:
    """The nodes of the Ray that this process is connected to."""
    import ray

    alive = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    return tuple(Node(float(has.get("CPU", 0)), float(has.get("GPU", 0))) for has in alive)


def check_listening(address: str) -> None:
    """Raise InputError where a port is closed: Ray tries for a long time then, and says little."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_CONNECT_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise InputError(
            f"{_told(address)}: nothing answers there ({error}); is the cluster up, and this its address (`ray status`)?"
        ) from None


def _as_ray_takes_it(address: str) -> str:
    """An address of this machine's loopback in capitals where the cluster listens nowhere else.

    Ray 2.60 puts the machine's outward address in place of `localhost` and `127.0.0.1`, and then tries for minutes; it
    leaves `LOCALHOST` alone.
    """
    from ray.util import get_node_ip_address

    host, _, port = address.rpartition(":")
    if host.lower() not in ("localhost", "127.0.0.1"):
        return address
    try:
        socket.create_connection((get_node_ip_address(), int(port)), timeout=_CONNECT_SECONDS).close()
    except OSError:
        return f"LOCALHOST:{port}"
    return address


def _told(address: str) -> str:
    """An address as the user gave it: by the flag, or by the environment, which counts without the flag."""
    return f"RAY_ADDRESS={address}" if os.environ.get("RAY_ADDRESS") == address else f"--address {address}"


def _leave_out() -> str:
    return "unset RAY_ADDRESS" if os.environ.get("RAY_ADDRESS") == "auto" else "leave --address out"


def _cannot_connect(address: str, error: Exception) -> InputError:
    text = " ".join(str(error).split())
    if "uthenticat" in text:
        return InputError(
            f"{_told(address)}: the cluster asks for a token and did not take ours; copy its ~/.ray/auth_token "
            "(on its head: ray get-auth-token) to this machine, or set RAY_AUTH_TOKEN"
        )
    if address == "auto":
        return InputError(
            f"{_told(address)}: no running Ray cluster was found on this machine ({text[:200]}); start one with "
            f"configs/cluster/local.sh or `ray start --head`, or {_leave_out()} for a private one"
        )
    return InputError(f"{_told(address)}: cannot join the cluster: {type(error).__name__}: {text[:400]}")


def local_resources() -> tuple[Node, ...]:
    """This machine, without starting Ray."""
    import torch

    return (Node(float(usable_processors()), float(torch.cuda.device_count())),)


@dataclass(frozen=True)
class TrialResources:
    """What each device of one trial gets, and how many trials run at once."""

    cpus: float
    gpus: float
    max_concurrent: int
    devices: int = 1


def share_resources(
    nodes: Sequence[Node], cpus_per_trial: float, gpus_per_trial: float | None, max_concurrent: int | None
) -> TrialResources:
    """Fill in what was not asked for. A trial runs on one node.

    Args:
        nodes: what the cluster has.
        cpus_per_trial: processors (and torch threads) of a trial.
        gpus_per_trial: fractions allowed; None shares the GPUs there are among the trials that the processors allow.
        max_concurrent: trials at once; None takes as many as fit.

    Raises InputError when not even one trial fits on any node.
    """
    cpus, gpus = max((n.cpus for n in nodes), default=0.0), max((n.gpus for n in nodes), default=0.0)
    what = "there are" if len(nodes) == 1 else "the largest node has"
    if cpus_per_trial > cpus:
        raise InputError(
            f"--cpus-per-trial {cpus_per_trial:g} is more than the {cpus:g} processors {what}; ask for less"
        )
    if (gpus_per_trial or 0) > gpus:
        raise InputError(
            f"--gpus-per-trial {gpus_per_trial:g} is more than the {gpus:g} GPUs {what}; ask for less"
        )
    by_cpu = sum(int(n.cpus // cpus_per_trial) for n in nodes)
    if gpus_per_trial is None:
        gpus_per_trial = _share_of_gpus(nodes, min(by_cpu, max_concurrent or by_cpu))
    fitting = sum(min(int(n.cpus // cpus_per_trial), _by_gpu(n, gpus_per_trial)) for n in nodes)
    if fitting < 1:
        raise InputError(
            f"no node has both {cpus_per_trial:g} processors and {gpus_per_trial:g} GPUs; ask for less with "
            "--cpus-per-trial or --gpus-per-trial"
        )
    return TrialResources(cpus_per_trial, gpus_per_trial, min(fitting, max_concurrent or fitting))


def _share_of_gpus(nodes: Sequence[Node], trials: int) -> float:
    gpus = sum(n.gpus for n in nodes)
    return 0.0 if gpus == 0 else 1.0 if gpus >= trials else max(0.01, int(100 * gpus / trials) / 100)


def _by_gpu(node: Node, per_trial: float) -> int:
    """A fraction of a GPU must come from one GPU, so what is left over on each is lost."""
    if per_trial == 0:
        return int(1e9)
    return int(node.gpus // per_trial) if per_trial >= 1 else int(node.gpus) * int(1 / per_trial + 1e-9)
