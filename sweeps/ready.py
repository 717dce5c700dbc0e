"""Everything that can be found wrong before the first trial is found here."""

from __future__ import annotations

import os

from stclip.data.store import SpotStore
from stclip.loggers import check_loggers
from stclip.prepare import (
    check_hardware,
    check_installation,
    check_models,
    prepare_data,
    skipped_note,
)
from stclip.progress import waiting
from sweeps.cluster import Node, check_listening, local_resources
from sweeps.describe import donors_by_split
from sweeps.devices import check_spots
from sweeps.plan import SweepPlan
from sweeps.resume import check_same_data


def make_ready(plan: SweepPlan, quiet: bool) -> SpotStore:
    """Check the results folder, then make or open the data of every configuration. Returns the first one's store.

    Raises InputError: the folder is taken, or the data cannot be used, or are not those of a resumed sweep. The folder
    is looked at first: it costs nothing, and making data can take minutes.
    """
    with waiting("checking the machine and the command line", quiet):
        check_ready(plan)
    stores = [prepare_data(config, quiet) for config in plan.data_variants()]
    with waiting("checking the data", quiet):
        check_spots(stores, plan.devices)
        donors_by_split(next(plan.data_variants()))
        if plan.resumed:
            check_same_data(plan, stores[0])
    note = skipped_note(stores[0])
    if note and not quiet:
        print(f"data {stores[0].dataset_name}: {note}")
    return stores[0]


def check_ready(plan: SweepPlan) -> None:
    """Raise InputError for whatever would stop the sweep from starting, its data aside. Quick; makes nothing."""
    if not plan.resumed:
        (plan.mirror() or plan.results).check_free()
    check_installation()
    for config in plan.data_variants():
        check_models(config)
    for config in plan.middles().values():
        check_loggers(config.trainer.loggers)
        if plan.address is None:  # else the cluster's nodes have their own hardware
            check_hardware(config)
    if plan.address is None:
        _check_resources(plan)
    elif plan.address != "auto":
        check_listening(plan.address)


def _check_resources(plan: SweepPlan) -> None:
    """One trial fits on this machine. GPUs are counted only where the answer matters: it takes a second."""
    matters = plan.gpus_per_trial or (plan.devices > 1 and plan.gpus_per_trial is None)
    plan.share(local_resources() if matters else (Node(float(os.cpu_count() or 1), 0.0),))
