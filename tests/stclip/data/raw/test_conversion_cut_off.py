"""A conversion that is killed or interrupted leaves whole slides only, and the same command goes on."""

import os
import signal
import subprocess
import sys
import time

import pytest

from stclip.data.__main__ import main
from stclip.files.paths import PROJECT_ROOT
from tests.stclip.data.hest_folders import slide_of, write_hest
from tests.whole_sweeps.moments import Hooks, Moment

pytestmark = pytest.mark.slow
SLIDES, JOBS = 5, 2
PATIENCE = 300  # seconds; turns a hang into a failure


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    slides = {f"S{number}": slide_of(number, spots=20) for number in range(SLIDES)}
    return write_hest(tmp_path_factory.mktemp("raw"), slides)


def command(raw, out):
    return ["hest", "--raw", str(raw), "--out", str(out), "--genes", "all", "--jobs", str(JOBS), "--quiet"]


@pytest.fixture(scope="module")
def unbroken(raw, tmp_path_factory):
    out = tmp_path_factory.mktemp("unbroken") / "out"
    assert main([*command(raw, out), "--jobs", "1"]) == 0
    return out


def shards(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*.tar")}


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_what_was_finished_stays_and_the_rest_is_done_later(raw, unbroken, tmp_path, capsys, how):
    """Each process is held before its second slide, until all are killed or the interrupt has been understood."""
    out, hooks = tmp_path / "out", Hooks(tmp_path / "hooks", PROJECT_ROOT)
    second = Moment("stclip.data.raw.convert:convert_slide", "hold", 2)
    told_to_stop = Moment("concurrent.futures.process:ProcessPoolExecutor.shutdown", "release")
    process = subprocess.Popen(
        [sys.executable, "-m", "stclip.data", *command(raw, out)],
        cwd=PROJECT_ROOT, start_new_session=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, **hooks.environment(second, told_to_stop)},
    )  # fmt: skip
    until = time.monotonic() + PATIENCE
    while len(hooks.held()) < JOBS:
        assert process.poll() is None and time.monotonic() < until
        time.sleep(0.02)
    os.killpg(process.pid, how)
    _, err = process.communicate(timeout=PATIENCE)
    done = {path.parent.name: path.parent.stat().st_ino for path in out.glob("*/conversion.json")}
    assert len(done) == JOBS
    if how == signal.SIGINT:
        assert (process.returncode, err) == (130, "interrupted; the same command goes on where it was\n")
        assert {path.name for path in out.iterdir() if path.is_dir()} == set(done)
    assert main(command(raw, out)) == 0
    assert f"{SLIDES} slides ({len(done)} of them there already)" in capsys.readouterr().out
    assert {slide: (out / slide).stat().st_ino for slide in done} == done
    assert shards(out) == shards(unbroken) and len(shards(out)) == SLIDES
    assert {path.name for path in out.iterdir() if path.is_dir()} == {
        f"S{number}" for number in range(SLIDES)
    }
