"""Looks at the cluster from outside: its processes, and the nodes that its head knows."""

import json
import time
import urllib.request

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


def asked(cluster, path):
    """The JSON that the dashboard answers to somebody with the token."""
    request = urllib.request.Request(
        cluster.dashboard + path, headers={"Authorization": f"Bearer {cluster.token}"}
    )
    with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
        return json.load(answer)


def living_nodes(cluster):
    """How many nodes the head takes for alive."""
    nodes = asked(cluster, "/api/v0/nodes")["data"]["result"]["result"]
    return sum(node["state"] == "ALIVE" for node in nodes)
