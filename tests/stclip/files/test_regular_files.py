"""Pipes, devices, folders, links and too much of something are refused where a file is read, and nothing waits for them."""

import gzip
import os
from io import BytesIO
from pathlib import Path

import pytest

from stclip.files.regular_files import (
    LeadsAwayError,
    NotRegularError,
    TooLargeError,
    check_stays_inside,
    open_regular,
    read_regular,
    read_text,
    read_unpacked,
)


def test_a_file_is_read_also_through_a_link(tmp_path):
    (tmp_path / "a").write_bytes(b"\xc3\xa4\r\n")
    (tmp_path / "b").symlink_to("a")
    assert read_text(tmp_path / "b") == "ä\r\n"
    with open_regular(tmp_path / "b") as file:
        assert file.read() == b"\xc3\xa4\r\n" and os.get_blocking(file.fileno()) is False


@pytest.mark.parametrize("linked", [False, True])
def test_what_is_no_file_is_said_and_not_waited_for(tmp_path, linked):
    os.mkfifo(tmp_path / "pipe")
    kinds = {tmp_path / "pipe": "a named pipe", Path("/dev/zero"): "a device", tmp_path: "a folder"}
    for number, (path, kind) in enumerate(kinds.items()):
        place = path
        if linked:
            place = tmp_path / f"link{number}"
            place.symlink_to(path)
        with pytest.raises(NotRegularError, match=f"^{kind}, not a regular file"):
            read_regular(place)


def test_a_pipe_that_takes_the_files_place_is_not_waited_for(tmp_path, monkeypatch):
    os.mkfifo(tmp_path / "pipe")
    monkeypatch.setattr("stclip.files.regular_files.check_regular", lambda *given: None)
    with pytest.raises(NotRegularError, match="a named pipe"):
        open_regular(tmp_path / "pipe")


def test_more_than_the_limit_is_refused_before_it_is_read(tmp_path):
    (tmp_path / "a").write_bytes(b"12345")
    assert read_regular(tmp_path / "a", 5) == b"12345"
    os.truncate(tmp_path / "a", 2**40)  # takes no room
    with pytest.raises(TooLargeError, match="larger than 64 MB"):
        read_text(tmp_path / "a")
    with pytest.raises(TooLargeError, match="larger than 4 KB"):
        read_regular(tmp_path / "a", 4096)


def test_a_file_that_grows_while_it_is_read_is_refused(tmp_path, monkeypatch):
    (tmp_path / "a").write_bytes(b"12345")
    monkeypatch.setattr("stclip.files.regular_files._check", lambda *given: None)
    with pytest.raises(TooLargeError):
        read_regular(tmp_path / "a", 4)


def test_a_small_gzip_file_cannot_hold_a_large_one():
    assert read_unpacked(BytesIO(gzip.compress(b"12345")), 5) == b"12345"
    with pytest.raises(TooLargeError):
        read_unpacked(BytesIO(gzip.compress(bytes(10**6))), 10**6 - 1)


def test_a_link_may_not_lead_out_of_its_folder(tmp_path):
    folder = tmp_path / "set"
    (folder / "below").mkdir(parents=True)
    (folder / "a").write_text("")
    (tmp_path / "set2").write_text("")
    for target, name in (("a", "b"), ("../a", "below/b")):
        (folder / name).symlink_to(target)
        check_stays_inside(folder / name, folder)
    (tmp_path / "link").symlink_to(folder)
    check_stays_inside(tmp_path / "link" / "b", tmp_path / "link")
    for target in ("../set2", "/etc/hostname", "../nothing"):
        (folder / "c").unlink(missing_ok=True)
        (folder / "c").symlink_to(target)
        with pytest.raises(LeadsAwayError, match="a link that leads out of the folder; put a copy"):
            check_stays_inside(folder / "c", folder)
