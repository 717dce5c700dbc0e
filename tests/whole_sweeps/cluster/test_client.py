"""The Ray client's address: the driver runs on the cluster, and this machine only watches."""

import json
import subprocess
import sys

import pytest

from stclip.files.paths import PROJECT_ROOT
from tests.whole_sweeps.sweep_runner import PATIENCE

pytestmark = pytest.mark.slow


def run_at(cluster, address, *arguments):
    command = [sys.executable, "sweeps/run.py", "--address", address, *arguments]
    return subprocess.run(command, cwd=PROJECT_ROOT, env=cluster.environment, stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, timeout=PATIENCE)  # fmt: skip


def test_a_ray_clients_address_runs_the_driver_on_the_cluster(local_cluster, tmp_path):
    address = (local_cluster.state / "client").read_text().strip()
    refused = run_at(local_cluster, address, "--space", "smoke")
    assert refused.returncode == 2 and "a job needs --results" in refused.stderr
    done = run_at(local_cluster, address, "--space", "smoke", "--trials", "1", "--confirm-seeds", "1",
                  "--results", str(tmp_path), "--name", "far")  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Sweep complete" in done.stdout and "spatial-0000 COMPLETE" in done.stdout
    summary = json.loads((tmp_path / "far" / "summary.json").read_text())
    assert {family: entry["trials"]["complete"] for family, entry in summary["families"].items()} == {
        "spatial": 1,
        "clip": 1,
    }
