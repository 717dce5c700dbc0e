"""What this program's checkpoints say, typed: a file that can be read may still hold anything."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from stclip.config import Experiment
from stclip.config.load import validate
from stclip.data.batches.frozen_features import FeatureScaling
from stclip.errors import InputError, shorten

if TYPE_CHECKING:
    import torch

_DEEPEST, _MOST_VALUES = 20, 20_000  # of a configuration
_MOST_METRICS = 10_000_000  # of a history, each epoch's counted
_LARGEST_INPUT = 1_000_000  # numbers that one spot's image input has


@dataclass(frozen=True)
class ModelFacts:
    """What embedding new tiles and sentences takes beside the weights."""

    config: Experiment
    vocabulary: tuple[str, ...]
    input_dim: int
    scaling: FeatureScaling | None


@dataclass(frozen=True)
class Progress:
    """How far a run had got: epochs, and the metrics after each."""

    epochs: int
    history: list[dict[str, float]]


def said_config(content: Mapping[str, Any], path: Path) -> dict[str, Any] | None:
    """The configuration that a checkpoint says it is of, as plain values; None where it says nothing.

    Raises InputError when it is anything else.
    """
    if "stclip" not in content or "config" not in _facts(content, path):
        return None
    config = _facts(content, path)["config"]
    _check_plain(config, path)
    if type(config) is not dict:
        raise _malformed(path, f"its configuration must be a mapping, got {_kind(config)}")
    return config


def model_facts(content: Mapping[str, Any], path: Path) -> ModelFacts:
    """The facts of a model. Raises InputError for a checkpoint that lacks one, or has one that cannot be right."""
    said = said_config(content, path)
    if said is None:
        raise InputError(f"{path}: not a checkpoint of stclip (it does not say which configuration made it)")
    facts, config = _facts(content, path), validate(Experiment, said, str(path))
    words, dim = facts.get("vocabulary"), facts.get("input_dim")
    if (
        type(words) is not list
        or not all(type(word) is str for word in words)
        or len(set(words)) < len(words)
    ):
        raise _malformed(path, f"its vocabulary must be a list of names, each once, got {_kind(words)}")
    if not words:
        raise _malformed(path, "its vocabulary is empty")
    if type(dim) is not int or not 1 <= dim <= _LARGEST_INPUT:
        raise _malformed(path, f"its input_dim must be a number from 1 to {_LARGEST_INPUT}, got {_kind(dim)}")
    return ModelFacts(config, tuple(words), dim, _scaling(facts, dim, path))


def progress_of(content: Mapping[str, Any], path: Path) -> Progress:
    """How far the run of a checkpoint had got. Raises InputError for one that does not say, or that cannot be right."""
    facts = _facts(content, path)
    epochs, history = facts.get("epochs"), facts.get("history")
    if type(epochs) is not int or not 1 <= epochs <= _MOST_METRICS:
        raise _malformed(path, f"its epochs must be a number from 1 up, got {_kind(epochs)}")
    if type(history) is not list or not history or len(history) > epochs:
        raise _malformed(path, f"its history must be the metrics of its epochs, got {_kind(history)}")
    count = 0
    for metrics in history:
        count += len(metrics) if type(metrics) is dict else _MOST_METRICS
        if count >= _MOST_METRICS or not all(map(_is_metric, metrics.items())):
            raise _malformed(path, "its history must hold a number for each metric's name")
    return Progress(epochs, history)


def load_weights(module: torch.nn.Module, content: Mapping[str, Any], path: Path, prefix: str = "") -> None:
    """Put a checkpoint's weights into a model; `prefix` is what their names begin with in the file.

    Raises InputError when they are of another model, or are no finite numbers.
    """
    weights = checked_weights(
        {n: (t.shape, t.dtype) for n, t in module.state_dict().items()}, content, path, prefix
    )
    module.load_state_dict(weights)


def checked_weights(
    wanted: Mapping[str, tuple[torch.Size, torch.dtype]], content: Mapping[str, Any], path: Path, prefix: str
) -> dict[str, torch.Tensor]:
    """A checkpoint's tensors by their names in the model, once they have its shapes and types. Raises InputError."""
    import torch

    there = content.get("state_dict")
    if not isinstance(there, dict) or type(there) not in (dict, OrderedDict):
        raise _malformed(path, f"its state_dict must be a mapping of tensors, got {_kind(there)}")
    # Not its own `items`: an unpickled OrderedDict may have anything by that name.
    found = {key.removeprefix(prefix): value for key, value in dict.items(there)
             if type(key) is str and key.startswith(prefix)}  # fmt: skip
    if odd := sorted(found.keys() ^ wanted.keys()):
        raise _other_model(path, f"{'no' if odd[0] in wanted else 'an unknown'} '{shorten(odd[0], 100)}'")
    for name, (shape, dtype) in wanted.items():
        value = found[name]
        if type(value) not in (torch.Tensor, torch.nn.Parameter) or value.layout != torch.strided:
            raise _other_model(path, f"'{name}' is {_kind(value)}")
        if value.shape != shape or value.dtype != dtype:
            raise _other_model(
                path, f"'{name}' is {value.dtype} {list(value.shape)}, not {dtype} {list(shape)}"
            )
        if value.device.type != "cpu" or value.untyped_storage().nbytes() < value.numel() * value.itemsize:
            raise _other_model(path, f"'{name}' has not all its numbers in the file")
        if not torch.isfinite(value).all():
            raise _malformed(path, f"the weight '{name}' holds numbers that are not finite")
    return found


def _scaling(facts: Mapping[str, Any], dim: int, path: Path) -> FeatureScaling | None:
    import torch

    values = [facts.get("feature_mean"), facts.get("feature_std")]
    if values == [None, None]:
        return None
    arrays: list[np.ndarray] = []
    value: Any
    for value in values:
        plain = type(value) is torch.Tensor and value.layout == torch.strided and value.device.type == "cpu"
        if not plain or value.shape != (dim,) or value.dtype != torch.float32:
            raise _malformed(
                path, f"its feature_mean and feature_std must be {dim} numbers each, got {_kind(value)}"
            )
        arrays.append(value.numpy())
    if not all(np.isfinite(array).all() for array in arrays) or (arrays[1] < 0).any():
        raise _malformed(path, "its feature_mean and feature_std must be finite, and no spread below 0")
    return FeatureScaling(*arrays)


def _facts(content: Mapping[str, Any], path: Path) -> dict[str, Any]:
    facts = content.get("stclip")
    if type(facts) is not dict:
        raise _malformed(path, f"it must say what made it, got {_kind(facts)}")
    return facts


def _is_metric(item: tuple[Any, Any]) -> bool:
    return type(item[0]) is str and type(item[1]) in (int, float)


def _check_plain(tree: Any, path: Path) -> None:
    """Layer by layer, since a few references to references are a tree of billions of values, or one without an end."""
    layer, count = [tree], 0
    for _ in range(_DEEPEST):
        count += len(layer)
        if count > _MOST_VALUES:
            break
        inner: list[Any] = []
        for value in layer:
            if type(value) is dict and all(type(key) is str for key in value):
                inner += value.values()
            elif type(value) in (list, tuple):
                inner += value
            elif value is not None and type(value) not in (str, bool, int, float):
                raise _malformed(path, f"its configuration must hold plain values, got {_kind(value)}")
            if len(inner) > _MOST_VALUES:
                break
        layer = inner
        if not layer:
            return
    raise _malformed(path, "its configuration is too large or too deep")


def _kind(value: Any) -> str:
    """A value in a message: itself where it is short and plain, else its type."""
    if value is None:
        return "nothing"
    if type(value) is float or (type(value) is int and abs(value) < 1e18):
        return f"{value:g}" if math.isfinite(value) else str(value)
    shape = getattr(value, "shape", None)
    return f"a {type(value).__name__}{f' {list(shape)}' if shape is not None else ''}"


def _malformed(path: Path, what: str) -> InputError:
    return InputError(f"{path}: a malformed checkpoint: {what}; use one that this program wrote")


def _other_model(path: Path, what: str) -> InputError:
    return InputError(
        f"{path}: its weights are not those of the model that its configuration describes ({what}); "
        "use one that this program wrote"
    )
