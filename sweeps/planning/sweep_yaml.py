"""What sweep.yaml says of a sweep: all that decides it, resolved."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from stclip.config import Experiment
from stclip.data.shards.donors import read_donors
from stclip.data.shards.groups import read_groups
from stclip.data.shards.splits import SPLITS, read_splits
from stclip.data.store import SpotStore
from stclip.data.store.locate import dataset_dir
from sweeps.planning.plan import SweepPlan
from sweeps.planning.versions import collect_versions
from sweeps.results.folder import plain


def describe_sweep(plan: SweepPlan, store: SpotStore, command: str) -> dict[str, Any]:
    """The content of a new sweep.yaml, as plain values."""
    space = plan.space
    experiments = {family: config.model_dump(mode="json") for family, config in plan.middles().items()}
    tree = {
        "name": plan.name,
        "command": command,
        "started": datetime.now().astimezone().isoformat(timespec="seconds"),
        "metric": space.metric,
        "mode": space.mode,
        "seed": plan.seed,
        "budget": describe_budget(plan),
        "data": describe_data(plan, store),
        "space": space.model_dump(mode="json"),
        "base": dict(plan.tree),  # what every family's experiment starts from
        "experiments": experiments,  # each family's, in the middle of its ranges
        "versions": collect_versions(),
    }
    return dict(plain(tree))


def describe_budget(plan: SweepPlan) -> dict[str, Any]:
    """How much is run, and with what."""
    return {
        "trials_per_family": plan.space.trials * plan.space.searches,
        "epochs": plan.space.epochs,
        "confirm_configs": plan.confirm_configs,
        "confirm_seeds": plan.confirm_seeds,
        "time_budget_seconds": plan.time_budget,
        "cpus_per_trial": plan.cpus_per_trial,
        "gpus_per_trial": plan.gpus_per_trial,
        "max_concurrent": plan.max_concurrent,
        "max_failures": plan.max_failures,
        "trial_timeout_seconds": plan.trial_timeout,
    }


def describe_data(plan: SweepPlan, store: SpotStore) -> dict[str, Any]:
    """Data set, fingerprint, and what each split holds."""
    config = next(iter(plan.middles().values()))
    splits = {}
    for split in ("train", "val", "test"):
        rows = store.spots(split)
        sizes = [
            int((store.slide_index[rows] == slide).sum())
            for slide in sorted(set(store.slide_index[rows].tolist()))
        ]
        splits[split] = {"slides": len(sizes), "spots": len(rows), "smallest_gallery": min(sizes, default=0)}
    return {
        "dataset": config.data.dataset,
        "fingerprint": store.path.name,
        "models": dict(plan.data.models) if plan.data else {},  # pretrained ones: name -> fingerprint
        "genes": len(store.vocabulary),
        "tile_pixels": config.data.image_size,
        "skipped_spots": {slide: count for slide, count in store.skipped.items() if count},
        "donors": donors_by_split(config),
        **groups_by_split(config),
        **splits,
    }


def donors_by_split(config: Experiment) -> dict[str, dict[str, str]]:
    """Split -> slide -> donor; empty when the data set does not say. Raises DataError for donors that cannot be used."""
    folder = dataset_dir(config.data)
    splits = read_splits(folder)
    donors = read_donors(folder, splits)
    if not donors:
        return {}
    return {split: {slide: donors[slide] for slide in getattr(splits, split)} for split in SPLITS}


def groups_by_split(config: Experiment) -> dict[str, dict[str, dict[str, str]]]:
    """`technology` and `organ` -> split -> slide -> its name, of the slides of which the manifest says it."""
    folder = dataset_dir(config.data)
    splits = read_splits(folder)
    found = {}
    for key, names in read_groups(folder).items():
        by_split = {
            s: {slide: names[slide] for slide in getattr(splits, s) if slide in names} for s in SPLITS
        }
        found[key] = by_split if any(by_split.values()) else {}
    return found
