"""A private Ray on this machine: started, its end noticed, shut down."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

from stclip.errors import InputError
from stclip.processors import usable_processors
from sweeps.cluster.connect import (
    LOOPBACK_ENVIRONMENT,
    OBJECT_STORE_BYTES,
    QUIET_ENVIRONMENT,
    ClusterInfo,
    job_environment,
    nodes_of_ray,
    set_environment,
    way_in,
)
from sweeps.cluster.descendants import end_descendants
from sweeps.cluster.ray_folder import check_place, ray_folder
from sweeps.cluster.ray_token import require_token

# Parts of Ray that would take a fixed port, and do without when another Ray on the machine has it.
_PORTS = ("AUTOSCALER_METRIC_PORT", "DASHBOARD_METRIC_PORT")
# What Ray 2.60 says when its processes have not come up in 30 seconds, a limit that nothing sets. On a machine that is busy
# for a moment the second attempt succeeds.
_TOO_BUSY = "node timed out during startup"
_ATTEMPTS = 2
# Another of its limits, of 60 seconds, which a busy machine exceeds now and then.
_PATIENCE = {"RAY_DASHBOARD_STARTUP_TIMEOUT_S": "180"}


def start_local_ray(warm: bool = True) -> ClusterInfo:
    """A private Ray on this machine, never somebody else's; every port on loopback, behind a token.

    `warm`: each process imports at its start what trials need.

    Raises InputError when Ray cannot be started; none of its processes is left then.
    """
    require_token()
    folder = ray_folder()
    set_environment(QUIET_ENVIRONMENT | _PATIENCE | free_ports(_PORTS))
    os.environ.update(LOOPBACK_ENVIRONMENT)  # whatever was set for a cluster: this Ray is nobody else's
    attempt = 1
    while True:
        try:
            url = _init_ray(folder, warm)
            return ClusterInfo(nodes_of_ray(), way_in(url), None)
        except (
            Exception,
            SystemExit,
        ) as error:  # Ray raises many kinds, and gives up by `sys.exit` in places
            _leave_nothing()
            if attempt == _ATTEMPTS or _TOO_BUSY not in " ".join(str(error).split()):
                raise _cannot_start(error, folder) from None
        attempt += 1


def _init_ray(folder: Path, warm: bool) -> str | None:
    """Start Ray's processes; returns the dashboard's address. Raises what Ray raises."""
    import ray

    # What it says of a part that does not start is in the error, too.
    logging.getLogger("ray._private.services").setLevel(logging.CRITICAL)
    with any_agent_port(), temporary_files(folder.parents[1]):
        context: Any = ray.init(
            address="local",
            num_cpus=usable_processors(),
            include_dashboard=True,
            dashboard_host="127.0.0.1",
            object_store_memory=OBJECT_STORE_BYTES,
            log_to_driver=False,
            logging_level=logging.ERROR,
            runtime_env=job_environment(warm),
            _temp_dir=str(folder),
        )
    url: str | None = context.dashboard_url
    return url


def free_ports(names: tuple[str, ...]) -> dict[str, str]:
    """A port of this machine's loopback for each name, free now and different."""
    with ExitStack() as held:
        found = {}
        for name in names:
            listening = held.enter_context(socket.socket())
            listening.bind(("127.0.0.1", 0))
            found[name] = str(listening.getsockname()[1])
        return found


@contextmanager
def any_agent_port() -> Iterator[None]:
    """While active, `ray.init` lets a node's agent take a free port: Ray 2.60 has no argument for it.

    Its own choice, 52365, is taken where two Rays are on a machine; the second then has no logs in its dashboard.
    """
    from ray._private import parameter

    module: Any = parameter
    before = module.RayParams
    module.RayParams = partial(before, dashboard_agent_listen_port=0)
    try:
        yield
    finally:
        module.RayParams = before


@contextmanager
def temporary_files(place: Path) -> Iterator[None]:
    """While active, processes that are started make their temporary files in `place`, if TMPDIR does not do for sockets.

    Python's multiprocessing makes some in Ray's processes. RAY_TMPDIR, which has been looked at, is hidden from Ray.
    """
    before = {name: os.environ.pop(name) for name in ("TMPDIR", "RAY_TMPDIR") if name in os.environ}
    os.environ["TMPDIR"] = str(place)
    with suppress(KeyError, OSError):
        check_place(Path(before["TMPDIR"]))
        os.environ["TMPDIR"] = before["TMPDIR"]
    try:
        yield
    finally:
        del os.environ["TMPDIR"]
        os.environ.update(before)


def _leave_nothing() -> None:
    """End what a start that failed has left running."""
    with suppress(Exception):
        import ray

        ray.shutdown()
    end_descendants()


def _cannot_start(error: BaseException, folder: Path) -> InputError:
    return InputError(
        f"Ray cannot be started on this machine ({type(error).__name__}: {' '.join(str(error).split())[:500]}); look into the "
        f"newest of its logs, {folder}/session_*/logs; common reasons are a full disk, too few processes (ulimit -u) or files "
        "(ulimit -n), too little memory, and a machine that is too busy"
    )
