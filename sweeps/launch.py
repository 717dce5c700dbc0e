"""One sweep from the first trial to the report: Ray started, trials run and watched, winners read, results written."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from datetime import datetime
from typing import TYPE_CHECKING, Any

from rich.console import Console

from stclip.data.store import SpotStore
from sweeps.cluster import ClusterInfo, TrialResources, share_resources, start_local_ray
from sweeps.plan import SweepPlan
from sweeps.records import TrialRecord, best_record
from sweeps.results import ResultsFolder
from sweeps.stopping import InterruptHandler, StopSwitch
from sweeps.table import final_table
from sweeps.versions import collect_versions
from sweeps.view import FamilyStatus, LiveView, Snapshot

if TYPE_CHECKING:
    from sweeps.search import FamilySearch

CSV_SECONDS = 2.0  # trials.csv is rewritten at most this often while the sweep runs


def run_sweep(plan: SweepPlan, store: SpotStore, command: str, quiet: bool) -> int:
    """Run a resolved sweep whose data are ready. Returns the exit status: 0 when every family has a winner, else 1.

    Raises InputError when the results folder is taken or cannot be written, or the machine is too small for one trial.
    """
    start = time.monotonic()
    folder = ResultsFolder(plan.folder)
    folder.create(describe_sweep(plan, store, command))
    console = Console()
    switch = StopSwitch(plan.time_budget, lambda reason: None if quiet else console.print(reason))
    with InterruptHandler(switch):
        with _spinner(None if quiet else console, "starting Ray"):
            cluster, resources, search = _start(plan, folder)
        reason = _search(plan, folder, search, switch, cluster, resources, quiet)
        records = search.snapshot()
        status = "complete" if reason is None else "interrupted"
        summary = _finish(plan, folder, store, records, status, start, console if not quiet else None)
    places = [
        ("results", str(folder.path)),
        ("report", str(folder.report_md)),
        ("trials", str(folder.trials_csv)),
        ("models", str(folder.path / "best")),
        ("study", f"{folder.study_db} (opens in optuna-dashboard)"),
    ]
    console.print(final_table(summary, places))
    return 0 if all(entry["best"] for entry in summary["families"].values()) else 1


def describe_sweep(plan: SweepPlan, store: SpotStore, command: str) -> dict[str, Any]:
    """What sweep.yaml holds: all that decides the sweep, resolved."""
    space = plan.space
    experiments = {family: config.model_dump(mode="json") for family, config in plan.middles().items()}
    return {
        "name": plan.name,
        "command": command,
        "started": datetime.now().astimezone().isoformat(timespec="seconds"),
        "metric": space.metric,
        "mode": space.mode,
        "seed": plan.seed,
        "budget": {
            "trials_per_family": space.trials,
            "epochs": space.epochs,
            "time_budget_seconds": plan.time_budget,
            "cpus_per_trial": plan.cpus_per_trial,
            "gpus_per_trial": plan.gpus_per_trial,
            "max_concurrent": plan.max_concurrent,
        },
        "data": describe_data(plan, store),
        "space": space.model_dump(mode="json"),
        "base": dict(plan.tree),  # what every family's experiment starts from
        "experiments": experiments,  # each family's, in the middle of its ranges
        "versions": collect_versions(),
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
        "genes": len(store.vocabulary),
        "tile_pixels": config.data.image_size,
        "skipped_spots": {slide: count for slide, count in store.skipped.items() if count},
        **splits,
    }


def _spinner(console: Console | None, text: str) -> AbstractContextManager[object]:
    """Something that moves while a person waits; nothing when quiet or not on a terminal."""
    if console is None or not console.is_terminal:
        return nullcontext()
    return console.status(text, spinner="dots")


def _start(plan: SweepPlan, folder: ResultsFolder) -> tuple[ClusterInfo, TrialResources, FamilySearch]:
    """Start Ray and open the studies at the same time, since each takes seconds."""
    with ThreadPoolExecutor(1) as beside:
        opening = beside.submit(_open_search, plan, folder)
        cluster = start_local_ray()
        shared = share_resources(
            cluster.cpus, cluster.gpus, plan.cpus_per_trial, plan.gpus_per_trial, plan.max_concurrent
        )
        return cluster, shared, opening.result()


def _open_search(plan: SweepPlan, folder: ResultsFolder) -> FamilySearch:
    import optuna

    from sweeps.search import FamilySearch, study_storage

    optuna.logging.set_verbosity(optuna.logging.WARNING)  # the view says it
    search = FamilySearch(plan.space, study_storage(folder.study_db), plan.seed)
    search.adopt()
    return search


def _search(
    plan: SweepPlan,
    folder: ResultsFolder,
    search: FamilySearch,
    switch: StopSwitch,
    cluster: ClusterInfo,
    resources: TrialResources,
    quiet: bool,
) -> str | None:
    """All trials. Returns why the search stopped early, None if it did not."""
    import ray

    from sweeps.tuning import run_tuner

    view = LiveView(
        snapshots(plan, search.snapshot),
        results=folder.path,
        dashboard=cluster.dashboard,
        metric=plan.space.metric,
        time_budget=plan.time_budget,
        quiet=quiet,
    )
    switch.on_stop = view.note
    parameters = [key for family in plan.space.families.values() for key in family.parameters]

    def write_csv() -> None:
        folder.write_trials_csv(search.snapshot(), parameters)

    try:
        with view:
            run_tuner(plan, search, switch, resources, folder, _throttled(write_csv, CSV_SECONDS))
    finally:
        write_csv()
        ray.shutdown()
    return switch.reason


def _throttled(work: Callable[[], None], seconds: float) -> Callable[[], None]:
    last = [0.0]

    def perhaps() -> None:
        if time.monotonic() - last[0] >= seconds:
            work()
            last[0] = time.monotonic()

    return perhaps


def snapshots(plan: SweepPlan, records_now: Callable[[], list[TrialRecord]]) -> Callable[[], Snapshot]:
    """A function that says where the sweep stands; each call reports the trials that ended since the one before."""
    space = plan.space
    ended: set[str] = {r.name for r in records_now() if r.state != "RUNNING"}

    def snapshot() -> Snapshot:
        records = records_now()
        news = [r for r in records if r.state != "RUNNING" and r.name not in ended]
        ended.update(r.name for r in news)
        families = {family: _status(plan, family, records) for family in space.families}
        return Snapshot(families, news)

    return snapshot


def _status(plan: SweepPlan, family: str, records: list[TrialRecord]) -> FamilyStatus:
    states = [r.state for r in records if r.family == family]
    best = best_record(records, family, plan.space.metric, plan.space.mode)
    return FamilyStatus(
        budget=plan.space.trials,
        complete=states.count("COMPLETE"),
        pruned=states.count("PRUNED"),
        failed=states.count("FAIL"),
        running=states.count("RUNNING"),
        best=best,
    )


def _finish(
    plan: SweepPlan,
    folder: ResultsFolder,
    store: SpotStore,
    records: list[TrialRecord],
    status: str,
    start: float,
    console: Console | None,
) -> Mapping[str, Any]:
    """Read the test slides with the winners, run the baselines, write summary and report."""
    from sweeps.finish import run_baselines, test_winners
    from sweeps.report import write_report
    from sweeps.summary import build_summary

    with _spinner(console, "reading the test slides with the winners"):
        tests = test_winners(plan, folder, records)
        baselines = run_baselines(plan, store)
    summary = build_summary(
        records,
        dict.fromkeys(plan.space.families, plan.space.trials),
        plan.space.metric,
        plan.space.mode,
        tests,
        baselines,
        status,
        time.monotonic() - start,
        collect_versions(),
    )
    folder.write_summary(summary)
    write_report(folder)
    return summary
