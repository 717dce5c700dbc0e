"""Data sets on an address (`s3://bucket/path/NAME`, any URL that fsspec knows): copied once a node into the cache.

    <cache>/fetched/<hash of the address>/NAME/                the copy, laid out as data/README.md says
    <cache>/fetched/<hash of the address>/NAME/.fetched.json   each file's size, version at the address, and digest
    <cache>/fetched/<hash of the address>/lock

A copy is known by what is in it (the digests), not by when it was made: all nodes agree on the spot store's key.
"""

from __future__ import annotations

import errno
import json
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from hashlib import blake2b, file_digest
from pathlib import Path

from stclip.data.shards.donors import DONORS
from stclip.data.shards.splits import SPLITS, read_slides, split_file
from stclip.errors import DataError
from stclip.files.addresses import Remote, RemoteFile, failed, open_address
from stclip.files.paths import cache_dir, plain_name
from stclip.files.regular_files import read_text

INDEX = ".fetched.json"
Progress = Callable[[int, int], None]
_AT_ONCE = 8  # files
_LARGEST_INDEX = 256 * 2**20  # bytes; a shard takes about 150
_FULL = (errno.ENOSPC, errno.EDQUOT)


@dataclass(frozen=True)
class Fetched:
    """A file of the copy: its size in bytes, its version at the address (an ETag or a time), a digest of its content."""

    size: int
    version: str
    digest: str


def fetched_dataset(address: str) -> Path:
    """The copy of a data set on this node; made when there is none, not compared with the address when there is.

    Raises DataError: see `fetch_dataset`.
    """
    folder = _folder(address)
    return folder if _Index.read(folder).complete else fetch_dataset(address)


def fetch_dataset(address: str, progress: Progress | None = None) -> Path:
    """Bring this node's copy of a data set up to date; returns its folder. Files that are there already are kept.

    One process copies while others wait. A copy that was cut off is gone on with at the next call, file by file.
    `progress(files done, files)` follows it; it is not called when nothing has to be copied.
    Raises DataError: a protocol that is not installed, nothing there, no permission, no space, a broken connection.
    """
    folder = _folder(address)
    remote = open_address(address)
    with _locked(folder, address):
        _Copy(address, remote, folder, progress or (lambda done, total: None)).bring_up_to_date()
    return folder


def content_digests(dataset: Path) -> dict[str, str]:
    """`SLIDE/SHARD.tar` -> a digest of its content, for a data set that was fetched; empty for any other folder."""
    return {name: file.digest for name, file in _Index.read(dataset).files.items()}


def _folder(address: str) -> Path:
    tidy = address.rstrip("/")
    name = plain_name(
        tidy.partition("://")[2].rpartition("/")[2], f"data set {address}: the last part of the address"
    )
    return cache_dir() / "fetched" / blake2b(tidy.encode(), digest_size=8).hexdigest() / name


@contextmanager
def _locked(folder: Path, address: str) -> Iterator[None]:
    """Faults of this machine's disk become one line; those of the address are DataErrors already."""
    from filelock import FileLock

    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder.parent / "lock"):
            yield
    except OSError as error:
        reason = "no space left" if error.errno in _FULL else error.strerror or str(error)
        raise DataError(
            f"data set {address}: the copy at {folder} cannot be written ({reason}); make room there, or set STCLIP_CACHE "
            "to a folder with room; what is copied already is kept"
        ) from None


@dataclass
class _Index:
    """What is known of a copy. `complete` is false while files are being replaced."""

    complete: bool
    files: dict[str, Fetched]

    @classmethod
    def read(cls, folder: Path) -> _Index:
        """Nothing is known where the file is missing or damaged."""
        try:
            tree = json.loads(read_text(folder / INDEX, _LARGEST_INDEX))
            return cls(
                tree["complete"] is True, {name: Fetched(**one) for name, one in tree["files"].items()}
            )
        except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
            return cls(False, {})

    def write(self, folder: Path) -> None:
        draft = folder / f"{INDEX}.partial"
        tree = {"complete": self.complete, "files": {name: asdict(one) for name, one in self.files.items()}}
        draft.write_text(json.dumps(tree), encoding="utf-8")
        draft.replace(folder / INDEX)


