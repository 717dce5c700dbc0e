"""What `--list` and `--dry-run` print."""

from __future__ import annotations

import sys
from typing import Literal

from stclip.config import Experiment
from stclip.config.registry import LOSSES
from stclip.data.builtin.synthetic import SYNTHETIC
from stclip.data.store import SpotStore, open_store
from stclip.data.store.fetch import fetch_dataset
from stclip.data.store.locate import dataset_dir, list_datasets
from stclip.errors import DataError, InputError, printable
from stclip.files.addresses import is_address
from stclip.files.paths import PROJECT_ROOT
from stclip.terminal.progress import ProgressBar
from sweeps.analysis.looks import looks_factor
from sweeps.cluster.connect import TrialResources, local_resources
from sweeps.cluster.resources import check_spots, share
from sweeps.driver.checks import check_ready
from sweeps.planning.plan import SweepPlan
from sweeps.planning.resume import check_same_data
from sweeps.planning.sweep_yaml import donors_by_split
from sweeps.results.readings import read_readings
from sweeps.results.record import SweepRecord
from sweeps.search.lag import busy_at_most
from sweeps.search.rung_places import rungs_before_the_end
from sweeps.search.space import SPACES, SearchSpace, load_space
from sweeps.text import confirm_words, duration, many, value_text


def list_names() -> str:
    """Spaces, data sets and losses, a line each."""
    lines = ["spaces (--space):"]
    for path in sorted(SPACES.glob("*.yaml")):
        try:
            space = load_space(path.stem)
            lines.append(f"  {path.stem:<18}{space.about} ({_budget(space)})")
        except InputError as error:
            lines.append(f"  {path.stem:<18}cannot be used: {error}")
    lines.append("data sets (--data):")
    there = set(list_datasets(PROJECT_ROOT / "data" / "processed"))
    for name, spec in SYNTHETIC.items():
        lines.append(f"  {name:<18}built in{'' if name in there else ', made on first use'}: {spec.about}")
    lines += [f"  {name:<18}in data/processed" for name in sorted(there - SYNTHETIC.keys())]
    lines.append("losses (a family's loss.name):")
    lines += [f"  {name:<18}{entry.about}" for name, entry in LOSSES.items()]
    return "\n".join(lines)


def _budget(space: SearchSpace) -> str:
    families = len(space.families)
    searches = f" x {space.searches} searches" if space.searches > 1 else ""
    families_text = f"{families} {'family' if families == 1 else 'families'}"
    return f"{families_text}{searches} x {many(space.trials, 'trial')} x {many(space.epochs, 'epoch')}"


def dry_run(plan: SweepPlan) -> str:
    """The resolved sweep in words. Data on disk are checked, by building their store; nothing else is made, nothing run.

    Raises InputError for whatever would stop the sweep from starting.
    """
    check_ready(plan)
    stores = [_opened(config) for config in plan.data_variants() if not _to_be_made(config)]
    check_spots(stores, plan.devices)
    if stores:
        donors_by_split(plan.data_variants()[0])
    if plan.resumed and stores:
        check_same_data(plan, stores[0])
    return describe_plan(plan, stores[0] if stores else None, _resources(plan))


def _opened(config: Experiment) -> SpotStore:
    with ProgressBar("building the spot store", quiet=not sys.stdout.isatty()) as bar:
        return open_store(config.data, bar.update)


def _resources(plan: SweepPlan) -> TrialResources | None:
    """What a trial gets here; on a cluster it is known when the cluster is asked, which a dry run does not."""
    if plan.address is not None:
        return None
    return share(plan, local_resources())


def _to_be_made(config: Experiment) -> bool:
    """A built-in data set that is not on disk yet. What is at an address is fetched: its check needs it."""
    try:
        if is_address(config.data.dataset):
            fetch_dataset(config.data.dataset)
        dataset_dir(config.data)
    except DataError:
        if config.data.dataset in SYNTHETIC:
            return True
        raise
    return False


def describe_plan(plan: SweepPlan, store: SpotStore | None, resources: TrialResources | None) -> str:
    """A resolved sweep in words: families, ranges, counts, data, resources, folder."""
    space = plan.space
    total = space.trials * space.searches * len(space.families)
    lines = [
        f"sweep {plan.name}: {many(total, 'trial')} ({_budget(space)})",
        f"chosen by {space.metric} ({space.mode}); {_stopping_words(space)}; seed {plan.seed}",
        _resource_words(plan, resources)
        + (f"; time budget {duration(plan.time_budget)}" if plan.time_budget else ""),
    ]
    lines += _lag_lines(space, resources)
    for family in space.families:
        lines += _family_lines(space, family)
    lines += [
        _confirm_line(plan),
        *_reading_lines(plan),
        _data_line(plan, store),
        f"results: {printable(plan.place)}",
    ]
    return "\n".join(lines)


