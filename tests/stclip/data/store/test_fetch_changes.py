"""A copy that is brought up to date: what is compared, and what others see while it changes."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest
from fsspec.implementations.local import LocalFileSystem

from stclip.data.store import fetch
from stclip.data.store.fetch import fetch_dataset, fetched_dataset
from stclip.errors import DataError


class Watched(LocalFileSystem):
    """This machine's files; `before` is called with the number of each download."""

    protocol = "watched"
    tries = 0
    bytes_kept: int | None = None  # of each file; None: all

    @staticmethod
    def before(number: int) -> None: ...

    def get_file(self, path1, path2, callback=None, **kwargs):
        Watched.tries += 1
        Watched.before(Watched.tries)
        super().get_file(path1, path2, **kwargs)
        if Watched.bytes_kept is not None:
            os.truncate(path2, Watched.bytes_kept)


def lost(number: int) -> None:
    raise ConnectionResetError("reset by peer")


@pytest.fixture
def watched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Watched]]:
    monkeypatch.setenv("STCLIP_CACHE", str(tmp_path / "cache"))
    fsspec.register_implementation("watched", Watched, clobber=True)
    for name in ("tries", "bytes_kept", "before"):
        monkeypatch.setattr(Watched, name, getattr(Watched, name))
    yield Watched


@pytest.fixture
def address(watched: type[Watched], tiny_dataset: Path) -> str:
    return f"watched://{tiny_dataset}"


def shard(folder: Path) -> Path:
    return folder / "T1" / "T1_000000.tar"


def test_a_copy_that_could_not_be_brought_up_to_date_is_not_used(
    tiny_dataset: Path, address: str, watched: type[Watched], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert fetched_dataset(address) == fetch_dataset(address)
    os.utime(shard(tiny_dataset), (1e9, 1e9))
    monkeypatch.setattr(watched, "before", lost)
    for use in (fetch_dataset, fetched_dataset):  # the second would read old and new files together
        with pytest.raises(DataError, match="the connection failed .*reset by peer"):
            use(address)


def test_a_file_leaves_the_copy_after_the_index_says_so(
    tiny_dataset: Path, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = fetch_dataset(address)
    (tiny_dataset / "T3" / "T3_000002.tar").unlink()
    unlink, seen = Path.unlink, []

    def looked_at(path: Path, missing_ok: bool = False) -> None:
        if path == folder / "T3" / "T3_000002.tar":
            index = json.loads((folder / fetch.INDEX).read_text())
            seen.append((index["complete"], "T3/T3_000002.tar" in index["files"]))
        unlink(path, missing_ok=missing_ok)

    monkeypatch.setattr(Path, "unlink", looked_at)
    fetch_dataset(address)
    assert seen == [(False, False)]


def test_who_has_the_index_open_reads_the_old_one_to_its_end(tiny_dataset: Path, address: str) -> None:
    folder = fetch_dataset(address)
    before = (folder / fetch.INDEX).read_text()
    with (folder / fetch.INDEX).open() as file:
        os.utime(shard(tiny_dataset), (1e9, 1e9))
        fetch_dataset(address)
        assert file.read() == before != (folder / fetch.INDEX).read_text()


def test_a_file_of_another_size_is_another_file_whatever_its_time(tiny_dataset: Path, address: str) -> None:
    folder = fetch_dataset(address)
    for changed in (shard(folder), shard(tiny_dataset)):  # cut in the copy, then at the address
        times = changed.stat().st_atime_ns, changed.stat().st_mtime_ns
        os.truncate(changed, changed.stat().st_size - 512)
        os.utime(changed, ns=times)
        fetch_dataset(address)
        assert shard(folder).read_bytes() == shard(tiny_dataset).read_bytes()


def test_what_is_being_replaced_is_not_counted_as_done(tiny_dataset: Path, address: str) -> None:
    fetch_dataset(address)
    for path in (tiny_dataset / "T1").glob("*.tar"):
        os.utime(path, (1e9, 1e9))
    calls: list[tuple[int, int]] = []
    fetch_dataset(address, lambda done, total: calls.append((done, total)))
    assert calls == [(1, 2), (2, 2)]


def test_a_download_that_ends_early_without_a_word_is_an_error(
    address: str, watched: type[Watched], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watched, "bytes_kept", 1)
    with pytest.raises(DataError, match=r"the connection failed \(EOFError: 1 of \d+ bytes came\)"):
        fetch_dataset(address)


def test_after_a_fault_no_other_download_is_begun(
    address: str, watched: type[Watched], monkeypatch: pytest.MonkeyPatch
) -> None:
    fault_was_seen, as_completed = threading.Event(), fetch.as_completed

    def followed(running):
        for one in as_completed(running):
            yield one
            fault_was_seen.set()

    def before(number: int) -> None:
        if number == 1:
            raise ConnectionResetError("reset by peer")
        fault_was_seen.wait(30)  # begun before the fault was seen: at most one, since one runs at once

    monkeypatch.setattr(fetch, "_AT_ONCE", 1)
    monkeypatch.setattr(fetch, "as_completed", followed)
    monkeypatch.setattr(watched, "before", before)
    with pytest.raises(DataError, match="reset by peer"):
        fetch_dataset(address)
    assert watched.tries <= 2
