"""Shards made to do harm: each is refused in one line, or its odd members are passed over."""

from __future__ import annotations

import io
import os
import resource
import struct
import subprocess
import sys
import tarfile
import zlib
from pathlib import Path

import pytest
from PIL import Image

from stclip.data.shards import read_slide
from stclip.data.shards.shards import Spot
from stclip.data.shards.spot import MAX_BYTES, MAX_NAME
from stclip.errors import DataError
from stclip.files.paths import PROJECT_ROOT


def png(size: tuple[int, int] = (8, 8)) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", size).save(out, format="PNG")
    return out.getvalue()


def spot_members(key: str) -> dict[str, bytes]:
    return {f"{key}.png": png(), f"{key}.txt": b"G1 G2", f"{key}.json": b'{"x": 1, "y": 2}'}


def info_of(name: str, size: int = 0, **more: object) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.size = size
    for key, value in more.items():
        setattr(info, key, value)
    return info


def shard_of(folder: Path, *extra: tuple[tarfile.TarInfo, bytes], front: bytes = b"") -> Path:
    """A shard of slide A with a good spot, further members, and raw bytes in front of all."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, data in spot_members("A_1").items():
            tar.addfile(info_of(name, len(data)), io.BytesIO(data))
        for info, data in extra:
            tar.addfile(info, io.BytesIO(data))
    path = folder / "A" / "A_000000.tar"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(front + out.getvalue())
    return path


def header(size_field: bytes, kind: bytes = b"0", name: bytes = b"A_2.png") -> bytes:
    """A tar header with any twelve bytes as its size, and a right checksum."""
    block = bytearray(512)
    block[: len(name)] = name
    block[100:124] = b"0000644\0" + b"0000000\0" * 2
    block[124:136] = size_field
    block[136:148] = b"00000000000\0"
    block[148:156] = b" " * 8
    block[156:157] = kind
    block[257:265] = b"ustar\x0000"
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


def base256(number: int) -> bytes:
    return (0x80 << 88 | number if number >= 0 else (1 << 96) + number).to_bytes(12, "big")


def read(folder: Path) -> list[Spot]:
    return list(read_slide(folder, "A", on_bad_spot="error", skipped=[]))


@pytest.mark.parametrize(
    "info",
    [
        info_of("A_2.png", type=tarfile.SYMTYPE, linkname="/etc/passwd"),
        info_of("A_2.txt", type=tarfile.LNKTYPE, linkname="A_1.txt"),
        info_of("A_2.png", type=tarfile.CHRTYPE, devmajor=1, devminor=3),
        info_of("A_2.png", type=tarfile.BLKTYPE, devmajor=8, devminor=0),
        info_of("A_2.json", type=tarfile.FIFOTYPE),
        info_of("A_2.png", type=tarfile.DIRTYPE),
        *(
            info_of(f"A_1.{kind}", 4)
            for kind in ("pickle", "pkl", "npy", "npz", "pyd", "pt", "pth", "py", "so", "gz")
        ),
    ],
    ids=lambda info: f"{info.name}-{info.type.decode()}",
)
def test_other_kinds_of_members_are_passed_over(tmp_path: Path, info: tarfile.TarInfo) -> None:
    shard_of(tmp_path, (info, b"evil"))
    assert [spot.spot for spot in read(tmp_path)] == ["1"]


@pytest.mark.parametrize("name", ["/tmp/stclip_absolute", "../../outside", "a/../../outside", "A/.."])
def test_no_member_is_written_to_disk(tmp_path: Path, name: str) -> None:
    extra = [(info_of(f"{name}_2{ending[3:]}", len(d)), d) for ending, d in spot_members("A_1").items()]
    shard = shard_of(tmp_path / "data", *extra)
    read(tmp_path / "data")
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [shard]
    assert not list(Path("/tmp").glob("stclip_absolute*"))


FAULTS = {
    "8 EiB": base256(2**63 - 1),
    "beyond any file": base256(2**80),
    "backwards": base256(-512),
    "back to the start": base256(-4096),
    "not a number": b"zzzzzzzzzzz\0",
}


@pytest.mark.parametrize("kind", [b"0", b"x", b"g", b"L", b"K", b"S", b"5"], ids=bytes.decode)
@pytest.mark.parametrize("size", FAULTS.values(), ids=FAULTS)
@pytest.mark.timeout(300)
def test_headers_with_absurd_sizes(tmp_path: Path, size: bytes, kind: bytes) -> None:
    shard = shard_of(tmp_path)
    whole = shard.read_bytes()
    for damaged in (
        header(size, kind) + whole,
        whole[: 3 * 1024] + header(size, kind) + bytes(1024),
    ):
        shard.write_bytes(damaged)
        if kind == b"5" and size in (FAULTS["8 EiB"], FAULTS["beyond any file"]):
            assert [spot.spot for spot in read(tmp_path)] == ["1"]  # how large a folder is means nothing
            continue
        with pytest.raises(DataError, match=rf"^{shard}: the tar is truncated or damaged \("):
            read(tmp_path)


def test_headers_before_headers_without_end(tmp_path: Path) -> None:
    shard_of(tmp_path, front=(header(b"00000000000\0", b"L") * 5000))
    with pytest.raises(DataError, match="too many headers for one member"):
        read(tmp_path)


@pytest.mark.timeout(300)
def test_a_header_that_python_parses_in_quadratic_time(tmp_path: Path) -> None:
    size = 4 * 2**20
    shard_of(tmp_path, front=header(b"%011o\0" % size, b"x") + b"1" * size)
    with pytest.raises(DataError, match="a header of 4194304 bytes, where 8192 are the most"):
        read(tmp_path)


def test_sparse_members_are_refused(tmp_path: Path) -> None:
    """A few bytes that stand for gigabytes of zeros."""
    info = info_of("A_2.txt", 4, pax_headers={
        "GNU.sparse.major": "0", "GNU.sparse.minor": "1", "GNU.sparse.name": "A_2.txt",
        "GNU.sparse.size": str(2**40), "GNU.sparse.map": "0,4",
    })  # fmt: skip
    shard_of(tmp_path, (info, b"G1  "))
    with pytest.raises(
        DataError, match=r"A_000000\.tar: .*member 'A_2\.txt' is a sparse file; store it whole"
    ):
        read(tmp_path)


def test_a_tar_that_a_guessing_reader_takes_for_gzip(tmp_path: Path) -> None:
    """Its first member's name is the head of a gzip file; a reader that guesses would unpack what follows."""
    inner = shard_of(tmp_path / "inner").read_bytes().replace(b"A_1", b"A_9")
    packed = zlib.compressobj(9, wbits=-15)
    body = packed.compress(inner) + packed.flush() + struct.pack("<II", zlib.crc32(inner), len(inner))
    skip = 512 - 12  # the FEXTRA field covers the rest of the tar header
    name = b"\x1f\x8b\x08\x04" + b"AAAA" + b"AA" + struct.pack("<H", skip)
    shard_of(tmp_path, front=header(b"%011o\0" % len(body), name=name) + body + bytes(-len(body) % 512))
    assert [spot.spot for spot in read(tmp_path)] == ["1"]


