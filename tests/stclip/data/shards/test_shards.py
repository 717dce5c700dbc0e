"""shards_v1: what is written comes back; what other tools write loads; every fault is named."""

from __future__ import annotations

import importlib
import io
import json
import os
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from stclip.data.shards import read_slide, write_manifest, write_slide
from stclip.data.shards.shards import Spot
from stclip.data.shards.spot import MAX_BYTES
from stclip.errors import DataError

Members = list[tuple[str, bytes]]


def make_spots(count: int, slide: str = "A", seed: int = 0) -> list[Spot]:
    rng = np.random.default_rng(seed)
    tiles = rng.integers(0, 256, (count, 9, 12, 3), dtype=np.uint8)
    return [Spot(slide, f"{i}x{i + 1}", i + 0.5, -2.0 * i, f"G{i} G1 G2", tiles[i]) for i in range(count)]


def png(mode: str = "RGB", size: tuple[int, int] = (8, 8)) -> bytes:
    out = io.BytesIO()
    Image.new(mode, size).save(out, format="PNG")
    return out.getvalue()


def members(key: str, slide: str = "A") -> Members:
    place = json.dumps({"sample_id": slide, "x": 1, "y": 2}).encode()
    return [(f"{key}.png", png()), (f"{key}.txt", b"G1 G2"), (f"{key}.json", place)]


def write_tar(folder: Path, content: Members, slide: str = "A", number: int = 0) -> Path:
    """A shard as another tool might write it."""
    path = folder / slide / f"{slide}_{number:06d}.tar"
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as tar:
        for name, data in content:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path


def read(folder: Path, slide: str = "A") -> list[Spot]:
    return list(read_slide(folder, slide, on_bad_spot="error", skipped=[]))


def test_what_is_written_comes_back(tmp_path: Path) -> None:
    spots = make_spots(11)
    assert write_slide(tmp_path, "A", spots, spots_per_shard=4) == 11
    assert [p.name for p in sorted((tmp_path / "A").iterdir())] == [f"A_{i:06d}.tar" for i in range(3)]
    back = read(tmp_path)
    for wrote, got in zip(spots, back, strict=True):
        assert (got.slide, got.spot, got.x, got.y, got.sentence) == (
            wrote.slide,
            wrote.spot,
            wrote.x,
            wrote.y,
            wrote.sentence,
        )
        np.testing.assert_array_equal(got.tile, wrote.tile)


def test_member_names_and_json_are_those_of_the_format(tmp_path: Path) -> None:
    write_slide(tmp_path, "A", make_spots(1))
    with tarfile.open(tmp_path / "A" / "A_000000.tar") as tar:
        assert sorted(tar.getnames()) == ["A_0x1.json", "A_0x1.png", "A_0x1.txt"]
        place = tar.extractfile("A_0x1.json")
        assert place is not None
        assert json.load(place) == {"sample_id": "A", "x": 0.5, "y": 0.0}


def test_same_spots_give_the_same_bytes(tmp_path: Path) -> None:
    for folder in ("one", "two"):
        write_slide(tmp_path / folder, "A", make_spots(3))
    one, two = (tmp_path / folder / "A" / "A_000000.tar" for folder in ("one", "two"))
    assert one.read_bytes() == two.read_bytes()


def test_a_write_that_fails_leaves_the_slide_as_it_was(tmp_path: Path) -> None:
    write_slide(tmp_path, "A", make_spots(2))

    def breaks_off() -> Iterator[Spot]:
        yield from make_spots(5, seed=1)
        raise RuntimeError("out of spots")

    with pytest.raises(RuntimeError, match="out of spots"):
        write_slide(tmp_path, "A", breaks_off())
    assert [p.name for p in tmp_path.iterdir()] == ["A"]
    assert len(read(tmp_path)) == 2


def test_writing_again_replaces_all_shards(tmp_path: Path) -> None:
    write_slide(tmp_path, "A", make_spots(9), spots_per_shard=2)
    write_slide(tmp_path, "A", make_spots(3), spots_per_shard=2)
    assert len(read(tmp_path)) == 3
    assert [p.name for p in tmp_path.iterdir()] == ["A"]


@pytest.mark.parametrize(
    ("spot", "match"),
    [
        (Spot("B", "1", 0, 0, "G", np.zeros((4, 4, 3), np.uint8)), "belongs to slide 'B', not to 'A'"),
        (Spot("A", "1/2", 0, 0, "G", np.zeros((4, 4, 3), np.uint8)), "spot key must be a plain name.*'1/2'"),
        (
            Spot("A", "1", 0, 0, "G", np.zeros((4, 4), np.uint8)),
            r"must be uint8 \[H, W, 3\], got uint8 \[4, 4\]",
        ),
        (Spot("A", "1", 0, 0, "G", np.zeros((4, 4, 3))), "must be uint8.*got float64"),
    ],
)
def test_writer_refuses_what_the_reader_would(tmp_path: Path, spot: Spot, match: str) -> None:
    with pytest.raises(DataError, match=match):
        write_slide(tmp_path, "A", [spot])


