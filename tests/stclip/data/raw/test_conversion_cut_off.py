"""A conversion that is killed or interrupted leaves whole slides only, and the same command goes on."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from stclip.config import PROJECT_ROOT
from stclip.data.__main__ import main
from tests.stclip.data.hest_folders import slide_of, write_hest

pytestmark = pytest.mark.slow
SLIDES = 10


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    """Slides that take the better part of a second each: the last is far off when the first is done."""
    rng = np.random.default_rng(0)
    slides = {}
    for number in range(SLIDES):
        one = slide_of(number, spots=120)
        one.tiles = rng.integers(0, 256, (120, 160, 160, 3), dtype=np.uint8)
        one.xy *= 2
        slides[f"S{number}"] = one
    return write_hest(tmp_path_factory.mktemp("raw"), slides)


def command(raw, out):
    return ["hest", "--raw", str(raw), "--out", str(out), "--genes", "all", "--jobs", "2", "--quiet"]


def shards(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*.tar")}


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_what_was_finished_stays_and_the_rest_is_done_later(raw, tmp_path, capsys, how):
    out = tmp_path / "out"
    process = subprocess.Popen(
        [sys.executable, "-m", "stclip.data", *command(raw, out)],
        cwd=PROJECT_ROOT, start_new_session=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    until = time.monotonic() + 120
    while not list(out.glob("*/conversion.json")):
        assert process.poll() is None and time.monotonic() < until
        time.sleep(0.02)
    os.killpg(process.pid, how)
    _, err = process.communicate(timeout=120)
    done = {path.parent.name: path.parent.stat().st_ino for path in out.glob("*/conversion.json")}
    assert 1 <= len(done) < SLIDES
    if how == signal.SIGINT:
        assert (process.returncode, err) == (130, "interrupted; the same command goes on where it was\n")
        assert {path.name for path in out.iterdir() if path.is_dir()} == set(done)
    assert main(command(raw, out)) == 0
    assert f"{SLIDES} slides ({len(done)} of them there already)" in capsys.readouterr().out
    assert {slide: (out / slide).stat().st_ino for slide in done} == done
    assert main(command(raw, tmp_path / "unbroken")) == 0
    assert shards(out) == shards(tmp_path / "unbroken") and len(shards(out)) == SLIDES
    assert {path.name for path in out.iterdir() if path.is_dir()} == {
        f"S{number}" for number in range(SLIDES)
    }
