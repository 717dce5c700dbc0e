"""Searched keys that decide which arrays a trial reads (store, features, sentences): each value's are computed beforehand."""

from __future__ import annotations

from collections.abc import Sequence

from sweeps.search.parameter import Parameter, Scalar

COMPUTED = (
    "model.image.name",
    "model.image.center",
    "model.genes.name",
    "features.normalize_genes",
    "data.image_size",
    "data.max_genes",
    "data.num_neighbors",
)
MOST_VALUES = 16  # of one key; each has files of its own on every node


def computed_values(parameter: Parameter) -> Sequence[Scalar]:
    """All values of a parameter that `what_is_wrong` finds nothing wrong with."""
    if parameter.values is not None:
        return parameter.values
    assert parameter.low is not None and parameter.high is not None
    return range(int(parameter.low), int(parameter.high) + 1)


def what_is_wrong(parameter: Parameter) -> str | None:
    """Why not all its values can be computed beforehand; None when they can."""
    way_out = f"search a few by `type: choice, values: [...]` (at most {MOST_VALUES})"
    rule = "what a trial reads is computed before the first one, for each value"
    if parameter.type == "float":
        return f"{rule}, and a float from {parameter.low} to {parameter.high} has too many; {way_out}"
    count = len(computed_values(parameter))
    return f"{rule}, and these are {count}; {way_out}" if count > MOST_VALUES else None
