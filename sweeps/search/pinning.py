"""`--set`: a space with values fixed in every family."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from stclip.config.load import override
from stclip.config.registry import LOSSES
from stclip.errors import ConfigError, shorten, unknown_name
from sweeps.search.parameter import Scalar
from sweeps.search.space import OWN_LOSS, SET_BY_SWEEP, Family, SearchSpace, check_space, leaves, refuse


def pin(space: SearchSpace, sets: Sequence[tuple[Sequence[str], Any]]) -> SearchSpace:
    """The space with `--set` values fixed in every family.

    A searched parameter that is set is no longer searched; a family may so lose all its parameters and become
    one point, whose trials differ by seed only. A key of `loss` goes to the families whose loss knows it.

    Args:
        sets: pairs of a dotted path, split, and its value (what `stclip.config.load.parse_override` returns).

    Raises:
        ConfigError: a key that no family knows (with the nearest known one), a value that `Experiment` refuses,
            or a key that the sweep itself decides.
    """
    if not sets:
        return space
    for path, value in sets:
        for key, leaf in leaves(value, tuple(path)):
            space = _pin_one(space, key.split("."), leaf)
    given = " ".join(shorten(f"{'.'.join(path)}={value}", 60) for path, value in sets)
    check_space(space, f"space {space.name} with --set {given}")
    return space


def _pin_one(space: SearchSpace, path: Sequence[str], value: Any) -> SearchSpace:
    key = ".".join(path)
    refuse(
        [key], SET_BY_SWEEP | {"data.dataset": "use --data", "loss.name": OWN_LOSS}, f"--set {key}={value}"
    )
    families = dict(space.families)
    if path[0] == "loss":
        known = {name for name, family in families.items() if path[1:2] and path[1] in _loss_keys(family)}
        if not known:
            names = {f"loss.{k}" for family in families.values() for k in _loss_keys(family)}
            raise ConfigError(f"--set {key}={value}: {unknown_name('loss key of every family', key, names)}")
        for name in known:
            loss = override({"loss": families[name].loss}, path, value)["loss"]
            families[name] = _unsearched(families[name], key).model_copy(update={"loss": loss})
        return space.model_copy(update={"families": families})
    for name, family in families.items():
        if key in dict(leaves(family.overrides)):  # a family's own value would win over the base experiment's
            family = family.model_copy(update={"overrides": override(family.overrides, path, value)})
        families[name] = _unsearched(family, key)
    return space.model_copy(
        update={"overrides": override(space.overrides, path, value), "families": families}
    )


def _unsearched(family: Family, key: str) -> Family:
    """The family without one of its parameters; first points that become equal are tried once."""
    if key not in family.parameters:
        return family
    first: list[dict[str, Scalar]] = []
    for point in family.first:
        rest = {k: v for k, v in point.items() if k != key}
        if rest and rest not in first:
            first.append(rest)
    parameters = {k: v for k, v in family.parameters.items() if k != key}
    return family.model_copy(update={"parameters": parameters, "first": tuple(first)})


def _loss_keys(family: Family) -> list[str]:
    """The keys of a family's loss."""
    return list(LOSSES[family.loss["name"]].section_class().model_fields)