def _stopping_words(space: SearchSpace) -> str:
    """Where trials are stopped early: at every rung but the end."""
    rule = space.early_stopping
    rungs = rungs_before_the_end(rule.first_rung, rule.factor, space.epochs) if rule else []
    if rule is None or not rungs:
        return "early stopping within a family: off"
    places = ", ".join(map(str, rungs))
    return f"early stopping within a family: after epoch {places} the best 1 in {rule.factor} goes on"


def _resource_words(plan: SweepPlan, resources: TrialResources | None) -> str:
    group, each = (
        (f"each on {plan.devices} devices (DDP) with ", "per device") if plan.devices > 1 else ("", "each")
    )
    if resources is None:
        return f"on the cluster {plan.address}, {group}{plan.cpus_per_trial:g} CPU {each}"
    share = f"{resources.cpus:g} CPU and {resources.gpus:g} GPU"
    return f"{resources.max_concurrent} at once, {group}{share} {each}"


def _lag_lines(space: SearchSpace, resources: TrialResources | None) -> list[str]:
    most = busy_at_most(space)
    lines = [
        f"lag {space.lag}: a trial knows the trials of its family that began at least {space.lag} before it, so the table "
        f"is the same at any number of trials at once; up to {most} are kept busy"
    ]
    if resources is not None and resources.max_concurrent > most:
        lines.append(
            f"warning: {resources.max_concurrent} trials at once are more than the {most} that families x lag can keep "
            f"busy; use --max-concurrent {most}, or set a larger `lag` in the space"
        )
    elif resources is not None and resources.max_concurrent == most and space.lag > 1:
        lines.append(
            f"note: with {most} trials at once some slots wait for earlier trials to end, about a fifth of the time; "
            f"`lag: {space.lag + 1}` in the space keeps them busy, for a search that learns a little later"
        )
    return lines


def _family_lines(space: SearchSpace, name: str) -> list[str]:
    family = space.family(name)
    fixed = ", ".join(f"{key}={value_text(value)}" for key, value in family.loss.items() if key != "name")
    lines = [f"family {name}: loss {family.loss['name']}{f' ({fixed})' if fixed else ''}"]
    for key, parameter in family.parameters.items():
        low, *_, high = ends = [value_text(value) for value in parameter.ends()]
        text = " | ".join(ends) if parameter.values else f"{low} to {high}{' (log)' if parameter.log else ''}"
        lines.append(f"  {key}: {text}")
    if not family.parameters:
        lines.append("  nothing is searched: its trials differ by seed only")
    return lines


def _confirm_line(plan: SweepPlan) -> str:
    if not plan.confirm_seeds:
        return "confirmation: off (--confirm-seeds 0), so the test slides are not read"
    most = plan.configurations if plan.space.searches > 1 else min(plan.configurations, plan.space.trials)
    configs = [most if family.parameters else 1 for family in plan.space.families.values()]
    trials = many(plan.confirm_seeds * sum(configs), "trial")
    what = confirm_words(max(configs), plan.space.searches, plan.confirm_seeds)
    return f"confirmation: {what}, {trials} at most, read on the test slides"


def _reading_lines(plan: SweepPlan) -> list[str]:
    """What a further look at the test slides costs, for a sweep that has read them."""
    if not plan.resumed or not plan.confirm_seeds:
        return []
    with SweepRecord.looked_at(plan.place) as folder:
        readings = read_readings(folder.test_reads_json)
    if not readings:
        return []
    times, nth = many(len(readings), "time"), len(readings) + 1
    return [
        f"test slides: read {times} so far; with other trials, winners or seeds they are read again, and the p-values "
        f"of reading {nth} are multiplied by {looks_factor(nth):g}"
    ]


def _data_line(plan: SweepPlan, store: SpotStore | None) -> str:
    name = next(iter(plan.middles().values())).data.dataset
    if store is None:
        return f"data {name}: built in, will be made on first use"
    parts = [f"{split} {_size_words(store, split)}" for split in ("train", "val", "test")]
    skipped = sum(store.skipped.values())
    return f"data {name}: {', '.join(parts)}, {many(len(store.vocabulary), 'gene')}" + (
        f"; {many(skipped, 'broken spot')} skipped" if skipped else ""
    )


def _size_words(store: SpotStore, split: Literal["train", "val", "test"]) -> str:
    rows = store.spots(split)
    return f"{many(len(set(store.slide_index[rows].tolist())), 'slide')} / {many(len(rows), 'spot')}"
