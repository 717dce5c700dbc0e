"""What the trials found becomes the tables, the summary and the report."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from sweeps.analysis.choice import find_chosen
from sweeps.analysis.compute import compute_of
from sweeps.analysis.family_stats import Source
from sweeps.analysis.groups import group_means
from sweeps.analysis.ranks import ranks_of
from sweeps.analysis.reader_warnings import find_warnings
from sweeps.analysis.retrieval_examples import ShownModel, retrieval_of
from sweeps.analysis.summary import Found, build_summary
from sweeps.driver.checks import check_data_unchanged
from sweeps.driver.finish import confirmed_rows, keep_winners, run_baselines
from sweeps.driver.phase import Outcome, Sweeping
from sweeps.planning.plan import SweepPlan
from sweeps.planning.versions import collect_versions
from sweeps.reporting.write import write_report
from sweeps.results.readings import as_trees, read_readings
from sweeps.results.record import DriverRun
from sweeps.results.records import TrialRecord, configuration_of, without_test
from sweeps.results.slide_rows import SlideRow, write_slide_rows
from sweeps.search.confirm_search import confirm_seed
from sweeps.search.space import SearchSpace
from sweeps.trial.checkpoints import newest_checkpoint


def conclude(sweep: Sweeping, run: DriverRun, outcome: Outcome) -> Mapping[str, Any]:
    """Keep the winners, run the baselines, write tables, summary and report; returns the summary.

    Nothing of the test slides is shown, and the baselines do not read them, until every training of the confirmation has
    ended: a verdict from a part of it would be a look of its own (see `sweeps.results.readings`).
    `run`: this run of the driver, which ends here.
    Raises DataChangedError for data that are not those which the sweep began with: the baselines would read others.
    """
    plan, folder = sweep.plan, sweep.folder
    check_data_unchanged(plan, sweep.store)
    donors = _donors(folder.read_sweep())
    chosen = find_chosen(plan, outcome.records)
    winners = {family: configurations[0].record for family, configurations in chosen.items()}
    keep_winners(plan, folder, winners)
    to_go = outcome.to_go or 0
    confirmed = outcome.confirmed if outcome.reads_test else list(map(without_test, outcome.confirmed))
    rows: list[SlideRow] = confirmed_rows(confirmed, chosen, donors)
    seeds = [confirm_seed(plan.seed, replicate) for replicate in range(max(1, plan.confirm_seeds))]
    baselines = run_baselines(plan, seeds, donors, test=bool(rows))
    rows += baselines.rows
    write_slide_rows(folder.test_slides_csv, rows)
    run.end(outcome.status, outcome.reason)
    found = Found(
        records=outcome.records,
        budgets=dict.fromkeys(plan.space.families, plan.space.trials * plan.space.searches),
        sources=sources_of(plan.space),
        chosen=chosen,
        metric=plan.space.metric,
        mode=plan.space.mode,
        confirm_seeds=plan.confirm_seeds,
        confirmed=confirmed,
        confirm_to_go=to_go,
        rows=rows,
        baselines=baselines.found,
        seed=plan.seed,
        margin=plan.space.margin,
        test_reads=as_trees(read_readings(folder.test_reads_json)),
    )
    summary = build_summary(found, outcome.status, sweep.record.runs.seconds(), collect_versions())
    summary |= {
        "stopped_because": outcome.reason,
        "interruptions": [asdict(one) for one in sweep.record.runs.interruptions()],
    }
    summary |= {
        "ranks": ranks_of(rows, found.sources, list(found.baselines)),
        "groups": group_means(folder.read_sweep(), rows),
        "compute": compute_of(outcome.records, outcome.confirmed, winners),
    }
    summary["warnings"] = find_warnings(folder.read_sweep(), folder.read_trials(), summary)
    folder.write_summary(summary)
    with tempfile.TemporaryDirectory(prefix="stclip-") as copies:
        shown = _shown_model(plan, summary, outcome.confirmed, Path(copies))
        folder.write_retrieval(retrieval_of(shown, donors) if shown else {})
    write_report(folder)
    return summary


def _shown_model(
    plan: SweepPlan,
    summary: Mapping[str, Any],
    confirmed: Sequence[TrialRecord],
    copies: Path,
) -> ShownModel | None:
    """The model that the report shows at work on the test slides: of the family that is best on val, its first seed.

    None where the test slides were not read, or where its checkpoint is gone.
    """
    name, sign = plan.space.metric.removeprefix("val/"), 1 if plan.space.mode == "max" else -1
    vals = {}
    for family, entry in summary["families"].items():
        if entry["test_intervals"]:
            vals[family] = entry["confirm"]["val"].get(name, -sign * math.inf)
    if not vals:
        return None
    family = max(vals, key=lambda f: sign * vals[f])
    winner = summary["families"][family]["best"]["name"]
    again = [r for r in confirmed if configuration_of(r) == winner and r.state == "COMPLETE"]
    if not again:
        return None
    first = min(again, key=lambda r: r.number)
    request = plan.request(first, test=False)
    checkpoint = newest_checkpoint(request.checkpoints, request.config(), copies)
    if checkpoint is None:
        return None
    return ShownModel(family, first.seed, request.config(), checkpoint, request.data_key)


def sources_of(space: SearchSpace) -> dict[str, Source]:
    """Family -> where its configurations come from; without a searched parameter it has only the one that is given."""
    searched: Source = "one search" if space.searches == 1 else "several searches"
    return {name: searched if family.parameters else "given" for name, family in space.families.items()}


def _donors(sweep: Mapping[str, Any]) -> dict[str, str]:
    """Slide -> donor, as it was when the sweep began."""
    by_split = (sweep.get("data") or {}).get("donors") or {}
    return {slide: donor for slides in by_split.values() for slide, donor in slides.items()}
