"""Shared fixtures: tiny data sets made on the fly, and a cluster of three nodes on this machine."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from stclip.config import PROJECT_ROOT
from stclip.data.shards import write_manifest, write_slide
from stclip.data.splits import Splits, write_splits
from stclip.data.spot import Spot

TINY_SLIDES = {"T1": 20, "T2": 24, "T3": 33, "T4": 40, "V1": 25, "E1": 28}  # spots of each
TINY_SPLITS = Splits(train=("T1", "T2", "T3", "T4"), val=("V1",), test=("E1",))
TILE = 16  # pixels
GENES = 24
LOCAL_SH = PROJECT_ROOT / "configs" / "cluster" / "local.sh"


def tiny_spots(slide: str, count: int, seed: int) -> list[Spot]:
    """Spots on a square grid; one hidden number a spot moves its tile's colour and the order of its genes."""
    rng = np.random.default_rng(seed)
    side = int(np.ceil(np.sqrt(count)))
    hidden = rng.uniform(-1, 1, count)
    preference = np.linspace(-1, 1, GENES)
    spots = []
    for i, value in enumerate(hidden):
        level = np.array([150 + 80 * value, 120, 150 - 80 * value])
        tile = rng.normal(level, 15, (TILE, TILE, 3)).clip(0, 255).astype(np.uint8)
        expressed = np.argsort(-(3 * value * preference + rng.normal(0, 0.5, GENES)))[:12]
        sentence = " ".join(f"GENE{g:02d}" for g in expressed)
        spots.append(
            Spot(slide, f"{i // side}x{i % side}", 100.0 * (i % side), 100.0 * (i // side), sentence, tile)
        )
    return spots


@pytest.fixture
def tiny_dataset(tmp_path: Path) -> Path:
    """A shards_v1 data set `<tmp_path>/data/tiny`: 4 / 1 / 1 slides of 20 to 40 spots, tiles of 16 pixels."""
    return _write_tiny(tmp_path / "data" / "tiny")


@pytest.fixture(scope="session")
def shared_tiny_dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same data set, once for all tests that only read it."""
    return _write_tiny(tmp_path_factory.mktemp("shared") / "tiny")


def _write_tiny(folder: Path) -> Path:
    for seed, (slide, count) in enumerate(TINY_SLIDES.items()):
        write_slide(folder, slide, tiny_spots(slide, count, seed), spots_per_shard=16)
    write_splits(folder, TINY_SPLITS)
    write_manifest(folder, "tiny", TINY_SLIDES, {})
    return folder


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
            [str(LOCAL_SH), *arguments], env=self.environment, capture_output=True, text=True, timeout=200
        )

    def stranger(self) -> dict[str, str]:
        """The environment of a user who has no token."""
        return {**self.environment, "HOME": str(self.state / "nobody")}


@pytest.fixture(scope="module")
def local_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCluster]:
    """A cluster that is really started, and stopped after the module's tests. For tests marked slow."""
    home = tmp_path_factory.mktemp("home")
    state = home / "state"
    environment = {key: value for key, value in os.environ.items() if not key.startswith("RAY_")} | {
        "HOME": str(home),
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(PROJECT_ROOT),
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
