"""Shards with random faults, for `benchmarks/fuzz.py`: in headers, members, kinds of members, names, or in the whole."""

from __future__ import annotations

import io
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from hypothesis import strategies as st
from PIL import Image

from stclip.data.shards import read_slide


def spot_parts() -> dict[str, bytes]:
    """The members of a good spot."""
    out = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    Image.fromarray(noise).save(out, format="PNG")
    return {"png": out.getvalue(), "txt": b"G1 G2 G3", "json": b'{"sample_id": "A", "x": 1.5, "y": 2}'}


@st.composite
def mutated_shards(draw: st.DrawFn, flipped: Callable[[bytes], st.SearchStrategy[bytes]]) -> bytes:
    """A shard of a few spots: faults in headers, members, kinds of members, names, or in the whole."""
    out = io.BytesIO()
    kinds = (tarfile.REGTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE,
             tarfile.DIRTYPE, tarfile.CONTTYPE, tarfile.GNUTYPE_SPARSE)  # fmt: skip
    formats = st.sampled_from((tarfile.PAX_FORMAT, tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT))
    names = st.sampled_from(
        ("/etc/x", "../../x", "a/../b", "é", ".x", "x" * 99, "__a__", "A", "A_0")
    ) | st.text(max_size=9)
    with tarfile.open(fileobj=out, mode="w", format=draw(formats)) as tar:
        for number in range(draw(st.integers(1, 3))):
            key = f"A_{number}"
            for part, data in spot_parts().items():
                fault = draw(st.sampled_from(("none",) * 24 + ("bytes", "kind", "name", "huge")))
                info = tarfile.TarInfo(f"{key}.{part}")
                content = draw(flipped(data)) if fault == "bytes" else data
                if fault == "kind":
                    info.type = draw(st.sampled_from(kinds))
                    info.linkname = "/etc/passwd"
                elif fault == "name":
                    info.name = f"{draw(names)}.{draw(st.sampled_from((part, 'npy', 'pickle', '')))}"
                info.size = len(content)
                try:
                    header = info.tobuf(tar.format, "utf-8", "surrogateescape")
                except ValueError:  # a name that this format cannot hold
                    continue
                if fault == "huge":
                    info.size = draw(st.sampled_from((2**33 - 1, 2**40, 2**63, 2**80)))
                    header = info.tobuf(tarfile.GNU_FORMAT)
                out.write(header + content + bytes(-len(content) % 512))
                tar.offset = out.tell()
    data = out.getvalue()
    return data if draw(st.booleans()) else draw(flipped(data))


def read_shard(data: bytes, refused_or_accepted: Callable[[Callable[[], object]], bool]) -> bool:
    """Read a slide of one shard under both policies."""
    with tempfile.TemporaryDirectory(prefix="st") as folder:
        path = Path(folder) / "A" / "A_000000.tar"
        path.parent.mkdir()
        path.write_bytes(data)
        skip = refused_or_accepted(
            lambda: list(read_slide(Path(folder), "A", on_bad_spot="skip", skipped=[]))
        )
        strict = refused_or_accepted(
            lambda: list(read_slide(Path(folder), "A", on_bad_spot="error", skipped=[]))
        )
        assert skip or not strict
        assert [p for p in Path(folder).rglob("*") if p.is_file()] == [path]
        return strict
