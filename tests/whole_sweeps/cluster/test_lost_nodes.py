"""A node is lost: its trials go on elsewhere, and the cluster says so. These tests come last: they break the cluster."""

from pathlib import Path

import pytest

from tests.whole_sweeps.cluster.nodes import asked, cluster_processes, living_nodes, raylet_of, wait_for
from tests.whole_sweeps.processes import below, command_of
from tests.whole_sweeps.sweep_runner import BOTH

pytestmark = pytest.mark.slow
EPOCHS = 3
NAMES = {f"{family}-{number:04d}" for family in BOTH for number in range(2)}


def test_trials_of_a_lost_node_go_on_elsewhere(runner, local_cluster, cluster_hooks):
    """Every trial is held at its second report until the node is lost."""
    known = trial_actors(local_cluster).keys()
    space = runner.space("lost", BOTH, trials=2, epochs=EPOCHS)
    before = cluster_hooks.held()
    cluster_hooks.hold_again()
    process = runner.start(
        space, "lost", "--address", local_cluster.address, environment=local_cluster.environment
    )

    def held_there():
        return (cluster_hooks.held() - before) & below(raylet_of(local_cluster, 2))

    pids = runner.wait_until(held_there, process)
    gone = {command_of(pid).removeprefix("ray::") for pid in pids}
    assert gone <= NAMES
    killed = local_cluster.script("kill-node", "2")
    assert killed.returncode == 0, killed.stderr
    runner.wait_until(lambda: {command_of(pid) for pid in pids} == {""}, process)  # they notice, and end
    cluster_hooks.release()
    ended = runner.end(process)
    # No page of the dead raylet's log. That the node is lost is said only if the head knows before the sweep is over.
    assert "Raylet" not in ended.out
    rows = {row["name"]: row for row in ended.rows()}
    assert rows.keys() == NAMES
    assert {(row["state"], int(row["epochs"])) for row in rows.values()} == {("COMPLETE", EPOCHS)}
    for name in gone:
        assert (ended.folder / "ray" / "0001" / name / "error.txt").exists(), f"{name} never noticed"

    def listed():
        actors = trial_actors(local_cluster)
        return {actors[actor] for actor in actors.keys() - known}

    wait_for(lambda: listed() == NAMES)  # the dashboard lists them by their trials' names, a little later


def trial_actors(cluster):
    """Id -> name, of the trials' actors in the dashboard."""
    actors = asked(cluster, "/logical/actors")["data"]["actors"]
    return {key: actor["reprName"] for key, actor in actors.items() if actor["actorClass"] == "StclipTrial"}


def test_a_lost_node_is_missed_and_stop_leaves_nothing(local_cluster):
    local_cluster.script("kill-node", "3")
    wait_for(lambda: living_nodes(local_cluster) == 1)
    for node in (2, 3):
        wait_for(lambda node=node: f"node {node} is gone" in local_cluster.script("status").stdout)
    assert "a cluster is running already" in local_cluster.script("start").stderr
    processes = cluster_processes(local_cluster)
    short = Path((local_cluster.state / "short").read_text().strip())
    assert local_cluster.script("stop").returncode == 0
    assert not [pid for pid in processes if Path(f"/proc/{pid}/fd/0").exists()]
    assert not short.exists()
    assert local_cluster.script("status").returncode == 1
    assert (local_cluster.state.parent / ".ray" / "auth_token").exists()
