"""What the trials found becomes the tables, the summary and the report."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from stclip.config import Experiment
from sweeps.checkpoints import newest_checkpoint
from sweeps.compute import compute_of
from sweeps.confirm import confirm_seed, find_winners
from sweeps.examples import ShownModel, retrieval_of
from sweeps.finish import confirmed_rows, keep_winners, request_of, run_baselines, unconfirmed_rows
from sweeps.groups import group_means
from sweeps.phase import Outcome, Sweeping
from sweeps.plan import SweepPlan
from sweeps.ranks import ranks_of
from sweeps.records import TrialRecord
from sweeps.report import write_report
from sweeps.slide_table import SlideRow, write_slide_rows
from sweeps.summary import Found, build_summary
from sweeps.versions import collect_versions
from sweeps.warnings_found import find_warnings


def conclude(job: Sweeping, outcome: Outcome) -> Mapping[str, Any]:
    """Keep the winners, run the baselines, write tables, summary and report; returns the summary.

    The test slides are read only when nothing is left to be chosen: by the confirmation, or, where that is turned off,
    by the winners of a search that came to its end.
    """
    plan, folder = job.plan, job.folder
    donors = _donors(folder.read_sweep())
    winners = find_winners(plan, outcome.records)
    kept = keep_winners(plan, folder, winners)
    rows: list[SlideRow] = confirmed_rows(outcome.confirmed, donors)
    if not plan.confirm_seeds and outcome.status == "complete":
        rows = unconfirmed_rows(kept, winners, donors)
    seeds = [confirm_seed(plan.seed, replicate) for replicate in range(max(1, plan.confirm_seeds))]
    baselines = run_baselines(plan, job.store, seeds, donors, test=bool(rows))
    rows += baselines.rows
    write_slide_rows(folder.test_slides_csv, rows)
    job.runs.end(outcome.status, outcome.reason)
    found = Found(
        records=outcome.records,
        budgets=dict.fromkeys(plan.space.families, plan.space.trials),
        metric=plan.space.metric,
        mode=plan.space.mode,
        confirm_seeds=plan.confirm_seeds,
        confirmed=outcome.confirmed,
        rows=rows,
        baselines=baselines.found,
        seed=plan.seed,
    )
    summary = build_summary(found, outcome.status, job.runs.seconds(), collect_versions())
    summary |= {
        "stopped_because": outcome.reason,
        "interruptions": [asdict(one) for one in job.runs.interruptions()],
    }
    summary |= {
        "ranks": ranks_of(rows, list(found.budgets), list(found.baselines), plan.seed),
        "groups": group_means(folder.read_sweep(), rows),
        "compute": compute_of(outcome.records, outcome.confirmed, winners),
    }
    summary["warnings"] = find_warnings(folder.read_sweep(), folder.read_trials(), summary)
    folder.write_summary(summary)
    with tempfile.TemporaryDirectory(prefix="stclip-") as copies:
        shown = _shown_model(plan, summary, outcome.confirmed, kept, Path(copies))
        folder.write_retrieval(retrieval_of(shown, donors) if shown else {})
    write_report(folder)
    return summary


def _shown_model(
    plan: SweepPlan,
    summary: Mapping[str, Any],
    confirmed: Sequence[TrialRecord],
    kept: Mapping[str, tuple[Experiment, Path]],
    copies: Path,
) -> ShownModel | None:
    """The model that the report shows at work on the test slides: of the family that is best on val, its first seed.

    None where the test slides were not read, or where its checkpoint is gone.
    """
    name, sign = plan.space.metric.removeprefix("val/"), 1 if plan.space.mode == "max" else -1
    vals = {}
    for family, entry in summary["families"].items():
        if entry["test_intervals"]:
            vals[family] = ((entry["confirm"] or {}).get("val") or entry["best"]["val"]).get(
                name, -sign * math.inf
            )
    if not vals:
        return None
    family = max(vals, key=lambda f: sign * vals[f])
    again = [r for r in confirmed if r.family == family and r.state == "COMPLETE"]
    if not again:
        return ShownModel(family, kept[family][0].seed, *kept[family])
    first = min(again, key=lambda r: r.number)
    request = request_of(plan, first)
    checkpoint = newest_checkpoint(request.checkpoints, request.config(), copies)
    return None if checkpoint is None else ShownModel(family, first.seed, request.config(), checkpoint)


def _donors(sweep: Mapping[str, Any]) -> dict[str, str]:
    """Slide -> donor, as it was when the sweep began."""
    by_split = (sweep.get("data") or {}).get("donors") or {}
    return {slide: donor for slides in by_split.values() for slide, donor in slides.items()}
