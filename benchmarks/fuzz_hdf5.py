"""HDF5 files with random faults, for `benchmarks/fuzz.py`: in their values, types, shapes, attributes, links, or single bytes."""

from __future__ import annotations

import io
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import h5py
import numpy as np
from hypothesis import strategies as st

TEXT = h5py.string_dtype()
ODD_TEXTS = ("", " ", "a/b", "../x", ".x", "x" * 300, "é✓", "\u202e", "a\nb", "a\tb", "\x1b[2J", "nan", "1", "10x14", "_",
             "GENE00", "GENE00.1", "b'GENE01'", "mm10_Gene", "GRCh38_GENE01", "ENSG00000141510", "1-Mar",
             "AACCGGTT-1")  # fmt: skip
ODD_NUMBERS = (-1, 0, 1, 7, 8, 12, 13, 2**31 - 1, -(2**31), 2**32, 2**62, 2**63 - 1, 0.5, -0.5, 1e-300, 1e38, 1e300,
               float("nan"), float("inf"), float("-inf"))  # fmt: skip
TYPES = ("i1", "u1", "i2", "i8", "u8", "f2", "f4", "f8", ">i4", "c8", "?", "S5", "S1")
ENCODINGS = ("csr_matrix", "csc_matrix", "coo_matrix", "csr", "array", "string-array", "dataframe", "categorical", "dict", "raw",
             "anndata", "nullable-integer", "nullable-boolean", "nullable-string-array", "rec-array", "awkward-array", "string",
             "numeric-scalar", "null", "x" * 3000, "é")  # fmt: skip
SHAPES = (
    [8, 12],
    [12, 8],
    [8],
    [],
    [-8, -12],
    [2**40, 2**40],
    [8.5, 12.0],
    [8, 12, 1],
    [2**63 - 1, 2],
    [float("nan"), 12.0],
)
OBJECTS = (
    "group",
    "named type",
    "empty",
    "huge",
    "huge texts",
    "lists",
    "references",
    "compound",
    "scalar",
    "text",
)
ATTRIBUTES = ("encoding-type", "encoding-version", "_index", "shape", "column-order", "ordered", "categories", "h5sparse_format",
              "h5sparse_shape", "patch_size_src", "pixel_size")  # fmt: skip
CANNOT = (
    OSError,
    RuntimeError,
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    OverflowError,
)  # a fault that does not fit


def hdf5(fill: Callable[[Any], None]) -> bytes:
    """The bytes of a new file that `fill` has written."""
    whole = io.BytesIO()
    with h5py.File(whole, "w") as file:
        fill(file)
    return whole.getvalue()


@st.composite
def flipped_hdf5(draw: st.DrawFn, data: bytes) -> bytes:
    """The file with one to four bytes changed, mostly of those that hold something: much of a small file is empty."""
    changed, full = bytearray(data), np.flatnonzero(np.frombuffer(data, np.uint8))
    anywhere = st.integers(0, len(data) - 1)
    for at in draw(st.lists(st.sampled_from(full.tolist()) | anywhere, min_size=1, max_size=4)):
        changed[at] = draw(
            st.integers(0, 255) | st.sampled_from((0, 255, changed[at] ^ 1, changed[at] ^ 128))
        )
    end = draw(st.integers(0, 19))
    return bytes(changed[: draw(anywhere)] if end == 0 else changed)


@st.composite
def mutated_hdf5(draw: st.DrawFn, data: bytes) -> bytes:
    """The file with one to three faults of its parts, or with changed bytes."""
    if draw(st.booleans()):
        return draw(flipped_hdf5(data))
    whole = io.BytesIO(data)
    with h5py.File(whole, "r+") as file:
        for _ in range(draw(st.integers(1, 3))):
            places: list[str] = []
            file.visit(places.append)
            fault = draw(
                st.sampled_from((_value, _value, _length, _type, _object, _attribute, _attribute, _link))
            )
            with suppress(*CANNOT):
                fault(draw, file, draw(st.sampled_from(sorted(places))))
    return whole.getvalue()


def _read(file: Any, place: str) -> Any:
    if file[place].size > 10**6:
        raise ValueError("one that an earlier fault made huge")
    return file[place][()]


