"""A sweep that ends otherwise than a test expects says why: its words, its files, its processes and what they do."""

import os
import shutil

import pytest

from tests.whole_sweeps import sweep_runner

HANGS = """
import time
def waits_for_ever():
    print("ready", flush=True)
    time.sleep(3600)
waits_for_ever()
"""


@pytest.fixture
def folder(runner):
    folder = runner.results / "odd"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "sweep.yaml").write_text("name: odd\n")
    return folder


def launch(runner, code):
    return runner.launch("odd", command=("-c", code))


def test_another_exit_status_is_told_with_the_logs_and_the_files(runner, folder):
    process = launch(runner, "import sys; print('last words'); sys.exit('no such slide')")
    with pytest.raises(AssertionError, match="'odd' ended with 1, not 0") as caught:
        runner.end(process)
    text = str(caught.value)
    assert "--- the end of odd.out\nlast words\n--- the end of odd.err\nno such slide\n" in text
    assert f"--- {folder}\n       10 sweep.yaml\n" in text


def test_a_traceback_is_never_what_is_expected(runner, folder):
    with pytest.raises(AssertionError, match="ValueError: odd"):
        runner.end(launch(runner, "raise ValueError('odd')"), code=1)


def test_an_end_before_the_awaited_is_told_at_once(runner, folder):
    with pytest.raises(AssertionError, match="'odd' ended, and what the test waits for has not happened"):
        runner.wait_until(lambda: False, launch(runner, "pass"))


@pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("py-spy") is None, reason="stacks of other processes: py-spy, as root"
)
def test_a_hang_shows_the_stacks_of_all_its_processes(runner, folder, monkeypatch):
    """The command hangs, and so does a process that it has started."""
    code = f"import subprocess, sys\nsubprocess.Popen([sys.executable, '-c', {HANGS!r}])\n{HANGS}"
    process = launch(runner, code)
    runner.wait_until(lambda: runner.output("odd").count("ready") == 2, process)
    monkeypatch.setattr(sweep_runner, "PATIENCE", 0)
    with pytest.raises(AssertionError, match="'odd' does not end") as caught:
        runner.end(process)
    assert str(caught.value).count("waits_for_ever (<string>:") == 2
