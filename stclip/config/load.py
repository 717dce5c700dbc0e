"""Configuration files and `a.b=c` overrides into typed configurations, with errors a person can act on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError

from stclip.config.schema import CHOSEN_BY_NAME, Experiment, StrictModel
from stclip.config.strict_yaml import DEEPEST, dump_tree, parse_yaml, read_yaml
from stclip.errors import ConfigError, shorten, unknown_name
from stclip.files.paths import PROJECT_ROOT, is_file

_QUOTED = 80  # characters of a value in a message

Model = TypeVar("Model", bound=BaseModel)


def parse_override(text: str) -> tuple[tuple[str, ...], Any]:
    """`a.b=c` -> (("a", "b"), value); the value is read as YAML. Raises ConfigError when it is not of that form."""
    key, equals, value = text.partition("=")
    path = tuple(key.strip().split("."))
    if not equals or not all(path) or len(path) > DEEPEST:
        raise ConfigError(f"an override must look like key.subkey=value, got '{shorten(text, _QUOTED)}'")
    return path, parse_yaml(value, f"override '{shorten(text, _QUOTED)}'")


def set_path(tree: dict[str, Any], path: Sequence[str], value: Any) -> None:
    """Put a value at a dotted path, in place, making the mappings on the way."""
    for depth, key in enumerate(path[:-1], 1):
        child = tree.setdefault(key, {})
        if not isinstance(child, dict):
            raise ConfigError(
                f"'{'.'.join(path[:depth])}' is a single value, so '{'.'.join(path)}' cannot be set"
            )
        tree = child
    tree[path[-1]] = value


def merge(base: Mapping[str, Any], extra: Mapping[str, Any]) -> dict[str, Any]:
    """`extra` over `base`, mapping by mapping. A section that its name chooses, such as `loss`, is replaced whole when the name
    changes: its other keys are another class's."""
    out = dict(base)
    for key, value in extra.items():
        old = out.get(key)
        if isinstance(old, Mapping) and isinstance(value, Mapping):
            renamed = key in CHOSEN_BY_NAME and "name" in value and value["name"] != old.get("name")
            out[key] = dict(value) if renamed else merge(old, value)
        else:
            out[key] = value
    return out


def validate(model: type[Model], tree: Any, source: str) -> Model:
    """A mapping as a typed configuration.

    Raises ConfigError: one line with the source, the dotted key, the rule and the value received; for an unknown key the
    nearest known one.
    """
    try:
        return model.model_validate(tree)
    except ValidationError as error:
        # Unknown keys first: where one is misspelt, another is missing.
        raw = sorted(error.errors(), key=lambda fault: fault["type"] != "extra_forbidden")
        faults = list(dict.fromkeys(_describe(model, tree, fault, raw) for fault in raw))
        more = f" (and {len(faults) - 3} more)" if len(faults) > 3 else ""
        raise ConfigError(f"{source}: " + "; ".join(faults[:3]) + more) from None


def _describe(model: type[BaseModel], tree: Any, fault: Any, faults: Sequence[Any]) -> str:
    kinds = _kinds_allowed(fault, faults)
    location = [str(part) for part in (fault["loc"][:-1] if kinds else fault["loc"])]
    names = _known_keys(model, tree, location[:-1])
    dotted = ".".join(location) or "the configuration"
    if fault["type"] == "extra_forbidden":
        near = get_close_matches(location[-1], names, n=1, cutoff=0.5)
        hint = f" (did you mean '{near[0]}'?)" if near else ""
        return f"unknown key '{dotted}'{hint}; known here: {', '.join(names)}"
    if fault["type"] == "value_error":
        return f"{dotted}: {fault['ctx']['error']}" if location else str(fault["ctx"]["error"])
    if fault["type"] == "missing":
        return f"{dotted}: is missing; give it a value"
    if fault["type"] == "invalid_key":
        return f"{dotted}: a key must be text; put it in quotes"
    rule = _RULES.get(fault["type"]) or fault["msg"][0].lower() + fault["msg"][1:]
    if kinds:
        rule = f"must be {' or '.join(kinds)}"
    return f"{dotted}: {rule}, got {_quoted(fault['input'])}"


