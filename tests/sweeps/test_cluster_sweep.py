"""Whole sweeps on a cluster of three nodes: a node lost with trials on it, and the Ray client's address."""

import json
import subprocess
import sys
import time

import pytest

from stclip.config import PROJECT_ROOT
from tests.sweeps.sweep_runner import CLIP, PATIENCE, SPATIAL

pytestmark = pytest.mark.slow


def trials_on(cluster, node):
    """The trials that run below a node's raylet now, by the titles of their processes."""
    listing = subprocess.run(
        ["ps", "-eo", "pid=,ppid=,args="], capture_output=True, text=True, check=True
    ).stdout
    processes = {
        int(pid): (int(parent), args)
        for pid, parent, args in (line.split(None, 2) for line in listing.splitlines())
    }
    root = int((cluster.state / f"node-{node}").read_text().split()[0])

    def is_below(pid):
        while pid in processes and pid != root:
            pid = processes[pid][0]
        return pid == root

    titles = {
        pid: args.split()[0].removeprefix("ray::")
        for pid, (_, args) in processes.items()
        if args.startswith("ray::")
    }
    return {
        title for pid, title in titles.items() if title.startswith(("spatial-0", "clip-0")) and is_below(pid)
    }


def test_trials_of_a_lost_node_go_on_elsewhere(runner, local_cluster):
    space = runner.space("lost", {"spatial": SPATIAL, "clip": CLIP}, trials=2, epochs=60)
    process = runner.start(
        space, "lost", "--address", local_cluster.address, environment=local_cluster.environment
    )
    until = time.monotonic() + PATIENCE
    while not (gone := trials_on(local_cluster, 2)):
        assert process.poll() is None and time.monotonic() < until, runner.output("lost")
        time.sleep(0.1)
    killed = local_cluster.script("kill-node", "2")
    assert killed.returncode == 0, killed.stderr
    ended = runner.end(process, "lost")
    assert ended.code == 0, ended.out + ended.err
    # No page of the dead raylet's log. That the node is lost is said only if the head knows before the sweep is over.
    assert "Raylet" not in ended.out
    rows = {row["name"]: row for row in ended.rows()}
    assert {row["state"] for row in rows.values()} == {"COMPLETE"} and len(rows) == 4
    assert {int(row["epochs"]) for row in rows.values()} == {60}
    for name in gone:
        assert (ended.folder / "ray" / "0001" / name / "error.txt").exists(), f"{name} never noticed"


def run_at(cluster, address, *arguments):
    command = [sys.executable, "sweeps/run.py", "--address", address, *arguments]
    return subprocess.run(command, cwd=PROJECT_ROOT, env=cluster.environment, stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, timeout=PATIENCE)  # fmt: skip


def test_a_ray_clients_address_runs_the_driver_on_the_cluster(local_cluster, tmp_path):
    address = (local_cluster.state / "client").read_text().strip()
    refused = run_at(local_cluster, address, "--space", "smoke")
    assert refused.returncode == 2 and "a job needs --results" in refused.stderr
    done = run_at(local_cluster, address, "--space", "smoke", "--trials", "2", "--confirm-seeds", "1",
                  "--results", str(tmp_path), "--name", "far")  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Sweep complete" in done.stdout and "spatial-0001 COMPLETE" in done.stdout
    summary = json.loads((tmp_path / "far" / "summary.json").read_text())
    assert {family: entry["trials"]["complete"] for family, entry in summary["families"].items()} == {
        "spatial": 2,
        "clip": 2,
    }
