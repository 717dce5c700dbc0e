"""Looks at the cluster from outside: its processes, and the nodes that its head knows."""

import re
import subprocess
import sys
import time

from tests.whole_sweeps.processes import below
from tests.whole_sweeps.sweep_runner import PATIENCE


def wait_for(condition):
    """Until a condition holds."""
    until = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < until, "what the test waits for has not happened"
        time.sleep(0.2)


def raylet_of(cluster, node):
    """The pid that local.sh has written down for a node."""
    return int((cluster.state / f"node-{node}").read_text().split()[0])


def cluster_processes(cluster):
    """The pids of all that local.sh started, and of what those started."""
    roots = {raylet_of(cluster, node) for node in (1, 2, 3)}
    return roots | {pid for root in roots for pid in below(root)}


def living_nodes(cluster):
    connect = f"import ray; ray.init({cluster.address!r}, log_to_driver=False, logging_level=40)"
    code = f"{connect}; print('alive:', sum(n['Alive'] for n in ray.nodes()))"
    done = subprocess.run(
        [sys.executable, "-c", code], env={**cluster.environment, "RAY_AUTH_MODE": "token"}, capture_output=True, text=True,
        timeout=PATIENCE,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return int(re.search(r"alive: (\d+)", done.stdout)[1])