def _kinds_allowed(fault: Any, faults: Sequence[Any]) -> list[str]:
    """What a value of several types may be. Pydantic reports a fault for each type, its name behind the key."""
    if fault["loc"][-1:] not in [(name,) for name in _KINDS] or fault["type"] in (
        "missing",
        "model_type",
        "dict_type",
    ):
        return []
    names = [f["loc"][-1] for f in faults if f["loc"][:-1] == fault["loc"][:-1]]
    return list(dict.fromkeys(_KINDS[name] for name in names if name in _KINDS))


_KINDS = {"bool": "true or false", "int": "a finite number", "float": "a finite number", "str": "text"}
_RULES = {
    "dict_type": "must be a mapping of keys",
    "model_type": "must be a mapping of keys",
    "model_attributes_type": "must be a mapping of keys",
    "tuple_type": "must be a list, such as [a, b]",
    "list_type": "must be a list, such as [a, b]",
    "string_type": "must be text",
    "path_type": "must be a path",
    "int_parsing": "must be a whole number",
    "int_parsing_size": "must be a whole number, and not a huge one",
    "int_type": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_parsing": "must be a number",
    "float_type": "must be a finite number",
    "finite_number": "must be a finite number",
    "bool_parsing": "must be true or false",
    "bool_type": "must be true or false",
}


def _quoted(value: Any) -> str:
    return "nothing" if value is None else shorten(_repr(value), _QUOTED)


def _repr(value: Any) -> str:
    try:
        return repr(value)
    except ValueError:  # Python refuses to write out an int of more than 4300 digits
        return f"a huge {type(value).__name__}"


def _known_keys(model: type[BaseModel], tree: Any, location: Iterable[str]) -> list[str]:
    """The keys of the section at a location of a mapping."""
    current: list[type[BaseModel]] = [model]
    for part in location:
        tree = tree.get(part) if isinstance(tree, Mapping) else None
        fields = [m.model_fields[part].annotation for m in current if part in m.model_fields]
        # Without a field: a key of a dict or a place in a list, which leads to the same models.
        current = [_section(leaf, tree) for f in fields for leaf in _models(f)] if fields else current
    return sorted({name for m in current for name in m.model_fields})


def _section(model: type[BaseModel], tree: Any) -> type[BaseModel]:
    return model.section_of(tree) if issubclass(model, StrictModel) else model


def _models(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [leaf for arg in get_args(annotation) for leaf in _models(arg)]


def named_file(kind: str, name: str, folder: Path) -> Path:
    """`name` as a file of `folder` (without .yaml) or as a path. Raises ConfigError that lists the names there are."""
    direct = Path(name)
    if direct.suffix in (".yaml", ".yml"):
        if not is_file(direct):
            raise ConfigError(f"{kind} file {direct}: no such file")
        return direct
    if is_file(direct):
        raise ConfigError(f"{kind} file {direct}: the name of a YAML file must end in .yaml; rename it")
    path = folder / f"{name}.yaml"
    if "/" in name or not is_file(path):
        raise ConfigError(unknown_name(kind, name, (p.stem for p in folder.glob("*.yaml"))))
    return path


def experiment_tree(name: str) -> dict[str, Any]:
    """The raw mapping of an experiment by name (configs/experiment/) or path, its own name filled in."""
    path = named_file("experiment", name, PROJECT_ROOT / "configs" / "experiment")
    return {"name": path.stem, **read_yaml(path)}


def load_experiment(name: str, overrides: Sequence[str] = ()) -> Experiment:
    """An experiment by name or path, with `a.b=c` overrides on top. Raises ConfigError."""
    tree = experiment_tree(name)
    for text in overrides:
        path, value = parse_override(text)
        tree = override(tree, path, value)
    return validate(Experiment, tree, f"experiment {name}" + (" with overrides" if overrides else ""))


def override(tree: dict[str, Any], path: Sequence[str], value: Any) -> dict[str, Any]:
    """A copy of `tree` with one dotted key set; changing `loss.name` drops the keys of the loss before it."""
    patch: dict[str, Any] = {}
    set_path(patch, path, value)
    for depth in range(1, len(path)):
        section = tree
        for step in path[:depth]:
            section = section.get(step, {}) if isinstance(section, Mapping) else {}
        if section is not None and not isinstance(section, Mapping):
            raise ConfigError(
                f"'{'.'.join(path[:depth])}' is a single value, so '{'.'.join(path)}' cannot be set"
            )
    return merge(tree, patch)


def dump_yaml(model: BaseModel) -> str:
    """The resolved configuration as YAML that `validate` reads back to an equal one."""
    return dump_tree(model.model_dump(mode="json"))
