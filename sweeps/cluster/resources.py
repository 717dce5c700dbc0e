"""What each device of a trial gets, how many trials fit, and what is wrong with that before anything runs."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from stclip.data.store import SpotStore
from stclip.errors import InputError
from sweeps.cluster.connect import Node, TrialResources, share_resources
from sweeps.planning.plan import SweepPlan


def share(plan: SweepPlan, nodes: Sequence[Node]) -> TrialResources:
    """What each trial gets of these nodes. Raises InputError when not even one fits."""
    asked = (plan.cpus_per_trial, plan.gpus_per_trial, plan.max_concurrent)
    if plan.devices == 1:
        return share_resources(nodes, *asked)
    accelerators = {config.trainer.accelerator for config in plan.middles().values()}
    return share_among_groups(nodes, *asked, plan.devices, accelerators)


def share_among_groups(
    nodes: Sequence[Node],
    cpus_per_device: float,
    gpus_per_device: float | None,
    max_concurrent: int | None,
    devices: int,
    accelerators: Collection[str],
) -> TrialResources:
    """As `sweeps.cluster.connect.share_resources`, for trials of `devices` processes each, which may lie on several nodes.

    A device is a whole GPU, since NCCL refuses two processes on one. `gpus_per_device` None takes GPUs where there are any.
    `accelerators`: the `trainer.accelerator` of the families.

    Raises InputError when not even one trial fits, or a family asks for another kind of device.
    """
    by_cpu = [int(n.cpus // cpus_per_device) for n in nodes]
    if devices > sum(by_cpu):
        raise InputError(
            f"resources.devices {devices} with --cpus-per-trial {cpus_per_device:g} for each is more than the "
            f"{sum(n.cpus for n in nodes):g} processors there are; ask for fewer devices, or for less"
        )
    if gpus_per_device not in (None, 0, 1):
        raise InputError(
            f"--gpus-per-trial {gpus_per_device:g} with resources.devices {devices}: a device is one whole GPU or none; "
            "ask for 1 or 0"
        )
    gpus = [int(n.gpus) for n in nodes]
    each = _gpus_of_each(sum(gpus), gpus_per_device, accelerators)
    # A process and its GPU are on one node.
    places = sum(map(min, by_cpu, gpus)) if each else sum(by_cpu)
    if devices > places:
        raise InputError(
            f"resources.devices {devices} is more than the {sum(gpus)} GPUs there are with {cpus_per_device:g} processors "
            "for each; ask for fewer devices, or train on processors with --gpus-per-trial 0"
        )
    fitting = places // devices
    return TrialResources(cpus_per_device, each, min(fitting, max_concurrent or fitting), devices)


def _gpus_of_each(gpus: float, asked: float | None, accelerators: Collection[str]) -> float:
    if asked is None:
        asked = 0.0 if set(accelerators) == {"cpu"} else 1.0 if gpus or "gpu" in accelerators else 0.0
    unfit = "cpu" if asked else "gpu"
    if unfit in accelerators:
        raise InputError(
            f"trainer.accelerator={unfit} does not go with {asked:g} GPU for each of a trial's devices; "
            f"use trainer.accelerator=auto, or --gpus-per-trial {0 if asked else 1}"
        )
    return float(asked)


def check_spots(stores: Iterable[SpotStore], devices: int) -> None:
    """Raise InputError when a data set has fewer training spots than a trial has devices: each needs one at least."""
    for store in stores:
        spots = len(store.spots("train"))
        if spots < devices:
            raise InputError(
                f"resources.devices {devices} is more than the {spots} training spots of {store.dataset_name}; "
                "ask for fewer devices"
            )
