"""Which configurations stand for a family: the best ones of its search, each with the weight that it has among them."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np

from sweeps.analysis.family_stats import winner_weights
from sweeps.results.records import Chosen, TrialRecord

if TYPE_CHECKING:
    from sweeps.planning.plan import SweepPlan


def choose(
    records: Sequence[TrialRecord], family: str, metric: str, mode: Literal["max", "min"], count: int
) -> list[Chosen]:
    """A family's best `count` configurations by `metric`, best first; none without a complete trial.

    Trials with equal parameters are one configuration, whose weight is the sum of theirs. Of equal trials the lower
    number is the better one. A trial that was pruned or failed is one of the n that are drawn again, behind all others.
    """
    own = [record for record in records if record.family == family]
    sign = 1.0 if mode == "min" else -1.0
    done = [
        record
        for record in own
        if record.state == "COMPLETE" and math.isfinite(record.metrics.get(metric, math.nan))
    ]
    if not done:
        return []
    done.sort(key=lambda record: (sign * record.metrics[metric], record.number))
    ended = sum(record.state != "RUNNING" for record in own)
    weights = winner_weights(np.arange(len(done)), ended)
    found: dict[str, Chosen] = {}
    for record, weight in zip(done, weights.tolist(), strict=True):
        settings = json.dumps(record.params, sort_keys=True)
        known = found.get(settings)
        found[settings] = Chosen(known.record if known else record, weight + (known.weight if known else 0.0))
    best = list(found.values())[:count]
    together = sum(one.weight for one in best)
    return [Chosen(one.record, one.weight / together) for one in best]


def winners_of_searches(
    records: Sequence[TrialRecord], family: str, metric: str, mode: Literal["max", "min"]
) -> list[Chosen]:
    """The winner of each of a family's independent searches, the best first, with equal weights."""
    searches = sorted({record.search for record in records if record.family == family})
    found = [choose([r for r in records if r.search == one], family, metric, mode, 1) for one in searches]
    winners = [chosen[0].record for chosen in found if chosen]
    sign = 1.0 if mode == "min" else -1.0
    winners.sort(key=lambda record: (sign * record.metrics[metric], record.search))
    return [Chosen(record, 1 / len(winners)) for record in winners]


def find_chosen(plan: SweepPlan, records: Sequence[TrialRecord]) -> dict[str, list[Chosen]]:
    """Family -> its configurations to confirm, in the space's order; families without a complete trial are left out."""
    metric, mode = plan.space.metric, plan.space.mode
    found = {
        family: choose(records, family, metric, mode, plan.confirm_configs)
        if plan.space.searches == 1
        else winners_of_searches(records, family, metric, mode)
        for family in plan.space.families
    }
    return {family: chosen for family, chosen in found.items() if chosen}
