"""The plan of a confirmation: what of it there is to run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from sweeps.planning.plan import SweepPlan
from sweeps.results.records import Chosen, TrialRecord


def confirm_budgets(plan: SweepPlan, chosen: Mapping[str, Sequence[Chosen]]) -> dict[str, int]:
    """Family -> its trainings in the confirmation."""
    return {family: plan.confirm_seeds * len(configurations) for family, configurations in chosen.items()}


def confirm_plan(plan: SweepPlan, chosen: Mapping[str, Sequence[Chosen]]) -> SweepPlan:
    """The sweep's plan, to run its confirmation by: the families that have a winner, all trials of full length."""
    families = {name: family for name, family in plan.space.families.items() if name in chosen}
    trials = max(confirm_budgets(plan, chosen).values())
    update = {"families": families, "trials": trials, "early_stopping": None}
    return replace(plan, space=plan.space.model_copy(update=update))


def trainings_to_go(
    chosen: Mapping[str, Sequence[Chosen]], confirmed: Sequence[TrialRecord], seeds: int
) -> int:
    """How many trainings of the confirmation have not ended."""
    return seeds * sum(map(len, chosen.values())) - sum(record.state != "RUNNING" for record in confirmed)
