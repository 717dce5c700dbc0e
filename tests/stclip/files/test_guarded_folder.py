"""What is written below a results folder stays there, whatever links somebody has put into it."""

from __future__ import annotations

import os
import socket

import pytest

from stclip.files import guarded_folder
from stclip.files.guarded_folder import (
    LinkError,
    check_no_links,
    check_way,
    copy_below,
    overwrite_below,
    write_below,
)


@pytest.fixture
def own(tmp_path):
    """A file of the user's outside the folder."""
    path = tmp_path / "profile"
    path.write_text("mine")
    return path


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "results"
    path.mkdir()
    return path


def copy_of_a_file(folder, name, content):
    source = folder.parent / "source"
    source.write_text(content)
    copy_below(source, folder, name)


WAYS = [write_below, copy_of_a_file, overwrite_below]


@pytest.mark.parametrize("write", WAYS)
@pytest.mark.parametrize("there", [True, False], ids=["to a file", "to nothing yet"])
def test_nothing_is_written_through_a_link_in_the_files_place(write, there, folder, own):
    if not there:
        own.unlink()
    (folder / "best").mkdir()
    (folder / "best" / "config.yaml").symlink_to(own)
    with pytest.raises(LinkError, match=r"best/config.yaml: is a link, not a file.*put a copy of the file"):
        write(folder, "best/config.yaml", "theirs")
    assert own.exists() == there and (not there or own.read_text() == "mine")
    assert [p.name for p in (folder / "best").iterdir()] == ["config.yaml"]


@pytest.mark.parametrize("write", WAYS)
def test_nothing_is_written_through_a_link_on_the_way(write, folder, tmp_path):
    away = tmp_path / "away"
    (away / "spatial").mkdir(parents=True)
    (folder / "best").symlink_to(away)
    with pytest.raises(LinkError, match="best: is a link, not a folder"):
        write(folder, "best/spatial/config.yaml", "theirs")
    with pytest.raises(LinkError, match="best: is a link"):
        check_way(folder, "best/clip")
    assert list(away.rglob("*")) == [away / "spatial"]


@pytest.mark.parametrize("draft", [".config.yaml.draft", ".config.yaml.partial", "config.yaml.tmp"])
def test_no_draft_has_a_name_that_can_be_foreseen(draft, folder, own):
    (folder / draft).symlink_to(own)
    write_below(folder, "config.yaml", "theirs")
    assert own.read_text() == "mine" and (folder / "config.yaml").read_text() == "theirs"


def test_a_file_with_a_second_name_is_replaced_and_the_other_one_kept(folder, own):
    os.link(own, folder / "config.yaml")
    write_below(folder, "config.yaml", "theirs")
    assert own.read_text() == "mine" and (folder / "config.yaml").read_text() == "theirs"


@pytest.mark.parametrize("name", ["/tmp/x", "../x", "a/../../x"])
def test_a_name_stays_below(name, folder):
    with pytest.raises(ValueError, match="is relative and has no"):
        write_below(folder, name, "")


def test_the_folder_itself_may_be_reached_by_a_link_and_what_is_missing_below_it_is_made(folder, tmp_path):
    (tmp_path / "link").symlink_to(folder)
    write_below(tmp_path / "link", "best/spatial/config.yaml", "a")
    assert (folder / "best" / "spatial" / "config.yaml").read_text() == "a"
    check_no_links(tmp_path / "link")


def test_a_folder_that_is_gone_is_not_made_again(tmp_path):
    with pytest.raises(FileNotFoundError):
        write_below(tmp_path / "gone", "a", "")


def test_a_copy_takes_the_place_of_the_old_one_in_one_step(folder):
    (folder / "a").write_text("old")
    with (folder / "a").open() as reader:
        copy_of_a_file(folder, "a", "newer")
        assert reader.read() == "old"
    assert [path.read_text() for path in folder.iterdir()] == ["newer"]


def link(path, own):
    path.symlink_to(own)


def dangling(path, own):
    path.symlink_to("nowhere")


def inner(path, own):
    path.symlink_to(path.parent)


def hard_link(path, own):
    os.link(own, path)


def pipe(path, own):
    os.mkfifo(path)


def unix_socket(path, own):
    with socket.socket(socket.AF_UNIX) as one:
        os.chdir(path.parent)
        one.bind(path.name)


KINDS = {
    link: "a link",
    dangling: "a link",
    inner: "a link",
    hard_link: "has a second name somewhere .a hard link.",
    pipe: "a named pipe",
    unix_socket: "a socket",
}


@pytest.mark.parametrize("make", KINDS)
@pytest.mark.parametrize("place", ["driver.lock", "trials/clip-0000/.hidden", "wandb", "trials/wandb-x"])
def test_a_folder_with_anything_but_folders_and_files_of_its_own_is_refused(
    make, place, folder, own, monkeypatch
):
    monkeypatch.chdir(folder)
    (folder / place).parent.mkdir(parents=True, exist_ok=True)
    make(folder / place, own)
    with pytest.raises(LinkError, match=rf"{place}: .*{KINDS[make]}.*remove it"):
        check_no_links(folder)


def test_links_of_weights_and_biases_to_its_own_newest_run_are_let_through(folder, own):
    home = folder / "trials" / "clip-0000" / "wandb"
    (home / "run-1").mkdir(parents=True)
    (home / "latest-run").symlink_to("run-1")
    (home / "debug.log").symlink_to("run-1/not-there-yet.log")
    check_no_links(folder)
    (home / "run-1" / "out").symlink_to(own)
    with pytest.raises(LinkError, match="wandb/run-1/out: is a link"):
        check_no_links(folder)


def test_a_folder_that_is_not_there_has_no_links(tmp_path):
    check_no_links(tmp_path / "none")


def test_a_crash_while_writing_leaves_the_old_file_and_no_rubbish(tmp_path, monkeypatch):
    path = tmp_path / "summary.json"
    write_below(tmp_path, path.name, "old")

    def crash(descriptor):
        raise OSError("no space left on device")

    monkeypatch.setattr(guarded_folder.os, "fsync", crash)
    with pytest.raises(OSError, match="no space left"):
        write_below(tmp_path, path.name, "new")
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["summary.json"]


def test_a_file_is_on_the_disk_before_it_takes_the_old_ones_place(tmp_path, monkeypatch):
    path = tmp_path / "summary.json"
    write_below(tmp_path, path.name, "old")
    fsync, seen = guarded_folder.os.fsync, []

    def looked_at(descriptor):
        seen.append((guarded_folder.os.fstat(descriptor).st_size, path.read_text()))
        fsync(descriptor)

    monkeypatch.setattr(guarded_folder.os, "fsync", looked_at)
    with path.open() as reader:
        write_below(tmp_path, path.name, "newer")
        assert reader.read() == "old"  # whoever has it open reads the old one to its end
    assert seen == [(len("newer"), "old")] and path.read_text() == "newer"
