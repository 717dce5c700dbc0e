"""shards_v1 on disk: one folder of tar files a slide, three members (.png or .jpg, .txt, .json) a spot."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np

from stclip.data.shards.spot import MAX_BYTES, TEXTS, TILES, RawSpot, Spot, decode, one_line
from stclip.data.shards.tar_members import Member, TarError, regular_members
from stclip.errors import DataError
from stclip.files.paths import plain_name
from stclip.files.regular_files import open_regular
from stclip.files.whole_files import is_there, read_own_json, write_whole

MANIFEST = "manifest.json"
PACKED = (".gz", ".tgz", ".bz2", ".xz", ".zst")
# The first bytes.
MARKS = {
    b"\x1f\x8b": "gzip",
    b"BZh": "bzip2",
    b"\xfd7zXZ": "xz",
    b"\x28\xb5\x2f\xfd": "zstd",
}
UNPACK = "unpack it to a plain .tar, as gunzip, bunzip2, unxz or unzstd do"
RECORD = "conversion.json"  # in a slide's folder: how it was made


def write_slide(
    dataset_dir: Path,
    slide: str,
    spots: Iterable[Spot],
    spots_per_shard: int = 5000,
    record: Callable[[], Mapping[str, Any]] | None = None,
) -> int:
    """Write a slide's shards, `<dataset_dir>/<slide>/<slide>_000000.tar` and so on; returns how many spots.

    The bytes depend on the spots alone. The folder appears whole or not at all; an older one is replaced. `record` is called
    when all spots are written; what it returns is kept as conversion.json beside the shards.
    Raises DataError: a slide or spot name is not a plain file name, a tile is not uint8 [H, W, 3].
    """
    from webdataset.writer import ShardWriter

    final = dataset_dir / plain_name(slide, "slide id")
    partial = dataset_dir / f".{slide}.partial"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    pattern = str((partial / slide).resolve()).replace("%", "%%") + "_%06d.tar"
    count = 0
    try:
        with ShardWriter(
            pattern,
            maxcount=spots_per_shard,
            verbose=0,
            encoder=False,
            mtime=0,
            user="stclip",
            group="stclip",
            format="PAX_FORMAT",
        ) as shards:
            for spot in spots:
                shards.write(_members(slide, spot))
                count += 1
        if record is not None:
            (partial / RECORD).write_text(json.dumps(record(), indent=2) + "\n", encoding="utf-8")
        _replace_folder(partial, final)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return count


def _members(slide: str, spot: Spot) -> dict[str, Any]:
    from PIL import Image

    if spot.slide != slide:
        raise DataError(
            f"spot '{spot.spot}' belongs to slide '{spot.slide}', not to '{slide}' that is written"
        )
    if spot.tile.dtype != np.uint8 or spot.tile.ndim != 3 or spot.tile.shape[2] != 3:
        got = f"{spot.tile.dtype} {list(spot.tile.shape)}"
        raise DataError(f"spot '{spot.spot}' of slide '{slide}': a tile must be uint8 [H, W, 3], got {got}")
    png = BytesIO()
    Image.fromarray(spot.tile).save(png, format="PNG")
    place = {"sample_id": slide, "x": float(spot.x), "y": float(spot.y)}
    return {
        "__key__": f"{slide}_{plain_name(spot.spot, 'spot key')}",
        "png": png.getvalue(),
        "txt": spot.sentence.encode(),
        "json": json.dumps(place, allow_nan=False).encode(),
    }


def _replace_folder(source: Path, target: Path) -> None:
    old = target.with_name(f".{target.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if target.exists():
        target.rename(old)
    source.rename(target)
    shutil.rmtree(old, ignore_errors=True)


def write_manifest(
    dataset_dir: Path, name: str, per_sample_spots: Mapping[str, int], extra: Mapping[str, Any]
) -> None:
    """Write manifest.json: the data set's name, its slide folders, spots of each, `extra` top-level keys."""
    tree = {
        **extra,
        "dataset": {**extra.get("dataset", {}), "key": name},
        "outputs": {
            **extra.get("outputs", {}),
            "sample_dirs": list(per_sample_spots),
            "per_sample_spots": dict(per_sample_spots),
        },
    }
    write_whole(dataset_dir / MANIFEST, json.dumps(tree, indent=2) + "\n")


def read_manifest(dataset_dir: Path) -> dict[str, Any]:
    """manifest.json; {} where there is none. Raises DataError when it is no JSON object."""
    path = dataset_dir / MANIFEST
    return read_own_json(path) if is_there(path) else {}


def read_slide(
    dataset_dir: Path, slide: str, *, on_bad_spot: Literal["error", "skip"], skipped: list[str]
) -> Iterator[Spot]:
    """The spots of a slide, in the order of the shards.

    With `on_bad_spot="skip"` the keys of bad spots are appended to `skipped` and nothing is raised for them.
    Raises DataError: a bad spot (under "error"); always: a key given twice, a truncated tar, an empty slide.
    """
    good = 0
    for raw in raw_spots(dataset_dir, slide):
        try:
            spot = decode(raw)
        except DataError:
            if on_bad_spot == "error":
                raise
            skipped.append(raw.spot)
            continue
        good += 1
        yield spot
    if not good:
        raise empty_slide(dataset_dir, slide, len(skipped))


