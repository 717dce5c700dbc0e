"""Ray's own files lie where nobody else can enter, and where a path of a socket is short enough."""

import os
import shutil
import stat
import tempfile
from pathlib import Path

import pytest

from stclip.errors import InputError
from sweeps.cluster import ray_folder as module
from sweeps.cluster.ray_folder import check_place, ray_folder


@pytest.fixture
def short(monkeypatch):
    """A folder with a short path, as the place for temporary files."""
    folder = Path(tempfile.mkdtemp(prefix="rf", dir="/tmp"))
    monkeypatch.delenv("RAY_TMPDIR", raising=False)
    point_to(monkeypatch, folder)
    yield folder
    shutil.rmtree(folder)


def point_to(monkeypatch, folder):
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr(tempfile, "tempdir", None)


def outer(place):
    return place / f"stclip-{os.getuid()}"


def test_nobody_else_can_enter_it_and_it_is_the_same_for_the_next_sweep(short):
    before = os.umask(0)
    try:
        assert ray_folder() == ray_folder() == outer(short) / "ray"
    finally:
        os.umask(before)
    assert stat.S_IMODE(outer(short).stat().st_mode) == 0o700
    assert list(outer(short).iterdir()) == []


@pytest.mark.parametrize("mode", [0o777, 0o750, 0o701])
def test_a_folder_that_was_open_to_others_is_not_used(short, mode):
    outer(short).mkdir()
    outer(short).chmod(mode)
    found = ray_folder()
    assert found.parent.parent == short
    assert found.parent.name.startswith(f"stclip-{os.getuid()}-")
    assert stat.S_IMODE(found.parent.stat().st_mode) == 0o700


def test_a_folder_of_somebody_else_is_not_used(short, monkeypatch):
    outer(short).mkdir(mode=0o700)
    uid = os.getuid()
    outer(short).rename(short / f"stclip-{uid + 1}")
    monkeypatch.setattr(module.os, "getuid", lambda: uid + 1)
    assert ray_folder().parent.name.startswith(f"stclip-{uid + 1}-")


@pytest.mark.parametrize("kind", ["file", "link", "dangling"])
def test_what_is_no_folder_is_not_used(short, kind):
    (short / "elsewhere").mkdir(mode=0o700)
    if kind == "file":
        outer(short).write_text("")
    else:
        outer(short).symlink_to(short / ("elsewhere" if kind == "link" else "nowhere"))
    found = ray_folder()
    assert found.parent.parent == short
    assert found.parent not in (outer(short), short / "elsewhere")
    assert list((short / "elsewhere").iterdir()) == []


LONG = "scratch/users/my_lab/my_group/someone/slurm_jobdir/1355700/tmp.node0016"


@pytest.mark.parametrize("name", [LONG, "a b", "ü", "not/there", "file"])
@pytest.mark.parametrize("variable", ["TMPDIR", "RAY_TMPDIR"])
def test_a_place_that_does_not_do_is_passed_over(short, monkeypatch, name, variable):
    place = short / name
    if name == "file":
        place.write_text("")
    elif name != "not/there":
        place.mkdir(parents=True)
    if variable == "TMPDIR":
        monkeypatch.setattr(module, "_places", lambda: iter([place, short]))
    else:
        monkeypatch.setenv("RAY_TMPDIR", str(place))
    assert ray_folder() == outer(short) / "ray"
    assert not place.is_dir() or list(place.iterdir()) == []


def test_ray_tmpdir_comes_first(short, monkeypatch):
    (short / "r").mkdir()
    monkeypatch.setenv("RAY_TMPDIR", str(short / "r"))
    assert ray_folder() == outer(short / "r") / "ray"


def test_a_temporary_folder_that_is_not_there_leaves_the_systems(monkeypatch):
    monkeypatch.delenv("RAY_TMPDIR", raising=False)
    point_to(monkeypatch, "/no/such/folder")
    assert ray_folder().parent.parent in (Path("/tmp"), Path("/var/tmp"), Path("/usr/tmp"))


@pytest.mark.parametrize("mode", [0o777, 0o770])
def test_a_place_where_others_may_rename_it_is_passed_over(short, monkeypatch, mode):
    (short / "open").mkdir()
    (short / "open").chmod(mode)
    with pytest.raises(OSError, match="others may rename what lies there"):
        check_place(short / "open")
    (short / "open").chmod(mode | stat.S_ISVTX)
    check_place(short / "open")


def test_without_any_place_it_is_one_line_with_the_reasons(short, monkeypatch):
    long = short / LONG
    long.mkdir(parents=True)
    monkeypatch.setattr(module, "_places", lambda: iter([long, short / "none"]))
    with pytest.raises(
        InputError, match="its path is too long for a socket's; .*none: No such file .*set TMPDIR"
    ):
        ray_folder()


def test_the_sockets_of_the_longest_place_that_is_taken_are_short_enough(short):
    place = short / ("x" * 200)
    while True:
        try:
            check_place(place)
            break
        except OSError as error:
            if "too long" not in str(error):
                break  # the first that is short enough is not there
            place = place.with_name(place.name[1:])
    longest = f"{module._below(place)}/session_2026-11-29_02-23-29_311841_4194304/sockets/plasma_store"
    assert len(longest) in (106, 107)
