"""Where Ray keeps files of its own, a folder or an address, as Ray wants to be told."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from stclip.files.addresses import is_address, open_address

if TYPE_CHECKING:
    from pyarrow.fs import FileSystem


def ray_storage(place: str) -> tuple[str, FileSystem | None]:
    """`storage_path` and `storage_filesystem` of a RunConfig.

    An address goes through fsspec, as all else that is written there, and not through the client that pyarrow has of its
    own: one way to give credentials and endpoints, one way to fail.
    """
    if not is_address(place):
        return str(Path(place).resolve()), None
    from pyarrow.fs import FSSpecHandler, PyFileSystem

    remote = open_address(place)
    return remote.path, PyFileSystem(FSSpecHandler(remote.fs))


def remove_storage(place: str) -> None:
    """Delete it with all that is in it; what cannot be deleted stays."""
    if not is_address(place):
        shutil.rmtree(place, ignore_errors=True)
        return
    try:
        folder, _, name = place.rpartition("/")
        open_address(folder).remove(name)
    except Exception as error:  # of whatever kind the file system has
        print(f"{place}: could not be removed ({type(error).__name__}: {error})")


def subfolders(place: str) -> list[str]:
    """The names of the folders directly below a folder or address; none where there is nothing."""
    if is_address(place):
        return open_address(place).folders()
    folder = Path(place)
    return sorted(path.name for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []
