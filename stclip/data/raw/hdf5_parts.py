"""Parts of an HDF5 file, taken only where they are of a form that h5py can read: others end the process, or are no data."""

from __future__ import annotations

from typing import Any

import numpy as np

_ABOUT = (
    "encoding-type",
    "encoding-version",
    "_index",
    "column-order",
    "ordered",
    "categories",
    "shape",
    "na-value",
)


class PartError(ValueError):
    """Why a part cannot be read, in a few words."""


def group(parent: Any, name: str) -> Any:
    """A group. Raises PartError for a dataset, in which a name would be looked for for ever; KeyError where there is none."""
    found = parent[name]
    if not hasattr(found, "keys"):
        raise PartError(f"{found.name} is no group")
    return found


def dataset(parent: Any, name: str) -> Any:
    """A dataset with a shape, of numbers, texts or records. Raises PartError for anything else, KeyError where there is none."""
    found = parent[name]
    check_values(found)
    return found


def attribute(element: Any, name: str, default: Any = None) -> Any:
    """An attribute's value, a number, a text or an array of them; the default where there is none. Raises PartError."""
    if name not in element.attrs:
        return default
    _check_type(element.attrs.get_id(name).get_type(), f"the attribute {name} of {element.name}")
    return element.attrs[name]


def number(element: Any, name: str) -> float | None:
    """An attribute that is a single number; None for any other, which is not even read."""
    from h5py import h5t

    found = element.attrs.get_id(name) if name in element.attrs else None
    if (
        found is None
        or found.get_type().get_class() not in (h5t.INTEGER, h5t.FLOAT)
        or found.shape not in ((), (1,))
    ):
        return None
    return float(np.ravel(element.attrs[name])[0])


def check_column(element: Any) -> None:
    """Raise PartError unless it is a column as anndata has it: values, or a group of values, with attributes that can be read."""
    is_group = hasattr(element, "keys")
    for part in (element, *(element.values() if is_group else ())):
        for name in _ABOUT:
            attribute(part, name)
        if part is not element or not is_group:
            check_values(part)


def check_values(element: Any) -> None:
    """Raise PartError unless it is a dataset with a shape, of numbers, texts or records."""
    if getattr(element, "shape", None) is None:
        raise PartError(f"{element.name} holds no values")
    _check_type(element.id.get_type(), element.name)


def texts(values: Any) -> list[str]:
    """The texts of a dataset, one after another. Raises UnicodeDecodeError."""
    return [value.decode() if isinstance(value, bytes) else str(value) for value in np.ravel(values[()])]


def _check_type(kind: Any, what: str) -> None:
    from h5py import h5t

    form = kind.get_class()
    if form == h5t.COMPOUND:
        for at in range(kind.get_nmembers()):
            _check_type(kind.get_member_type(at), what)
    elif form == h5t.ARRAY:
        _check_type(kind.get_super(), what)
    elif form not in (h5t.INTEGER, h5t.FLOAT, h5t.STRING, h5t.ENUM, h5t.REFERENCE, h5t.BITFIELD):
        raise PartError(f"{what} holds neither numbers nor texts")