@pytest.mark.parametrize("part", ["txt", "json"])
def test_text_has_limits_of_its_own(tmp_path: Path, part: str) -> None:
    data = b" " * (MAX_BYTES[part] + 1)
    extra = [(info_of(f"A_2.{kind}", len(d)), d) for kind, d in (("png", png()), (part, data))]
    shard_of(tmp_path, *extra)
    limit = MAX_BYTES[part] // 2**20
    with pytest.raises(DataError, match=rf"A_000000\.tar: member 'A_2\.{part}': larger than {limit} MB"):
        read(tmp_path)


@pytest.mark.parametrize("name", ["x" * (MAX_NAME + 1), "x" * 7000, "a\x1b[2Jb", "a\u202eb"])
def test_names_have_limits(tmp_path: Path, name: str) -> None:
    members = spot_members(name)
    shard_of(tmp_path, *((info_of(n, len(d)), d) for n, d in members.items()))
    with pytest.raises(
        DataError, match=r"a spot's name is printable and has at most 200 characters"
    ) as error:
        read(tmp_path)
    assert len(str(error.value)) < 700 and str(error.value).isprintable()


def test_content_after_the_end_mark(tmp_path: Path) -> None:
    shard = shard_of(tmp_path)
    shard.write_bytes(shard.read_bytes() + shard.read_bytes().replace(b"A_1", b"A_2"))
    with pytest.raises(DataError, match="content after its end mark: two tars in one file"):
        read(tmp_path)


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def bomb_png(width: int, height: int, extra: bytes = b"") -> bytes:
    """A PNG whose few bytes say that they are a large picture."""
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = chunk(b"IDAT", zlib.compress(bytes(10_000_000), 9)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + extra + body


BOMBS = {
    "pixels": (bomb_png(100_000, 100_000), "at most 4096 pixels"),
    "pixels that Pillow warns of": (bomb_png(10_000, 10_000), "at most 4096 pixels"),
    "a side": (bomb_png(4097, 1), "at most 4096 pixels"),
    "text": (
        bomb_png(8, 8, chunk(b"zTXt", b"k\0\0" + zlib.compress(bytes(200_000_000), 9))),
        None,  # Pillow stops unpacking it at 1 MB
    ),
    "colour profile": (
        bomb_png(8, 8, chunk(b"iCCP", b"k\0\0" + zlib.compress(bytes(200_000_000), 9))),
        None,
    ),
}
READ = """
import resource, sys
from pathlib import Path
from stclip.data.shards import read_slide
from stclip.errors import DataError
import numpy, PIL.Image, PIL.PngImagePlugin
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    print(len(list(read_slide(Path(sys.argv[1]), "A", on_bad_spot="error", skipped=[]))))
except DataError as error:
    print(error)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


@pytest.mark.parametrize(("data", "match"), BOMBS.values(), ids=BOMBS)
def test_small_pictures_that_unpack_to_gigabytes(tmp_path: Path, data: bytes, match: str | None) -> None:
    members = {**spot_members("A_2"), "A_2.png": data}
    shard_of(tmp_path, *((info_of(n, len(d)), d) for n, d in members.items()))
    done = subprocess.run(
        [sys.executable, "-c", READ, str(tmp_path)],
        capture_output=True, text=True, check=True, env={**os.environ, "PYTHONPATH": str(PROJECT_ROOT)},
    )  # fmt: skip
    outcome, megabytes = done.stdout.splitlines()
    assert int(megabytes) < 100
    assert done.stderr == ""
    if match is not None:
        assert "member 'A_2.png'" in outcome
        with pytest.raises(DataError, match=match):
            read(tmp_path)


def test_a_claim_of_gigabytes_takes_no_memory(tmp_path: Path) -> None:
    shard = shard_of(tmp_path)
    shard.write_bytes(header(base256(2**36), b"x") + shard.read_bytes())
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(DataError, match="truncated or damaged"):
        read(tmp_path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000  # KB
