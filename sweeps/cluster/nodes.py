"""Before the first trial on a cluster: every node can write where the results go, and holds the same data."""

from __future__ import annotations

import socket
import uuid
from dataclasses import asdict, dataclass
from typing import Any

from stclip.config import Experiment
from stclip.config.load import validate
from stclip.data.store import SpotStore
from stclip.errors import InputError, printable
from stclip.files.addresses import is_address, open_address
from sweeps.planning.plan import SweepPlan


@dataclass(frozen=True)
class NodeState:
    """What a node found: its `host`, the data's `fingerprint`, and the first thing that is wrong there."""

    host: str
    fingerprint: str | None
    problem: str | None


def prepare_nodes(plan: SweepPlan, store: SpotStore) -> None:
    """Make or open the data on each node, once, and see that it can write where the results go.

    Raises InputError that names the first node on which a trial could not run. A node that joins later makes its
    data ready with its first trial.
    """
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    remote, probe = open_address(plan.place), f".probe-{uuid.uuid4().hex[:8]}"
    remote.create(f"{probe}/driver", b"")
    try:
        look = ray.remote(num_cpus=0, max_retries=0)(look_around)
        configs = [config.model_dump(mode="json") for config in plan.data_variants()]
        tasks = {
            node["NodeID"]: look.options(
                scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
            ).remote(plan.place, probe, configs)
            for node in ray.nodes()
            if node["Alive"]
        }
        for node_id, task in tasks.items():
            _judge(node_id, _result(task), plan, store)
    finally:
        remote.remove(probe)


def look_around(place: str, probe: str, configs: list[dict[str, Any]]) -> dict[str, Any]:
    """What this node is like, as a `NodeState`; runs on it.

    Args:
        place: the folder or address of the results.
        probe: a folder there in which the driver has put a file and the node puts another.
        configs: experiments whose data the trials read.
    """
    from stclip.training.prepare import prepare_data

    host = socket.gethostname()
    try:
        problem = _place_problem(place, probe)
        stores = (
            []
            if problem
            else [prepare_data(validate(Experiment, tree, "experiment"), quiet=True) for tree in configs]
        )
    except InputError as error:
        return asdict(NodeState(host, None, str(error)))
    return asdict(NodeState(host, stores[0].path.name if stores else None, problem))


def _place_problem(place: str, probe: str) -> str | None:
    """Why trials on this node could not write their results, if so."""
    remote = open_address(place, "choose a folder with --results")
    advice = "give this node credentials for it" if is_address(place) else "use a folder that all nodes share"
    try:
        if not remote.exists(f"{probe}/driver"):
            return f"does not see the results at {place}; {advice}"
        remote.create(f"{probe}/{uuid.uuid4().hex[:8]}", b"")
    except Exception as error:  # of whatever kind the file system has
        return f"cannot write the results to {place} ({type(error).__name__}: {error}); {advice}"
    return None


def _result(task: Any) -> NodeState | str:
    import ray

    try:
        return NodeState(**ray.get(task))
    except ray.exceptions.RayError as error:  # the code or a package is missing there, or the node has gone
        return printable(str(error))[-300:]


def _judge(node_id: str, state: NodeState | str, plan: SweepPlan, store: SpotStore) -> None:
    if isinstance(state, str):
        raise InputError(f"node {node_id[:8]} of {plan.address}: a first task failed there: {state}")
    where = f"node {node_id[:8]} ({state.host}) of {plan.address}"
    if state.problem is not None:
        raise InputError(f"{where}: {state.problem}")
    if state.fingerprint != store.path.name:
        raise InputError(
            f"{where}: its copy of the data set differs from the driver's (fingerprint {state.fingerprint}, here "
            f"{store.path.name}); use one shared folder, or copies with equal contents and times (cp -a, rsync -a)"
        )