def _value(draw: st.DrawFn, file: Any, place: str) -> None:
    values = _read(file, place)
    at = draw(st.integers(0, values.size - 1))
    odd = draw(st.sampled_from(ODD_NUMBERS if values.dtype.kind in "iuf" else ODD_TEXTS))
    with np.errstate(all="ignore"):
        values.flat[at] = np.array(odd).astype(values.dtype) if values.dtype.kind in "iufS" else odd
    file[place][()] = values


def _length(draw: st.DrawFn, file: Any, place: str) -> None:
    values = _read(file, place)
    how = draw(
        st.sampled_from(
            (
                lambda v: v[:-1],
                lambda v: v[:0],
                lambda v: np.concatenate([v, v]),
                lambda v: v[None],
                lambda v: v[0],
            )
        )
    )
    _replace(file, place, how(values))


def _type(draw: st.DrawFn, file: Any, place: str) -> None:
    with np.errstate(all="ignore"):
        _replace(file, place, _read(file, place).astype(draw(st.sampled_from(TYPES))))


def _object(draw: st.DrawFn, file: Any, place: str) -> None:
    kind = draw(st.sampled_from(OBJECTS))
    said = dict(file[place].attrs)
    del file[place]
    if kind == "group":
        file.create_group(place)
    elif kind == "named type":
        file[place] = np.dtype("f8")
    elif kind in ("huge", "huge texts"):  # nothing of it is stored
        file.create_dataset(
            place,
            (draw(st.sampled_from((2**28, 2**40, 2**62))),),
            "f4" if kind == "huge" else TEXT,
            chunks=(1024,),
        )
    elif kind == "lists":
        file.create_dataset(place, (8,), h5py.vlen_dtype(np.int32))
    elif kind == "references":
        file.create_dataset(place, (8,), h5py.ref_dtype)
    else:
        values = {
            "empty": h5py.Empty("f4"),
            "compound": np.zeros(8, [("a", "i4"), ("b", "S3")]),
            "scalar": 3.5,
            "text": "text",
        }
        file[place] = values[kind]
    if draw(st.booleans()):
        file[place].attrs.update(said)


def _attribute(draw: st.DrawFn, file: Any, place: str) -> None:
    there = file[draw(st.sampled_from((place, place, "/")))]
    name = draw(st.sampled_from((*there.attrs, *there.attrs, *ATTRIBUTES)))
    values = (
        st.sampled_from(ENCODINGS)
        | st.sampled_from(SHAPES)
        | st.sampled_from(ODD_TEXTS)
        | st.sampled_from(ODD_NUMBERS)
    )
    odd = st.sampled_from(
        (
            h5py.Empty("f4"),
            b"\xff\xfe",
            file.ref,
            np.zeros(3, [("a", "i4")]),
            ["a", "b"],
            np.ones(3, bool),
            1j,
        )
    )
    kind = draw(st.sampled_from(("delete", "value", "value", "value", "odd", "lists")))
    if kind == "delete":
        del there.attrs[name]
    elif kind == "lists":
        lists = np.empty(1, dtype=object)
        lists[0] = np.arange(3, dtype=np.int32)
        there.attrs.create(name, lists, dtype=h5py.vlen_dtype(np.int32))
    else:
        there.attrs[name] = draw(values if kind == "value" else odd)


def _link(draw: st.DrawFn, file: Any, place: str) -> None:
    kind = draw(st.sampled_from(("delete", "soft", "itself", "nowhere", "above", "circle")))
    places: list[str] = []
    file.visit(places.append)
    if kind == "circle":
        file[f"{place}/again"] = file["/"]
        return
    targets = {
        "soft": f"/{draw(st.sampled_from(sorted(places)))}",
        "itself": f"/{place}",
        "nowhere": "/nowhere",
        "above": "/",
    }
    del file[place]
    if kind != "delete":
        file[place] = h5py.SoftLink(targets[kind])


def _replace(file: Any, place: str, values: Any) -> None:
    said = dict(file[place].attrs)
    del file[place]
    file[place] = values
    file[place].attrs.update(said)