def empty_slide(dataset_dir: Path, slide: str, skipped: int) -> DataError:
    """The error for a slide without a usable spot."""
    why = f"all of its {skipped} spots were skipped as bad" if skipped else "its shards hold no spot"
    return DataError(
        f"{dataset_dir / slide}: the slide is empty: {why}; "
        f"write it again or take '{slide}' out of the split files"
    )


def slide_shards(dataset_dir: Path, slide: str) -> list[Path]:
    """The tar files of a slide, sorted. Raises DataError when there are none."""
    folder = dataset_dir / plain_name(slide, "slide id")
    shards = sorted(p for p in folder.glob("*.tar") if not p.name.startswith("."))
    if not shards:
        packed = sorted(p.name for p in folder.glob("*") if p.suffix in PACKED and not p.name.startswith("."))
        if packed:
            raise DataError(f"{folder}: its shards are compressed, such as {packed[0]}; {UNPACK}")
        why = "no .tar file in this folder" if folder.is_dir() else "no such folder"
        raise DataError(
            f"{folder}: {why}; put the shards of slide '{slide}' there or take it out of the split files"
        )
    return shards


def raw_spots(dataset_dir: Path, slide: str) -> Iterator[RawSpot]:
    """The members of every spot, grouped by the name before the LAST dot (spot names may hold dots).

    Only regular files that end in .png (or .jpg), .txt or .json are read; all others (.npy, .pickle, links, devices) are passed
    over. Nothing is unpacked to disk, so folders and `..` in a member's name mean nothing.
    A spot comes as soon as its three members are read; one that lacks a member, at the end of its shard.
    Raises DataError for faults of a shard as a whole: unreadable, truncated, a key given twice.
    """
    seen: set[str] = set()
    for shard in slide_shards(dataset_dir, slide):
        pending: dict[str, dict[str, bytes]] = {}
        with _opened(shard) as file:
            members, oversized = _parts_of(shard, file)
            for member in members:
                key, part = _key_and_part(member.name)
                parts = pending.setdefault(key, {})
                if key in seen or part in parts:
                    raise _given_twice(shard, key)
                parts[part] = _content(shard, file, member)
                if len(parts) == 1 + len(TEXTS):
                    seen.add(key)
                    yield RawSpot(slide, key, shard, pending.pop(key))
        too_large = [_key_and_part(name) for name in sorted(oversized)]
        for key in sorted({*pending, *(key for key, _ in too_large)}):
            if key in seen:
                raise _given_twice(shard, key)
            seen.add(key)
            yield RawSpot(slide, key, shard, pending.get(key, {}), tuple(p for k, p in too_large if k == key))


def _given_twice(shard: Path, key: str) -> DataError:
    return DataError(
        f"{shard}: the key '{key}' is given twice; write the shard again with a key for each spot"
    )


def _key_and_part(name: str) -> tuple[str, str]:
    stem, _, extension = name.rpartition("/")[2].rpartition(".")
    return stem, extension.lower()


def _is_part(name: str) -> bool:
    key, part = _key_and_part(name)
    # "._x.png": what macOS puts into archives.
    return part in MAX_BYTES and bool(key) and not key.startswith(".")


def _parts_of(shard: Path, file: BinaryIO) -> tuple[list[Member], set[str]]:
    """The members that make up spots, and the names of those that are too large to be read. Raises DataError."""
    try:
        found = [member for member in regular_members(file) if _is_part(member.name)]
    except TarError as error:
        raise DataError(f"{shard}: {_what_it_is(file) or _damaged_tar(error)}") from None
    found = _one_tile_each(found)
    oversized = {m.name for m in found if m.size > MAX_BYTES[_key_and_part(m.name)[1]]}
    return [m for m in found if m.name not in oversized], oversized


def _what_it_is(file: BinaryIO) -> str | None:
    """What to say of a compressed tar: members are read from where they lie, which only plain tars allow."""
    file.seek(0)
    start = file.read(6)
    kind = next((kind for mark, kind in MARKS.items() if start.startswith(mark)), None)
    return kind and f"is compressed with {kind}, not a plain tar; {UNPACK}"


def _damaged_tar(error: Exception) -> str:
    return f"the tar is truncated or damaged ({one_line(error)}); copy or write it again"


def _one_tile_each(members: list[Member]) -> list[Member]:
    """Without the tiles in JPEG of spots that have one in PNG too, as of `.jpeg` beside `.jpg`."""
    kept: dict[str, str] = {}
    for member in members:
        key, part = _key_and_part(member.name)
        if part in TILES and TILES.index(part) < TILES.index(kept.get(key, TILES[-1])):
            kept[key] = part
    places = ((member, *_key_and_part(member.name)) for member in members)
    return [member for member, key, part in places if part not in TILES or part == kept.get(key, TILES[-1])]


def _content(shard: Path, file: BinaryIO, member: Member) -> bytes:
    try:
        file.seek(member.offset)
        data = file.read(member.size)
    except OSError as error:
        raise _unreadable(shard, error) from None
    if len(data) != member.size:
        raise _unreadable(shard, EOFError("it was cut short while it was read"))
    return data


def _opened(shard: Path) -> BinaryIO:
    try:
        return open_regular(shard)
    except OSError as error:
        raise _unreadable(shard, error) from None


def _unreadable(shard: Path, error: Exception) -> DataError:
    return DataError(f"{shard}: cannot be read ({one_line(error)}); copy or write it again")
