"""Addresses that no file system comes out of: one line, whatever fsspec raises for them."""

from pathlib import Path

import fsspec
import pytest

from stclip.errors import DataError
from stclip.files.addresses import open_address


class AsksAtOnce(fsspec.AbstractFileSystem):
    """Raises what it is told as soon as it is made, as file systems do that connect then."""

    protocol = "asksatonce"
    cachable = False
    error: Exception

    def __init__(self, **_: object) -> None:
        raise self.error


@pytest.mark.parametrize(
    ("error", "match"),
    [
        (ConnectionRefusedError(111, "Connection refused"), r"the connection failed \(ConnectionRefusedError.*try again"),
        (TimeoutError("took too long"), r"the connection failed \(TimeoutError: took too long\)"),
        (TypeError("missing 2 arguments"), r"no way to use asksatonce:// here \(TypeError: missing 2 arguments\); install"),
        (AttributeError("no attribute"), r"no way to use asksatonce:// here \(AttributeError"),
        (OSError("Unable to load libjvm"), r"no way to use asksatonce:// here \(OSError: Unable to load libjvm\)"),
        (RuntimeError("of its own kind"), r".*\(RuntimeError: of its own kind\).*or choose a folder"),
    ],
)  # fmt: skip
def test_whatever_a_file_system_raises_is_one_line(monkeypatch, error, match):
    fsspec.register_implementation("asksatonce", AsksAtOnce, clobber=True)
    monkeypatch.setattr(AsksAtOnce, "error", error, raising=False)
    with pytest.raises(DataError, match=f"^asksatonce://a/b: {match}"):
        open_address("asksatonce://a/b", "choose a folder")


@pytest.mark.parametrize(
    "protocol", ["zip", "dir", "generic", "reference", "jlab", "github", "async_wrapper"]
)
def test_file_systems_that_lie_over_others_are_one_line(protocol, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # zip:// looks there
    with pytest.raises(DataError, match=f"^{protocol}://a/b: no way to use {protocol}:// here"):
        open_address(f"{protocol}://a/b")


@pytest.mark.parametrize(
    "address", ["zip://a::http://h/b.zip", "simplecache::s3://bucket/a", "s3://bucket/a::b"]
)
def test_a_chain_of_addresses_is_refused_before_anything_is_asked(address):
    with pytest.raises(DataError, match="an address names one place, without '::'"):
        open_address(address)


def test_a_folder_may_have_two_colons_in_its_name(tmp_path: Path):
    remote = open_address(str(tmp_path / "a::b"))
    remote.create("c", b"x")
    assert (tmp_path / "a::b" / "c").read_bytes() == b"x" == remote.read("c")
