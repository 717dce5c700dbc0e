"""A space with another budget than its own: `--trials`, `--epochs`, `--margin` and `--searches`."""

from __future__ import annotations

from stclip.config.load import validate
from sweeps.search.rung_places import moved_first_rung
from sweeps.search.space import SearchSpace


def with_budget(
    space: SearchSpace,
    trials: int | None = None,
    epochs: int | None = None,
    margin: float | None = None,
    searches: int | None = None,
) -> SearchSpace:
    """The space with other trials (of each search), epochs (of each trial), margin or searches. Raises ConfigError.

    Its rungs follow the epochs (see `sweeps.search.rung_places`).
    """
    given = {"trials": trials, "epochs": epochs, "margin": margin, "searches": searches}
    tree = space.model_dump() | {key: value for key, value in given.items() if value is not None}
    other = validate(SearchSpace, tree, f"space {space.name}")
    rule = other.early_stopping
    if rule is None:
        return other
    first_rung = moved_first_rung(rule.first_rung, rule.factor, space.epochs, other.epochs)
    moved = rule.model_copy(update={"first_rung": first_rung})
    return other.model_copy(update={"early_stopping": moved})
