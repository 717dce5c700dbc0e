"""Searches without trainings: a small space, and a smooth objective that stands for the val metric."""

from __future__ import annotations

import math
import random
from typing import Any

from ray.tune.search import Searcher

from sweeps.search.family_search import FamilySearch
from sweeps.search.parameter import Parameter
from sweeps.search.space import EarlyStopping, Family, SearchSpace

METRIC = "val/R@10"
TEMPERATURE = Parameter(type="float", low=0.02, high=0.5, log=True)
FAMILIES = {
    "spatial": Family(
        loss={"name": "spatial"},
        parameters={
            "model.temperature": TEMPERATURE,
            "loss.neighbor_alpha_scale": Parameter(type="float", low=0.0, high=2.0),
            "model.image.name": Parameter(type="choice", values=("stain", "cnn")),
        },
        first=(
            {"model.temperature": 0.07, "loss.neighbor_alpha_scale": 0.5, "model.image.name": "stain"},
            {"model.temperature": 0.07, "loss.neighbor_alpha_scale": 1.5, "model.image.name": "cnn"},
        ),
    ),
    "clip": Family(loss={"name": "clip"}, parameters={"model.temperature": TEMPERATURE}),
}


def make_space(
    trials: int = 13, epochs: int = 3, rule: EarlyStopping | None = None, lag: int = 3, **families: Family
) -> SearchSpace:
    return SearchSpace(
        name="tiny",
        experiment="sweep_base",
        metric=METRIC,
        mode="max",
        trials=trials,
        epochs=epochs,
        early_stopping=rule,
        lag=lag,
        families=families or FAMILIES,
    )


def score(params: dict[str, Any], epoch: int) -> float:
    """A smooth objective in (0, 1] that grows with the epochs; best at temperature 0.1."""
    return math.exp(-abs(math.log(params.get("model.temperature", 0.1) / 0.1))) * (1 - 0.5**epoch)


def train(search: FamilySearch, trial_id: str, config: dict[str, Any], epochs: int) -> bool:
    """Report up to `epochs` epochs; True when the search stopped the trial."""
    return any(
        search.report(trial_id, epoch, {METRIC: score(config["params"], epoch), "val/loss": 1.0}, 0.5 * epoch)
        for epoch in range(1, epochs + 1)
    )


def run(search: FamilySearch, count: int = 10**6, epochs: int = 3) -> list[dict[str, Any]]:
    """One trial at a time, until `count` or the end; what was suggested, in order."""
    suggested: list[dict[str, Any]] = []
    while len(suggested) < count:
        trial_id = f"tune-{random.random()}"
        config = search.suggest(trial_id)
        if config == Searcher.FINISHED:
            break
        suggested.append(config)
        train(search, trial_id, config, epochs)
        search.on_trial_complete(trial_id, {"done": True})
    return suggested
