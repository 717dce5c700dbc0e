"""Before the first trial on a cluster: every node sees the results folder and holds the same data."""

from __future__ import annotations

import socket
import uuid
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from stclip.config import Experiment
from stclip.configio import validate
from stclip.data.store import SpotStore
from stclip.errors import InputError, printable
from sweeps.plan import SweepPlan


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

    probe = plan.folder / f".probe-{uuid.uuid4().hex[:8]}"
    probe.touch()
    try:
        look = ray.remote(num_cpus=0, max_retries=0)(look_around)
        configs = [config.model_dump(mode="json") for config in plan.data_variants()]
        tasks = {
            node["NodeID"]: look.options(
                scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
            ).remote(str(probe), configs)
            for node in ray.nodes()
            if node["Alive"]
        }
        for node_id, task in tasks.items():
            _judge(node_id, _result(task), plan, store)
    finally:
        for path in plan.folder.glob(f"{probe.name}*"):
            path.unlink(missing_ok=True)


def look_around(probe: str, configs: list[dict[str, Any]]) -> dict[str, Any]:
    """What this node is like, as a `NodeState`; runs on it."""
    from stclip.prepare import prepare_data

    host = socket.gethostname()
    path = Path(probe)
    if not path.is_file():
        return asdict(
            NodeState(
                host,
                None,
                f"does not see the results folder {path.parent}; use a folder that all nodes share",
            )
        )
    try:
        path.with_name(f"{path.name}-{uuid.uuid4().hex[:8]}").touch()
        stores = [prepare_data(validate(Experiment, tree, "experiment"), quiet=True) for tree in configs]
    except InputError as error:
        return asdict(NodeState(host, None, str(error)))
    except OSError as error:
        return asdict(NodeState(host, None, f"cannot write into {path.parent} ({error.strerror or error})"))
    return asdict(NodeState(host, stores[0].path.name, None))


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
