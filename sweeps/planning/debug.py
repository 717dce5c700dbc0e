"""`--debug`: one trial in this very process. No Ray, no worker processes; breakpoints work and exceptions arrive whole."""

from __future__ import annotations

from collections.abc import Sequence

from stclip.config import Experiment
from stclip.config.load import parse_override
from sweeps.planning.plan import SweepPlan
from sweeps.text import settings


def choose_family(plan: SweepPlan, sets: Sequence[str], family: str | None) -> str:
    """The family asked for; else the first whose loss has a key that `--set` names; else the space's first."""
    if family is not None:
        plan.space.family(family)
        return family
    keys = {path[1] for path, _ in map(parse_override, sets) if path[0] == "loss" and len(path) > 1}
    fitting = [name for name, config in plan.middles().items() if keys & set(type(config.loss).model_fields)]
    return (fitting or list(plan.space.families))[0]


def debug_trial(plan: SweepPlan, family: str) -> None:
    """Train one configuration in the middle of the family's ranges; print its metrics and the time of each stage."""
    from stclip.train import fit
    from stclip.training.prepare import prepare_data
    from stclip.training.result_table import print_result

    config = _seeded(plan, family)
    prepare_data(config)
    print(
        f"family {family}: {settings(plan.space.middle(family)) or 'nothing is searched'} (the middle of what is searched)"
    )
    if plan.devices > 1:
        print(
            f"one device, in this process; the sweep would train each trial on {plan.devices} (resources.devices)"
        )
    result = fit(config, progress=True)
    print_result(config, result.metrics, result.seconds, "none are written with --debug")


def _seeded(plan: SweepPlan, family: str) -> Experiment:
    return plan.experiment(family, plan.space.middle(family)).model_copy(
        update={"name": f"{family} (debug)", "seed": plan.seed}
    )