class _Copy:
    """One comparison of a copy with its address, under the lock."""

    def __init__(self, address: str, remote: Remote, folder: Path, progress: Progress) -> None:
        self.address, self.remote, self.folder, self.progress = address, remote, folder, progress
        self.index = _Index.read(folder)

    def bring_up_to_date(self) -> None:
        top = self._list("")
        if not top:
            raise DataError(
                f"data set {self.address}: nothing is there; check the address, and that the credentials are those of its "
                "account"
            )
        small = [*(split_file(Path(), split).name for split in SPLITS), "manifest.json", DONORS]
        wanted = {name: top[name] for name in small if name in top}
        self._fetch(wanted)
        slides = self._slides()
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            for slide, files in zip(slides, pool.map(self._list, slides), strict=True):
                wanted |= {f"{slide}/{name}": facts for name, facts in files.items() if name.endswith(".tar")}
        self._drop_others(slides, wanted)
        self._fetch(wanted)
        if not self.index.complete:
            self.index.complete = True
            self.index.write(self.folder)

    def _list(self, below: str) -> dict[str, RemoteFile]:
        """The files directly below, by name; no such folder: none."""
        try:
            return self.remote.files(below)
        except FileNotFoundError:
            return {}
        except Exception as error:
            raise failed(f"data set {self.address}", error) from None

    def _slides(self) -> list[str]:
        try:
            return [slide for split in SPLITS for slide in read_slides(self.folder, split)]
        except DataError as error:
            raise DataError(str(error).replace(str(self.folder), self.address.rstrip("/"))) from None

    def _drop_others(self, slides: list[str], wanted: dict[str, RemoteFile]) -> None:
        """Files that are no longer at the address would change the store."""
        here = {f"{slide}/{path.name}" for slide in slides for path in (self.folder / slide).glob("*.tar")}
        others = (here | self.index.files.keys()) - wanted.keys()
        if others:
            self.index.files = {name: one for name, one in self.index.files.items() if name not in others}
            self._open_for_changes()
        for name in others:
            (self.folder / name).unlink(missing_ok=True)

    def _open_for_changes(self) -> None:
        """Whoever opens the data set now waits for the lock."""
        self.index.complete = False
        self.index.write(self.folder)

    def _fetch(self, wanted: dict[str, RemoteFile]) -> None:
        missing = {name: facts for name, facts in wanted.items() if not self._is_here(name, facts)}
        if not missing:
            return
        if sum(facts.size or 0 for facts in missing.values()) > shutil.disk_usage(self.folder).free:
            raise OSError(errno.ENOSPC, "no space left")
        for name in missing:
            self.index.files.pop(name, None)
        self._open_for_changes()
        fault: BaseException | None = None
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            running = {pool.submit(self._fetch_one, name, facts): name for name, facts in missing.items()}
            try:
                for one in as_completed(running):
                    if one.cancelled():
                        continue
                    if (error := one.exception()) is None:
                        self.index.files[running[one]] = one.result()
                        self.index.write(self.folder)
                        self.progress(len(missing.keys() & self.index.files.keys()), len(missing))
                    elif fault is None:  # what is on its way still counts, nothing new is begun
                        fault = error
                        for other in running:
                            other.cancel()
            finally:
                pool.shutdown(cancel_futures=True)
        if fault is not None:
            raise fault

    def _is_here(self, name: str, facts: RemoteFile) -> bool:
        known, path = self.index.files.get(name), self.folder / name
        if known is None or known.version != facts.version or facts.size not in (None, known.size):
            return False
        return path.is_file() and path.stat().st_size == known.size

    def _fetch_one(self, name: str, facts: RemoteFile) -> Fetched:
        path = self.folder / name
        partial = path.with_name(f".{path.name}.partial")
        path.parent.mkdir(exist_ok=True)
        try:
            self.remote.download(name, partial)
            size = partial.stat().st_size
            if facts.size not in (None, size):
                raise EOFError(f"{size} of {facts.size} bytes came")
            with partial.open("rb") as file:
                digest = file_digest(file, lambda: blake2b(digest_size=16)).hexdigest()
            partial.replace(path)
        except Exception as error:
            if isinstance(error, OSError) and error.errno in _FULL:
                raise
            raise failed(f"data set {self.address}: {name}", error) from None
        finally:
            partial.unlink(missing_ok=True)
        return Fetched(size, facts.version, digest)