def test_manifest(tmp_path: Path) -> None:
    write_manifest(tmp_path, "mine", {"A": 3, "B": 4}, {"seed": 7, "dataset": {"about": "x"}})
    assert json.loads((tmp_path / "manifest.json").read_text()) == {
        "seed": 7,
        "dataset": {"about": "x", "key": "mine"},
        "outputs": {"sample_dirs": ["A", "B"], "per_sample_spots": {"A": 3, "B": 4}},
    }


# Shards of other tools


def test_dots_folders_and_foreign_members(tmp_path: Path) -> None:
    content = [
        ("notes.md", b"not a spot"),
        ("./._A_10.5x3.png", b"left by macOS"),
        *[(f"./{name}", data) for name, data in members("A_10.5x3")],
        ("A_10.5x3.npy", b"\x93NUMPY, never looked at"),
        ("A_10.5x3.pkl", b"never unpickled"),
        *[(f"A/{name.upper()}", data) for name, data in members("A_10.6x3")],
    ]
    write_tar(tmp_path, content)
    assert [s.spot for s in read(tmp_path)] == ["10.5x3", "10.6X3"]


def test_members_of_a_spot_may_lie_apart_and_in_any_order(tmp_path: Path) -> None:
    first, second = members("A_1"), members("2")
    write_tar(tmp_path, [first[2], second[0], first[1], second[1], first[0], second[2]])
    assert [s.spot for s in read(tmp_path)] == ["1", "2"]


@pytest.mark.parametrize("sample_id", ["A", "A_1", "1", None])
def test_sample_id_may_name_the_slide_or_the_spot(tmp_path: Path, sample_id: str | None) -> None:
    content = members("A_1")
    content[2] = ("A_1.json", json.dumps({"sample_id": sample_id, "x": 3, "y": 4.5, "more": []}).encode())
    write_tar(tmp_path, content)
    (spot,) = read(tmp_path)
    assert (spot.x, spot.y) == (3.0, 4.5)


@pytest.mark.parametrize("mode", ["L", "LA", "RGBA", "P", "1", "I;16"])
def test_every_kind_of_png_becomes_rgb(tmp_path: Path, mode: str) -> None:
    write_tar(tmp_path, [("A_1.png", png(mode)), *members("A_1")[1:]])
    (spot,) = read(tmp_path)
    assert spot.tile.shape == (8, 8, 3)
    assert spot.tile.dtype == np.uint8


def test_sixteen_bit_grey_keeps_its_shades(tmp_path: Path) -> None:
    grey = np.array([[0, 300 * 128], [128 * 256, 65535]], dtype=np.uint16)
    out = io.BytesIO()
    Image.fromarray(grey).save(out, format="PNG")
    write_tar(tmp_path, [("A_1.png", out.getvalue()), *members("A_1")[1:]])
    (spot,) = read(tmp_path)
    np.testing.assert_array_equal(spot.tile[..., 1], [[0, 150], [128, 255]])


def test_sentence_is_split_on_any_white_space(tmp_path: Path) -> None:
    content = members("A_1")
    content[1] = ("A_1.txt", "\ufeffG2  G1\tG3\r\n".encode())
    write_tar(tmp_path, content)
    assert read(tmp_path)[0].sentence == "G2 G1 G3"


# Faults of one spot


def jpeg() -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (8, 8)).save(out, format="JPEG")
    return out.getvalue()


def noise_png() -> bytes:
    out = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    Image.fromarray(noise).save(out, format="PNG")
    return out.getvalue()


BAD_SPOTS = [
    ("png", b"this is no picture", "broken PNG"),
    ("png", b"", "broken PNG"),
    ("png", noise_png()[:1500], "broken PNG"),
    ("png", jpeg(), "broken PNG"),
    ("png", png("L", (4097, 1)), r"at most 4096 pixels, got \(4097, 1\)"),
    ("png", None, "missing, and no .jpg either"),
    ("txt", b"KRT19,EPCAM,CDH1", "genes are separated by spaces, got ',' as in 'KRT19,EPCAM,CDH1'"),
    ("txt", b"KRT19, EPCAM, CDH1", "genes are separated by spaces, got ',' as in 'KRT19, EPCAM, CDH1'"),
    ("txt", b"KRT19;EPCAM;CDH1", "genes are separated by spaces, got ';'"),
    ("txt", None, "missing"),
    ("json", None, "missing"),
    ("txt", b" \n", "the gene sentence is empty"),
    ("txt", b"\xff\xfe\x00", "not UTF-8"),
    ("json", b"{", "not valid JSON"),
    ("json", b"[" * 100_000, "not valid JSON"),
    ("json", b"[1, 2]", "must be an object with x and y, got list"),
    ("json", b'{"x": 1}', "y must be a finite number.*got nothing"),
    ("json", b'{"x": "1", "y": 1}', "x must be a finite number.*got '1'"),
    ("json", b'{"x": true, "y": 1}', "x must be a finite number.*got True"),
    ("json", b'{"x": 1, "y": NaN}', "y must be a finite number.*got nan"),
    ("json", b'{"x": 1, "y": 1e999}', "y must be a finite number.*got inf"),
    ("json", b'{"x": 1, "y": ' + b"9" * 400 + b"}", "y must be a finite number"),
    ("json", b'{"x": 1, "y": 1, "sample_id": "B"}', "sample_id must be the slide 'A'.*got 'B'"),
]


