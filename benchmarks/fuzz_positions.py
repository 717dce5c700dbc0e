"""Space Ranger's positions and scale factors with random faults, for `benchmarks/fuzz.py`: as CSV, Parquet and JSON."""

from __future__ import annotations

import io
import json
from functools import lru_cache
from typing import Any

import numpy as np
from hypothesis import strategies as st

from benchmarks.fuzz_matrices import BARCODES, XY, Example, visium_slide

HEADER = ("barcode", "in_tissue", "array_row", "array_col", "pxl_row_in_fullres", "pxl_col_in_fullres")
CELLS = ("", " ", "0", "1", "-1", "7.5", "1e400", "-1e400", "1e308", "-1e308", "1e19", "1e15", "9" * 400, "9" * 5000, "nan",
         "inf", "1,5", "1_0", "0x1", "²", "٣", "None", "True", '"', '"1', '"a\nb"', "\x00", "\x1b[2J", "é", "barcode",
         "AACCGGTT-1", "x" * 9000, "../x", "=1+1")  # fmt: skip
VALUES = (None, True, 0, -1, 1, 0.5, 1e-300, 1e-320, 1e-9, 1e-4, 1e300, 10**400, float("nan"), float("inf"), float("-inf"), "0.5",
          [], {}, "x" * 5000, [0.5])  # fmt: skip
SCALES = ("microns_per_pixel", "tissue_hires_scalef", "tissue_lowres_scalef", "spot_diameter_fullres", "é")
TEXTS = (
    b"",
    b" ",
    b"[]",
    b"7",
    b"null",
    b"{",
    b"{}" * 3,
    b"[" * 5000,
    b"\xff\xfe",
    b'{"a": 1, "a": 2}',
    b"\x00",
)


@st.composite
def mutated_positions(draw: st.DrawFn) -> Example:
    """A slide of Space Ranger with a fault in its positions, its scale factors, or both."""
    form = draw(
        st.sampled_from(
            ("tissue_positions.csv",) * 3 + ("tissue_positions_list.csv", "tissue_positions.parquet")
        )
    )
    scales = draw(st.booleans())
    changed = {"spatial/scalefactors_json.json": draw(_scales())} if scales else {}
    if form.endswith("parquet"):
        table = draw(_parquet())
    elif scales and draw(st.booleans()):
        table = "\n".join(",".join(row) for row in _rows()).encode()
    else:
        table = draw(_csv(header=form == "tissue_positions.csv"))
    return visium_slide(changed | {f"spatial/{form}": table}, without="spatial/tissue_positions.csv")


def _rows() -> list[list[str]]:
    places = zip(BARCODES, XY.tolist(), strict=True)
    return [
        list(HEADER),
        *([code, "1", "0", str(at), str(y), str(x)] for at, (code, (x, y)) in enumerate(places)),
    ]


@st.composite
def _csv(draw: st.DrawFn, header: bool) -> bytes:
    rows = _rows()[0 if header else 1 :]
    for _ in range(draw(st.integers(0, 3))):
        row = draw(st.integers(0, len(rows) - 1))
        column = draw(st.integers(0, 5))
        kind = draw(
            st.sampled_from(
                ("cell", "cell", "cell", "column", "drop", "double", "shorter", "longer", "blank")
            )
        )
        if kind == "cell" and column < len(rows[row]):
            rows[row][column] = draw(st.sampled_from(CELLS) | st.text(max_size=9))
        elif kind == "column":
            odd = draw(st.sampled_from(CELLS[:24]))
            for other in rows[1:]:
                other[column:] = [odd, *other[column + 1 :]]
        elif kind == "drop" and len(rows) > 1:
            del rows[row]
        elif kind == "double":
            rows.insert(row, list(rows[row]))
        elif kind == "shorter":
            rows[row] = rows[row][:column]
        elif kind == "longer":
            rows[row] = [*rows[row], "1"]
        elif kind == "blank":
            rows.insert(row, [])
    between = draw(st.sampled_from((",", ",", ",", ";", "\t", "|", ", ")))
    text = draw(st.sampled_from(("\n", "\n", "\r\n", "\r"))).join(between.join(row) for row in rows)
    encoding = draw(st.sampled_from(("utf-8", "utf-8", "utf-8", "utf-8-sig", "utf-16", "latin-1")))
    return text.encode(encoding, errors="replace")


@st.composite
def _scales(draw: st.DrawFn) -> bytes:
    if draw(st.integers(0, 4)) == 0:
        return draw(st.sampled_from(TEXTS))
    tree: dict[str, Any] = {"microns_per_pixel": 10.0, "tissue_hires_scalef": 0.5}
    for name in draw(st.lists(st.sampled_from(SCALES), max_size=3)):
        tree[name] = draw(st.sampled_from(VALUES) | st.floats())
    return json.dumps(tree).encode()


@st.composite
def _parquet(draw: st.DrawFn) -> bytes:
    data = _good_parquet(draw(st.sampled_from(("plain", "plain", "texts", "lists", "missing"))))
    changed = bytearray(data)
    for at in draw(st.lists(st.integers(0, len(data) - 1), max_size=3)):
        changed[at] = draw(st.integers(0, 255))
    return bytes(changed)


@lru_cache
def _good_parquet(kind: str) -> bytes:
    """`kind`: what the columns of places hold."""
    import pyarrow
    import pyarrow.parquet

    columns: dict[str, Any] = dict(zip(HEADER, zip(*_rows()[1:], strict=True), strict=True))
    places = {name: np.array(columns[name], dtype=np.float64) for name in HEADER[1:]}
    columns |= {
        "plain": places,
        "texts": {},
        "lists": places | {HEADER[4]: [[1.0]] * len(BARCODES)},
        "missing": places | {HEADER[4]: [None] * len(BARCODES)},
    }[kind]
    out = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.table(columns), out)
    return out.getvalue()
