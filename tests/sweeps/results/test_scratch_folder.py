"""The driver's own folder comes and goes with it."""

import subprocess
import sys

import pytest

from sweeps.results.scratch_folder import lent_folder, own_folder


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("STCLIP_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "sweeps"


def test_own_folders_go_with_their_drivers(cache):
    ours, other = own_folder("a"), own_folder("a")
    assert ours != other and not cache.exists()
    with lent_folder(ours):
        ours.mkdir()
        with lent_folder(other):
            assert ours.is_dir()
        assert [path.name for path in cache.iterdir()] == [ours.parent.name]
    assert list(cache.iterdir()) == []


def test_what_a_killed_driver_left_is_removed_and_what_it_could_not_copy_is_not(cache):
    killed, kept = own_folder("a"), own_folder("a")
    code = "import os, sys; from pathlib import Path; from sweeps.results.scratch_folder import lent_folder\n"
    code += "with lent_folder(Path(sys.argv[1])): Path(sys.argv[1]).mkdir(); os.kill(os.getpid(), 9)"
    subprocess.run([sys.executable, "-c", code, str(killed)], check=False)
    assert killed.is_dir()
    kept.with_name("a-not-copied").mkdir(parents=True)
    with lent_folder(own_folder("b")):
        assert not killed.exists() and kept.with_name("a-not-copied").is_dir()
