"""Places written out: a worker may run in another folder than the driver, and from a copy of the code that lies elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stclip.files.paths import PROJECT_ROOT, is_folder, user_path
from stclip.model.pretrained import located_name
from sweeps.search.parameter import Parameter, Scalar
from sweeps.search.space import Family, SearchSpace

TOWERS = ("model.image.name", "model.genes.name")  # where a name may be a folder: hf:FOLDER


def located_tree(tree: Mapping[str, Any]) -> dict[str, Any]:
    """What the experiments start from, with the places of the data set and of pretrained models written out."""
    data = dict(tree.get("data") or {})
    data["root"] = str(user_path(data.get("root") or PROJECT_ROOT / "data" / "processed").absolute())
    dataset = data.get("dataset")
    # A path of the user's; an address, or nothing at all, is left to the check of the data.
    in_root = isinstance(dataset, str) and is_folder(user_path(data["root"]) / dataset)
    if isinstance(dataset, str) and "/" in dataset and not in_root and is_folder(user_path(dataset)):
        data["dataset"] = str(user_path(dataset).absolute())
    return {**_with_models(tree), "data": data}


def located_space(space: SearchSpace) -> SearchSpace:
    """The space with the folders of pretrained models written out, wherever a family fixes or searches them."""
    return space.model_copy(update={"families": {n: _located_family(f) for n, f in space.families.items()}})


def _located_family(family: Family) -> Family:
    parameters = {key: _located_choice(key, parameter) for key, parameter in family.parameters.items()}
    first = tuple({key: _located_value(key, value) for key, value in point.items()} for point in family.first)
    overrides = _with_models(family.overrides)
    return family.model_copy(update={"overrides": overrides, "parameters": parameters, "first": first})


def _located_choice(key: str, parameter: Parameter) -> Parameter:
    if parameter.values is None:
        return parameter
    values = tuple(_located_value(key, value) for value in parameter.values)
    return parameter.model_copy(update={"values": values})


def _located_value(key: str, value: Scalar) -> Scalar:
    return located_name(value) if key in TOWERS and isinstance(value, str) else value


def _with_models(tree: Mapping[str, Any]) -> dict[str, Any]:
    """The tree with the names of its towers written out; whatever else stands in `model`, or is no name, as it is."""
    model = tree.get("model")
    if not isinstance(model, Mapping):
        return dict(tree)
    return {**tree, "model": {part: _located_tower(tower) for part, tower in model.items()}}


def _located_tower(tower: Any) -> Any:
    if isinstance(tower, Mapping) and isinstance(tower.get("name"), str):
        return {**tower, "name": located_name(tower["name"])}
    return tower
