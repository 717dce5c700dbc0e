"""A cluster of three nodes on this machine, one for all tests of this folder; those that break it come last."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from stclip.files.paths import PROJECT_ROOT
from tests.whole_sweeps.moments import Hooks, Moment
from tests.whole_sweeps.sweep_runner import PATIENCE

LOCAL_SH = PROJECT_ROOT / "configs" / "cluster" / "local.sh"
BREAKS_THE_CLUSTER = "test_lost_nodes.py"


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = [item for item in items if item.path.parent == Path(__file__).parent]
    in_order = sorted(here, key=lambda item: item.path.name == BREAKS_THE_CLUSTER)
    places = [place for place, item in enumerate(items) if item in here]
    for place, item in zip(places, in_order, strict=True):
        items[place] = item


@dataclass(frozen=True)
class LocalCluster:
    """Three nodes of `configs/cluster/local.sh`, with a token and a state folder of their own."""

    address: str  # for ray.init
    dashboard: str
    token: str
    state: Path
    environment: dict[str, str]  # of a user who has the token

    def script(self, *arguments: str) -> subprocess.CompletedProcess:
        return subprocess.run(
            [str(LOCAL_SH), *arguments],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )

    def stranger(self) -> dict[str, str]:
        """The environment of a user who has no token."""
        return {**self.environment, "HOME": str(self.state / "nobody")}


@pytest.fixture(scope="session")
def cluster_hooks(tmp_path_factory: pytest.TempPathFactory) -> Hooks:
    """Of the cluster's processes: a trial is held at its second report, unless all are released."""
    hooks = Hooks(tmp_path_factory.mktemp("hooks"), PROJECT_ROOT)
    hooks.release()
    return hooks


@pytest.fixture(scope="session")
def local_cluster(tmp_path_factory: pytest.TempPathFactory, cluster_hooks: Hooks) -> Iterator[LocalCluster]:
    """A cluster that is really started, once for all tests of this folder, and stopped after them."""
    home = tmp_path_factory.mktemp("home")
    state = home / "state"
    environment = {key: value for key, value in os.environ.items() if not key.startswith("RAY_")} | {
        "HOME": str(home),
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        **cluster_hooks.environment(Moment("sweeps.trial.run_trial:report_to_tune", "hold", 2)),
        "STCLIP_LOCAL_CLUSTER": str(state),
        "STCLIP_CACHE": str(home / "cache"),
    }
    gcs, dashboard, client = free_ports(3)
    cluster = LocalCluster(f"LOCALHOST:{gcs}", f"http://127.0.0.1:{dashboard}", "", state, environment)
    ports = ("--port", gcs, "--dashboard-port", dashboard, "--client-port", client)
    try:
        started = cluster.script("start", *map(str, ports), "--cpus-per-node", "1")
        assert started.returncode == 0, started.stdout + started.stderr
        yield replace(cluster, token=(home / ".ray" / "auth_token").read_text())
    finally:
        cluster.script("stop")


def free_ports(count: int) -> list[int]:
    """Ports of the loopback that nobody listens on."""
    with ExitStack() as stack:
        found = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in found:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in found]
