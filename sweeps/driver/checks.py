"""Everything that can be found wrong before the first trial is found here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from stclip.config import Experiment
from stclip.data.builtin.synthetic import SYNTHETIC
from stclip.data.store import SpotStore, check_content
from stclip.data.store.data_key import DataState, changed
from stclip.data.store.locate import dataset_dir
from stclip.files.addresses import is_address
from stclip.files.paths import home_folder
from stclip.processors import usable_processors
from stclip.terminal.progress import waiting
from stclip.training.loggers import check_loggers
from stclip.training.prepare import (
    check_hardware,
    check_installation,
    check_models,
    prepare_data,
    skipped_note,
)
from sweeps.cluster.connect import Node, check_listening, local_resources
from sweeps.cluster.ray_token import check_token
from sweeps.cluster.resources import check_spots, share
from sweeps.planning.plan import SweepPlan
from sweeps.planning.resume import check_same_data
from sweeps.planning.sweep_yaml import donors_by_split
from sweeps.results.record import SweepRecord


def make_ready(plan: SweepPlan, quiet: bool) -> tuple[SweepPlan, SpotStore]:
    """Check the results folder, then make or open the data of every configuration.

    Returns the plan with the state of the data, which its trials must find them in, and the first configuration's store.
    Raises InputError: the folder is taken, or the data cannot be used, or are not those of a resumed sweep. The folder
    is looked at first: it costs nothing, and making data can take minutes.
    """
    with waiting("checking the machine and the command line", quiet):
        check_ready(plan)
    stores = [prepare_data(config, quiet) for config in plan.data_variants()]
    with waiting("checking the data", quiet):
        plan = replace(plan, data=DataState.of(plan.data_variants()))
        _check_stores(plan, stores)
        check_spots(stores, plan.devices)
        donors_by_split(plan.data_variants()[0])
        if plan.resumed:
            check_same_data(plan, stores[0])
    note = skipped_note(stores[0])
    if note and not quiet:
        print(f"data {stores[0].dataset_name}: {note}")
    return plan, stores[0]


def _check_stores(plan: SweepPlan, stores: Sequence[SpotStore]) -> None:
    """Raise DataChangedError when the state is not that of the stores, which were opened before."""
    for config, store in zip(plan.data_variants(), stores, strict=True):
        key = plan.data_key(config)
        if key is not None and key.store != store.path.name:
            raise changed(f"data set '{config.data.dataset}'", "shards, their times or the split files")


def check_data_unchanged(plan: SweepPlan, store: SpotStore) -> None:
    """Raise DataChangedError when the data are not those that the trials read, DataError for a store that is damaged."""
    if plan.data is not None and DataState.of(plan.data_variants()) != plan.data:
        raise changed(
            "what the trials read", "shards, their times, the split files or a pretrained model's files"
        )
    check_content(store)


def check_ready(plan: SweepPlan) -> None:
    """Raise InputError for whatever would stop the sweep from starting, what its data hold aside.

    Makes nothing. Quick but for pretrained models, which are loaded.
    """
    home_folder()  # Ray and torch want one, and say it in tracebacks
    check_token(private=plan.address is None)
    if not plan.resumed:
        SweepRecord.check_free(plan.place)
    _check_data_set(plan.data_variants()[0])
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


def _check_data_set(config: Experiment) -> None:
    """A data set that belongs on this machine is there: of all that may be missing, that is told first."""
    if not is_address(config.data.dataset) and config.data.dataset not in SYNTHETIC:
        dataset_dir(config.data)


def _check_resources(plan: SweepPlan) -> None:
    """One trial fits on this machine. GPUs are counted only where the answer matters: it takes a second."""
    matters = plan.gpus_per_trial or (plan.devices > 1 and plan.gpus_per_trial is None)
    share(plan, local_resources() if matters else (Node(float(usable_processors()), 0.0),))
