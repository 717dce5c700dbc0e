"""Addresses that fsspec knows (`s3://`, `gs://`, `file://`, ...): opened, listed and copied, their faults in one line."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stclip.data.shards import plain_name
from stclip.errors import DataError, InputError

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

_EXTRAS = {"s3": "s3", "s3a": "s3", "gs": "gcs", "gcs": "gcs"}  # protocol -> extra of this package
_VERSIONS = ("ETag", "etag", "md5Hash", "crc32c", "mtime", "LastModified", "last_modified", "created")


def is_address(text: object) -> bool:
    """`protocol://...`, and no path of this machine."""
    return isinstance(text, str) and "://" in text


@dataclass(frozen=True)
class RemoteFile:
    """What an address says of a file. Another `version` (an ETag or a time), another content."""

    size: int | None  # bytes; some web servers do not say
    version: str


@dataclass(frozen=True)
class Remote:
    """A folder at an address. Its methods raise what the file system raises; `failed` puts that into words."""

    fs: AbstractFileSystem
    path: str

    def files(self, below: str = "") -> dict[str, RemoteFile]:
        """The files directly below, by name; hidden ones are left out.

        Raises FileNotFoundError, and DataError for a name that is no plain file name.
        """
        place = self._place(below)
        found = {}
        for info in self.fs.ls(place, detail=True):
            name = info["name"].rstrip("/").rpartition("/")[2]
            if info["type"] == "file" and name and not name.startswith("."):
                found[plain_name(name, f"{place}: a file's name")] = _facts(info)
        return found

    def download(self, name: str, target: Path) -> None:
        """Copy one file to `target`."""
        self.fs.get_file(self._place(name), str(target))

    def _place(self, below: str) -> str:
        return f"{self.path}/{below}" if below else self.path


def _facts(info: dict[str, Any]) -> RemoteFile:
    version = next((f"{key}={info[key]}" for key in _VERSIONS if info.get(key) is not None), "unknown")
    return RemoteFile(info.get("size"), version)


def open_address(address: str) -> Remote:
    """The folder at an address; nothing is asked over the network yet. Raises DataError for an unknown protocol."""
    from fsspec.core import url_to_fs

    protocol = address.partition("://")[0]
    try:
        fs, path = url_to_fs(address.rstrip("/"), use_listings_cache=False)
    except (ImportError, ValueError) as error:
        extra = _EXTRAS.get(protocol)
        hint = f"pip install 'stclip[{extra}]'" if extra else "install the package that fsspec has for it"
        raise DataError(
            f"{address}: no way to read {protocol}:// here ({error}); {hint}, or copy the data to a folder"
        ) from None
    return Remote(fs, str(path).rstrip("/"))


def failed(what: str, error: Exception) -> InputError:
    """One line for whatever a file system raised: what was at work, why it failed, the way out."""
    if isinstance(error, InputError):
        return error
    reason = f"{type(error).__name__}: {error}"
    if isinstance(error, FileNotFoundError):
        return DataError(f"{what}: is not there ({reason}); check the address")
    if isinstance(error, PermissionError) or "Credentials" in type(error).__name__:
        return DataError(
            f"{what}: no permission ({reason}); give this machine credentials that may read it (for s3:// as the AWS tools "
            "take them, for gs:// as gcloud does)"
        )
    return DataError(f"{what}: the connection failed ({reason}); try again: what is copied already is kept")
