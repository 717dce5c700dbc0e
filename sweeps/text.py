"""Numbers, times and names as a person reads them on a terminal."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from stclip.config.schema import KS
from stclip.errors import printable
from stclip.terminal.text import many

RECALLS = tuple(f"R@{k}" for k in KS)  # what is reported, and compared


def recall_of(metric: str) -> str:
    """The recall that a space's metric speaks of: `R@5` of `val/ring_R@5`; of one that names none, the last of RECALLS."""
    name = metric[metric.rfind("R@") :] if "R@" in metric else ""
    return name if name in RECALLS else RECALLS[-1]


def number(value: float | None) -> str:
    """Three decimals (a recall, a chance level); `-` for what is not known."""
    return "-" if value is None or not math.isfinite(value) else f"{value:.3f}"


def duration(seconds: float) -> str:
    """`42 s`, `3 min 05 s` or `2 h 07 min`."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def epochs(count: int) -> str:
    """`1 epoch`, `12 epochs`."""
    return many(count, "epoch")


def settings(params: Mapping[str, Any]) -> str:
    """`temperature=0.07, lr=0.001`: dotted keys cut to their last component where that is clear."""
    names = {key: column.removeprefix("config_") for key, column in config_columns(params).items()}
    return ", ".join(f"{printable(names[key])}={value_text(value)}" for key, value in params.items())


def value_text(value: Any) -> str:
    """A parameter's value; numbers with four significant digits."""
    return f"{value:.4g}" if isinstance(value, float) else printable(str(value))


def last_line(error: str) -> str:
    """The line of an error or traceback that says what happened."""
    lines = [line.strip() for line in error.splitlines() if line.strip()]
    return lines[-1] if lines else "no reason recorded"


def confirm_words(configurations: int, searches: int, seeds: int) -> str:
    """`the best 5 configurations of each family again with 3 fresh seeds`; of several searches, their winners."""
    best = "best configuration" if configurations == 1 else f"best {configurations} configurations"
    what = f"{best} of each family" if searches == 1 else f"winners of {searches} searches of each family"
    return f"the {what} again with {many(seeds, 'fresh seed')}"


def config_columns(parameters: Iterable[str]) -> dict[str, str]:
    """Dotted parameter -> its column: `config_` and the last component, or the whole key if two share it."""
    keys = list(dict.fromkeys(parameters))
    lasts = [_last_part(key) for key in keys]
    return {k: f"config_{k if lasts.count(last) > 1 else last}" for k, last in zip(keys, lasts, strict=True)}


def _last_part(key: str) -> str:
    """`lr` of `optimizer.lr`; `image.name` of `model.image.name`, since a bare `name` would not say whose."""
    parts = key.split(".")
    return ".".join(parts[-2:]) if parts[-1] == "name" else parts[-1]
