"""How a store knows that its files are as they were written: their sizes and checksums stand in meta.json."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from pathlib import Path
from tokenize import TokenError
from typing import Any

import numpy as np

from stclip.files.guarded_folder import write_below
from stclip.files.regular_files import check_regular, open_regular, read_text

META = "meta.json"
_NOTE = ".sum"  # beside a file that joined the store later
_LARGEST_META = 256 * 2**20  # bytes; a vocabulary of a million genes takes 10 MB
_BLOCK = 2**22  # bytes read at once


def sealed(meta: Mapping[str, Any], folder: Path) -> str:
    """The text of meta.json: `meta`, size and checksum of every array in the folder, and a digest of all that."""
    files = {path.name: [path.stat().st_size, checksum(path)] for path in sorted(folder.glob("*.npy"))}
    tree = {**meta, "files": files}
    return json.dumps({**tree, "digest": _digest(tree)})


def read_meta(folder: Path) -> dict[str, Any]:
    """What meta.json holds. Raises ValueError when it is not as it was written, or a file has not the size it had.

    The sizes are looked at on every opening: a copy that broke off is found at once, and at no cost.
    """
    path = folder / META
    tree = json.loads(read_text(path, _LARGEST_META))
    if not isinstance(tree, dict) or tree.pop("digest", None) != _digest(tree):
        raise ValueError(f"{META} is not as it was written")
    for name, (size, _) in tree["files"].items():
        if name != Path(name).name or (folder / name).stat().st_size != size:
            raise ValueError(f"{name} has not the size it was written with")
    return tree


def seal_later_file(draft: Path, name: str) -> None:
    """Note size and checksum of a file that joins the store after it was built, before `draft` gets its name there."""
    note = json.dumps([draft.stat().st_size, checksum(draft)])
    write_below(draft.parent, f"{name}{_NOTE}", note)


def changed_files(folder: Path, files: Mapping[str, Sequence[int]]) -> list[str]:
    """Names of the files whose content is not what was written. Reads them all, at more than 1 GB/s from memory.

    `files`: those of meta.json; the ones that joined later are found by their notes. Raises ValueError for a broken note.
    """
    known = dict(files)
    for note in folder.glob(f"*.npy{_NOTE}"):
        name = note.name.removesuffix(_NOTE)
        if (folder / name).exists():
            size, value = json.loads(read_text(note))
            known[name] = (size, value)
    return [name for name, (_, expected) in known.items() if checksum(folder / name) != expected]


def read_array(path: Path) -> np.ndarray:
    """A .npy file as a read-only memory map, never unpickled. Raises OSError, or ValueError when it is damaged."""
    try:
        check_regular(path)
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except (EOFError, SyntaxError, TokenError) as error:  # numpy reads the header as a Python literal
        raise ValueError(f"{path.name}: {error}") from None


def checksum(path: Path) -> int:
    """CRC-32 of a file: it finds what disks and copies do, not what somebody does on purpose."""
    value = 0
    with open_regular(path) as file:
        while block := file.read(_BLOCK):
            value = zlib.crc32(block, value)
    return value


def _digest(tree: Mapping[str, Any]) -> str:
    return blake2b(json.dumps(tree, sort_keys=True).encode(), digest_size=12).hexdigest()