def with_bad_spot(part: str, data: bytes | None) -> Members:
    bad = [(name, data if name.endswith(part) else old) for name, old in members("A_bad")]
    return [*members("A_1"), *[(name, data) for name, data in bad if data is not None], *members("A_2")]


@pytest.mark.parametrize(("part", "data", "match"), BAD_SPOTS)
def test_bad_spot_is_one_line_with_place_and_way_out(
    tmp_path: Path, part: str, data: bytes | None, match: str
) -> None:
    shard = write_tar(tmp_path, with_bad_spot(part, data))
    with pytest.raises(DataError, match=match) as error:
        read(tmp_path)
    message = str(error.value)
    assert message.startswith(f"{shard}: member 'A_bad.{part}': ")
    assert message.endswith("data.on_bad_spot: skip")
    assert "\n" not in message


@pytest.mark.parametrize(("part", "data", "match"), BAD_SPOTS)
def test_bad_spot_is_skipped_on_request(tmp_path: Path, part: str, data: bytes | None, match: str) -> None:
    write_tar(tmp_path, with_bad_spot(part, data))
    skipped: list[str] = []
    good = [s.spot for s in read_slide(tmp_path, "A", on_bad_spot="skip", skipped=skipped)]
    assert (good, skipped) == (["1", "2"], ["bad"])


def jpeg_members(key: str, extension: str, tile: bytes) -> Members:
    return [(f"{key}.{extension}", tile), *members(key)[1:]]


@pytest.mark.parametrize("extension", ["jpg", "jpeg", "JPG"])
def test_tiles_in_jpeg_are_read(tmp_path: Path, extension: str) -> None:
    out = io.BytesIO()
    Image.new("RGB", (8, 6), (200, 40, 90)).save(out, format="JPEG", quality=95)
    write_tar(tmp_path, jpeg_members("A_1", extension, out.getvalue()))
    (spot,) = read(tmp_path)
    assert spot.tile.shape == (6, 8, 3) and np.abs(spot.tile.astype(int) - [200, 40, 90]).max() < 8


@pytest.mark.parametrize("last", [True, False])
def test_of_a_tile_in_both_forms_png_is_taken(tmp_path: Path, last: bool) -> None:
    both = [*members("A_1"), ("A_1.jpg", b"a thumbnail"), ("A_1.jpeg", b"another")]
    write_tar(tmp_path, both if last else both[::-1])
    assert [spot.spot for spot in read(tmp_path)] == ["1"]


@pytest.mark.parametrize(
    ("tile", "rule"),
    [
        (jpeg()[:300], r"member 'A_1.jpg': broken JPEG"),
        (png(), r"member 'A_1.jpg': broken JPEG"),
        (b"", r"member 'A_1.jpg': broken JPEG"),
    ],
)
def test_a_broken_jpeg(tmp_path: Path, tile: bytes, rule: str) -> None:
    write_tar(tmp_path, jpeg_members("A_1", "jpg", tile))
    with pytest.raises(DataError, match=rule):
        read(tmp_path)


def test_a_jpeg_that_claims_to_be_large(tmp_path: Path, recwarn: pytest.WarningsRecorder) -> None:
    data = bytearray(jpeg())
    at = data.index(b"\xff\xc0") + 5
    data[at : at + 4] = (10_000).to_bytes(2) * 2
    write_tar(tmp_path, jpeg_members("A_1", "jpg", bytes(data)))
    with pytest.raises(
        DataError, match=r"member 'A_1.jpg': a tile's side is at most 4096 pixels, got \(10000, 10000\)"
    ):
        read(tmp_path)
    assert not recwarn.list


def test_what_is_transparent_in_a_tile_is_white(tmp_path: Path) -> None:
    out = io.BytesIO()
    Image.new("RGBA", (8, 8), (0, 0, 0, 0)).save(out, format="PNG")
    write_tar(tmp_path, [("A_1.png", out.getvalue()), *members("A_1")[1:]])
    assert (read(tmp_path)[0].tile == 255).all()


