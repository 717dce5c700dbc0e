"""Addresses that fsspec knows (`s3://`, `gs://`, `file://`, ...): opened, listed, read and written, faults in one line."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stclip.errors import DataError, InputError
from stclip.files.paths import plain_name
from stclip.files.redact import redacted

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

    def folders(self, below: str = "") -> list[str]:
        """The names of the folders directly below; none where there is nothing."""
        try:
            found = self.fs.ls(self._place(below), detail=True)
        except FileNotFoundError:
            return []
        names = [one["name"].rstrip("/").rpartition("/")[2] for one in found if one["type"] == "directory"]
        return sorted(name for name in names if name)

    def tree(self) -> dict[str, RemoteFile]:
        """All files below, by their path from here; hidden ones are left out. DataError as from `files`."""
        found = {}
        for place, info in self.fs.find(self.path, detail=True).items():
            name = place[len(self.path) :].strip("/")
            if info["type"] == "file" and not any(part.startswith(".") for part in name.split("/")):
                for part in name.split("/"):
                    plain_name(part, f"{self.path}: a file's name")
                found[name] = _facts(info)
        return found

    def exists(self, name: str) -> bool:
        """Is there such a file or folder?"""
        return bool(self.fs.exists(self._place(name)))

    def is_empty(self) -> bool:
        """Is nothing there, hidden files included?"""
        try:
            return not self.fs.ls(self.path, detail=False)
        except FileNotFoundError:
            return True

    def download(self, name: str, target: Path) -> None:
        """Copy one file to `target`."""
        self.fs.get_file(self._place(name), str(target))

    def read(self, name: str) -> bytes:
        """The content of one file."""
        return bytes(self.fs.cat_file(self._place(name)))

    def create(self, name: str, content: bytes) -> None:
        """Write a file that is not there yet. Raises FileExistsError when it is; of two writers only one succeeds where
        the store can tell (S3, Google Cloud Storage, folders)."""
        self.fs.pipe_file(self._place(name), content, mode="create")

    def upload(self, source: Path, name: str) -> None:
        """Copy a file here, replacing what is there: a reader sees the old one or the new, as object stores have it."""
        place = self._place(name)
        if "file" not in _protocols(self.fs):
            self.fs.put_file(str(source), place)
            return
        folder, _, last = place.rpartition("/")
        draft = f"{folder}/.{last}.{uuid.uuid4().hex[:8]}"
        self.fs.put_file(str(source), draft)
        self.fs.mv(draft, place)

    def remove(self, name: str) -> None:
        """Delete a file, or a folder with all that is in it, if it is there."""
        if self.exists(name):
            self.fs.rm(self._place(name), recursive=True)

    def local_folder(self) -> Path | None:
        """Where it is on this machine, for `file://`; None for what is elsewhere."""
        return Path(self.path) if "file" in _protocols(self.fs) else None

    def _place(self, below: str) -> str:
        return f"{self.path}/{below}" if below else self.path


def _protocols(fs: AbstractFileSystem) -> tuple[str, ...]:
    return (fs.protocol,) if isinstance(fs.protocol, str) else tuple(fs.protocol)


def _facts(info: dict[str, Any]) -> RemoteFile:
    version = next((f"{key}={info[key]}" for key in _VERSIONS if info.get(key) is not None), "unknown")
    return RemoteFile(info.get("size"), version)


def open_address(address: str, instead: str = "copy the data to a folder") -> Remote:
    """The folder at an address, or a folder of this machine; nothing is asked over the network yet.

    Raises DataError for a protocol that cannot be used (`instead` is what else one can do), for a chain of addresses, and for
    a password in the address: addresses are written down.
    """
    from fsspec import filesystem
    from fsspec.core import url_to_fs

    if is_address(address) and (bare := redacted(address)) != address:
        raise DataError(
            f"{bare}: an address holds no password or token, since it is written into results; give it in the environment "
            f"(for s3:// as the AWS tools take it), in ~/.netrc, or {instead}"
        )

    if not is_address(address):
        return Remote(filesystem("file", auto_mkdir=True), str(Path(address).absolute()))
    if "::" in address:
        raise DataError(
            f"{address}: an address names one place, without '::'; give the place itself, or {instead}"
        )
    protocol = address.partition("://")[0]
    try:
        own = {"auto_mkdir": True} if protocol in ("file", "local") else {}
        fs, path = url_to_fs(address.rstrip("/"), use_listings_cache=False, **own)
    except Exception as error:  # of whatever kind the file system has: some connect already here
        raise _not_opened(address, protocol, error, instead) from None
    return Remote(fs, str(path).rstrip("/"))


def _not_opened(address: str, protocol: str, error: Exception, instead: str) -> InputError:
    """One line for an address that fsspec makes no file system of."""
    if isinstance(error, ConnectionError | TimeoutError):
        return failed(address, error)
    reason = str(error) if isinstance(error, ImportError | ValueError) else f"{type(error).__name__}: {error}"
    extra = _EXTRAS.get(protocol)
    hint = f"pip install 'stclip[{extra}]'" if extra else "install the package that fsspec has for it"
    return DataError(f"{address}: no way to use {protocol}:// here ({reason}); {hint}, or {instead}")


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
