"""What a sweep searches: a space file as typed data, and a trial's parameters as an `Experiment`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from stclip.config import Count, Experiment, StrictModel
from stclip.config.load import experiment_tree, merge, named_file, override, validate
from stclip.config.registry import LOSSES
from stclip.config.schema import KS
from stclip.config.strict_yaml import read_yaml
from stclip.errors import ConfigError, unknown_name
from stclip.files.paths import PROJECT_ROOT
from sweeps.search.computed import COMPUTED
from sweeps.search.computed import what_is_wrong as what_cannot_be_computed
from sweeps.search.parameter import Parameter, Scalar
from sweeps.search.rung_places import what_is_wrong

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

SPACES = PROJECT_ROOT / "configs" / "space"

# Selection looks at val only. Never at a loss: losses of two families are not on one scale. Nor at recall inside batches:
# smaller batches would win by chance alone.
METRICS = (
    *(f"val/{kind}R@{k}" for kind in ("", "lift_", "ring_") for k in KS),
    "val/median_rank",
)

# Keys that the sweep itself decides, and the place where they are decided.
SET_BY_SWEEP = {
    "seed": "use --seed; every trial's seed follows from it",
    "trainer.max_epochs": "use --epochs or `epochs` of the space",
}
_IN_FAMILY = "a loss belongs to a family: families.<name>.loss"
OWN_LOSS = "a family is its loss; write another family"
_SAME_FOR_ALL = {
    "data.dataset": "families are compared on one data set; use --data or the space's own `overrides`",
    "data.root": "families are compared on one data set; use the space's own `overrides`",
    "data.on_bad_spot": "it decides which spots there are, and with them the galleries; use the space's own `overrides`",
    "loss.name": OWN_LOSS,
}
_RINGS = "it decides what a hit of the metric val/ring_R@K is; fix it in the space's own `overrides`, or choose by val/R@K"


class EarlyStopping(StrictModel):
    """Rungs after `first_rung · factor^i` epochs; about one in `factor` trials of a family passes each.

    `first_rung` is written for the space's own `epochs`; with `--epochs` it moves along (`sweeps.search.budget`).
    """

    first_rung: Count
    factor: Annotated[int, Field(ge=2, le=1_000_000)]


class Resources(StrictModel):
    """What each trial trains on: `devices` processes, each with `--cpus-per-trial` and `--gpus-per-trial` of its own.

    With more than one, Ray Train runs them with DDP, and `data.batch_size` is what each of them draws.
    """

    devices: Annotated[int, Field(ge=1, le=64)] = 1


class Family(StrictModel):
    """One loss: its fixed keys, what is searched with it, and the settings that are tried first."""

    loss: dict[str, Any]
    overrides: dict[str, Any] = Field(default_factory=dict)
    parameters: dict[str, Parameter] = Field(default_factory=dict)
    first: tuple[dict[str, Scalar], ...] = ()

    @field_validator("loss")
    @classmethod
    def _names_a_loss(cls, loss: dict[str, Any]) -> dict[str, Any]:
        if loss.get("name") not in LOSSES:
            raise ValueError(unknown_name("loss", str(loss.get("name")), LOSSES))
        return loss

    @model_validator(mode="after")
    def _first_points_lie_inside(self) -> Family:
        for number, point in enumerate(self.first):
            for key, value in point.items():
                if key not in self.parameters:
                    raise ValueError(f"first[{number}]: {unknown_name('parameter', key, self.parameters)}")
                try:
                    point[key] = self.parameters[key].cast(value)
                except ValueError as error:
                    raise ValueError(f"first[{number}]: {key} {error}") from None
            missing = sorted(self.parameters.keys() - point.keys())
            if missing:
                raise ValueError(
                    f"first[{number}]: give every parameter a value, missing: {', '.join(missing)}"
                )
        return self


class SearchSpace(StrictModel):
    """One search. `trials` is for each family, `epochs` for each trial; `mode` is never guessed.

    `lag`: what is decided about a trial rests on the trials of its family that began at least so many before it, so
    that the table does not depend on which ends first (`sweeps.search.lag`). A family has about so many trials at once. Measured
    (`benchmarks/lag.py`): with 2, two families keep up to 3 slots busy and search as well as without a lag; with 3, 4 slots
    (4 % of their time idle, 18 % with 2), and the search takes a tenth more epochs to a good setting.
    """

    name: str
    about: str = ""
    experiment: str
    overrides: dict[str, Any] = Field(default_factory=dict)
    metric: str
    mode: Literal["max", "min"]
    trials: Count
    # Of each family, independent; `trials` is for each of them.
    searches: Annotated[int, Field(ge=1, le=100)] = 1
    epochs: Count
    # Of recall; families that differ by less are equivalent.
    margin: Annotated[float, Field(gt=0, lt=1)] = 0.01
    early_stopping: EarlyStopping | None = None
    lag: Count = 2
    resources: Resources = Field(default_factory=Resources)
    families: dict[str, Family]

    @field_validator("metric")
    @classmethod
    def _is_a_val_metric(cls, metric: str) -> str:
        if metric not in METRICS:
            raise ValueError(unknown_name("metric to search by", metric, METRICS))
        return metric

    @field_validator("families")
    @classmethod
    def _are_named_like_folders(cls, families: dict[str, Family]) -> dict[str, Family]:
        if not families:
            raise ValueError("a space needs at least one family, got none")
        for name in families:
            if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,39}", name):
                raise ValueError(f"a family's name is up to 40 letters, digits, - and _, got '{name}'")
        return families

    def middle(self, family: str) -> dict[str, Scalar]:
        """The middle of every searched parameter of a family; what `--debug` runs."""
        return {key: parameter.middle() for key, parameter in self.family(family).parameters.items()}

    def distributions(self, family: str) -> dict[str, BaseDistribution]:
        """A family's searched parameters as Optuna distributions, by dotted key."""
        return {key: parameter.distribution() for key, parameter in self.family(family).parameters.items()}

    def family(self, name: str) -> Family:
        """The family called `name`. Raises ConfigError that lists the families."""
        if name not in self.families:
            raise ConfigError(unknown_name("family", name, self.families))
        return self.families[name]


def load_space(name_or_file: str) -> SearchSpace:
    """A space by name (configs/space/) or path, checked against `Experiment` at the ends of every range.

    Raises ConfigError: one line with the file, the key, the rule and the value received.
    """
    path = named_file("space", name_or_file, SPACES)
    space = validate(SearchSpace, {"name": path.stem, **read_yaml(path)}, f"space {path}")
    beside = path.parent / space.experiment
    if beside.suffix in (".yaml", ".yml") and beside.is_file():
        space = space.model_copy(update={"experiment": str(beside)})
    for name, family in space.families.items():
        if not family.parameters:
            raise ConfigError(
                f"space {path}: families.{name}: nothing to search; give it at least one of `parameters`"
            )
    check_space(space, f"space {path}")
    return space


def base_tree(space: SearchSpace, data: str | None = None) -> dict[str, Any]:
    """What all families share: the base experiment, the space's overrides, the data set and the epochs.

    Raises ConfigError when there is no such experiment.
    """
    tree = merge(experiment_tree(space.experiment), space.overrides)
    if data is not None:
        tree = override(tree, ("data", "dataset"), data)
    return override(tree, ("trainer", "max_epochs"), space.epochs)


def family_experiment(
    space: SearchSpace, family: str, params: Mapping[str, Scalar], tree: Mapping[str, Any]
) -> Experiment:
    """One trial's configuration: `tree` (of `base_tree`), the family's loss and overrides, then `params`.

    Raises ConfigError when `Experiment` refuses the result.
    """
    return _experiment(space, family, params, tree, f"space {space.name}: family {family}")


def check_space(space: SearchSpace, source: str) -> None:
    """Its rungs are of use; every end of every range, the middle, and the first points of every family make an `Experiment`.

    Raises ConfigError that names `source`, the family and the key.
    """
    rule = space.early_stopping
    if rule and (wrong := what_is_wrong(rule.first_rung, rule.factor, space.epochs)):
        raise ConfigError(f"{source}: early_stopping: {wrong}")
    refuse(dict(leaves(space.overrides)), SET_BY_SWEEP, f"{source}: overrides")
    refuse(space.overrides, {"loss": _IN_FAMILY}, f"{source}: overrides")
    tree = base_tree(space)
    same = SET_BY_SWEEP | _SAME_FOR_ALL
    if space.metric.startswith("val/ring_"):
        same = same | {"data.num_neighbors": _RINGS}
    for name, family in space.families.items():
        where = f"{source}: families.{name}"
        refuse(dict(leaves(family.overrides)), same, f"{where}.overrides")
        refuse(family.overrides, {"loss": _IN_FAMILY}, f"{where}.overrides")
        refuse(family.parameters, same, f"{where}.parameters")
        for key in family.parameters.keys() & set(COMPUTED):
            if reason := what_cannot_be_computed(family.parameters[key]):
                raise ConfigError(f"{where}.parameters.{key}: {reason}")
        _experiment(space, name, {}, tree, where)
        for key, parameter in family.parameters.items():
            for value in parameter.ends():
                _experiment(space, name, {key: value}, tree, f"{where}.parameters.{key}")
        _experiment(space, name, space.middle(name), tree, f"{where}, the middle of all ranges")
        for number, point in enumerate(family.first):
            _experiment(space, name, point, tree, f"{where}.first[{number}]")


def _experiment(
    space: SearchSpace, family: str, params: Mapping[str, Scalar], tree: Mapping[str, Any], source: str
) -> Experiment:
    chosen = space.family(family)
    own = merge(merge(tree, {"loss": chosen.loss}), chosen.overrides)
    for key, value in params.items():
        own = override(own, key.split("."), value)
    return validate(Experiment, own, source)


def refuse(keys: Iterable[str], reserved: Mapping[str, str], source: str) -> None:
    """Raise ConfigError, with the reason, when one of these keys is decided elsewhere."""
    for key in keys:
        if key in reserved:
            raise ConfigError(f"{source}: {key} cannot be chosen here; {reserved[key]}")


def leaves(tree: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    """Each dotted key of a tree of mappings with its value."""
    if isinstance(tree, Mapping):
        for key, value in tree.items():
            yield from leaves(value, (*path, str(key)))
    else:
        yield ".".join(path), tree