@pytest.mark.parametrize("kind", ["gzip", "bz2", "lzma"])
def test_a_compressed_shard_is_said_to_be(tmp_path: Path, kind: str) -> None:
    shard = write_tar(tmp_path, members("A_1"))
    packed = importlib.import_module(kind).compress(shard.read_bytes())
    shard.write_bytes(packed)
    with pytest.raises(
        DataError, match=r"A_000000.tar: is compressed with \w+, not a plain tar; unpack it to a plain .tar"
    ):
        read(tmp_path)
    shard.rename(shard.with_name("A_000000.tar.gz"))
    with pytest.raises(
        DataError, match=r"A: its shards are compressed, such as A_000000.tar.gz; unpack it to a plain .tar"
    ):
        read(tmp_path)


def test_a_symbol_with_a_comma_among_others_is_left_alone(tmp_path: Path) -> None:
    write_tar(
        tmp_path, [(name, b"G1 G2 G,3 G4" if name.endswith("txt") else data) for name, data in members("A_1")]
    )
    assert read(tmp_path)[0].sentence == "G1 G2 G,3 G4"


def test_oversized_member_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(MAX_BYTES, "txt", 10_000)
    write_tar(tmp_path, [*with_bad_spot("txt", b"G " * 10_000), ("A_1.raw", bytes(50_000))])
    with pytest.raises(DataError, match=r"member 'A_bad.txt': larger than"):
        read(tmp_path)
    skipped: list[str] = []
    assert len(list(read_slide(tmp_path, "A", on_bad_spot="skip", skipped=skipped))) == 2
    assert skipped == ["bad"]


# Faults of a slide: never skipped


@pytest.mark.parametrize("policy", ["error", "skip"])
@pytest.mark.parametrize("second_shard", [False, True])
def test_a_key_given_twice(tmp_path: Path, policy: str, second_shard: bool) -> None:
    if second_shard:
        write_tar(tmp_path, members("A_1"), number=0)
        write_tar(tmp_path, members("A_1"), number=1)
    else:
        write_tar(tmp_path, members("A_1") + members("A_1"))
    with pytest.raises(DataError, match="key 'A_1' is given twice"):
        list(read_slide(tmp_path, "A", on_bad_spot=policy, skipped=[]))  # type: ignore[arg-type]


def truncated_sizes() -> list[int]:
    whole = 3 * (512 + 512)  # three members of one spot, a header and a block of data each
    return [0, 100, 512, 700, 1024, 1024 + 300, whole - 512, whole]


@pytest.mark.parametrize("size", truncated_sizes())
@pytest.mark.parametrize("policy", ["error", "skip"])
def test_truncated_tar(tmp_path: Path, size: int, policy: str) -> None:
    shard = write_tar(tmp_path, members("A_1"))
    shard.write_bytes(shard.read_bytes()[:size])
    with pytest.raises(DataError, match=r"A_000000\.tar: the tar is truncated or damaged .*write it again"):
        list(read_slide(tmp_path, "A", on_bad_spot=policy, skipped=[]))  # type: ignore[arg-type]


def test_header_damaged_in_the_middle(tmp_path: Path) -> None:
    shard = write_tar(tmp_path, [*members("A_1"), *members("A_2")])
    data = bytearray(shard.read_bytes())
    data[3 * 1024 + 150] ^= 0xFF
    shard.write_bytes(data)
    with pytest.raises(DataError, match="truncated or damaged"):
        read(tmp_path)


def test_empty_slide(tmp_path: Path) -> None:
    write_slide(tmp_path, "A", [])
    with pytest.raises(DataError, match="the slide is empty: its shards hold no spot"):
        read(tmp_path)


def test_slide_that_skipping_emptied(tmp_path: Path) -> None:
    write_tar(tmp_path, [("A_1.png", b"x"), *members("A_1")[1:]])
    with pytest.raises(DataError, match="all of its 1 spots were skipped"):
        list(read_slide(tmp_path, "A", on_bad_spot="skip", skipped=[]))


@pytest.mark.parametrize("slide", ["..", "a/b", "", "/etc"])
def test_slide_ids_stay_inside_the_data_set(tmp_path: Path, slide: str) -> None:
    with pytest.raises(DataError, match="slide id must be a plain name"):
        read(tmp_path, slide)


def test_import_is_light() -> None:
    code = "import sys, stclip.data.shards; print({'webdataset', 'torch', 'PIL'} & set(sys.modules))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "set()"


def test_a_pipe_instead_of_a_shard_does_not_wait(tmp_path: Path) -> None:
    path = write_tar(tmp_path, members("A_1"))
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(DataError, match="a named pipe, not a regular file"):
        read(tmp_path)
