"""`local.sh`: what it refuses, in one line and without touching a process of somebody else."""

import os
import subprocess

import pytest

from stclip.files.paths import PROJECT_ROOT

LOCAL_SH = PROJECT_ROOT / "configs" / "cluster" / "local.sh"


def local_sh(environment, *arguments):
    return subprocess.run(
        [str(LOCAL_SH), *arguments], env=environment, capture_output=True, text=True, timeout=300
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "unknown action ''; known: start, status, kill-node, stop"),
        (("begin",), "unknown action 'begin'; known: start, status, kill-node, stop"),
        (("start", "--nodes", "4"), "unknown argument '--nodes'; known: --cpus-per-node"),
        (("start", "--cpus-per-node"), "--cpus-per-node needs a whole number from 1 up, got ''"),
        (("start", "--cpus-per-node", "0"), "--cpus-per-node needs a whole number from 1 up, got '0'"),
        (("start", "--port", "$(id)"), "--port needs a whole number from 1 up, got '$(id)'"),
        (("kill-node",), "kill-node needs the number of a node, 2 or 3, got ''"),
        (("kill-node", "1"), "node 1 is the head"),
        (("kill-node", "2"), "node 2 does not run"),
        (("stop",), "no cluster was started from here"),
    ],
)
def test_local_sh_refuses_in_one_line(arguments, message, tmp_path):
    done = local_sh({**os.environ, "STCLIP_LOCAL_CLUSTER": str(tmp_path / "state")}, *arguments)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith(f"error: {message}")
    assert not (tmp_path / "state").exists()


def test_local_sh_never_ends_a_process_that_took_over_a_pid(tmp_path):
    stranger = subprocess.Popen(["sleep", "60"])
    try:
        state = tmp_path / "state"
        state.mkdir()
        (state / "node-1").write_text(f"{stranger.pid} 12345\n")  # the pid, another start
        (state / "short").write_text(f"{tmp_path}\n")  # not a folder that local.sh makes
        assert local_sh({**os.environ, "STCLIP_LOCAL_CLUSTER": str(state)}, "stop").stdout == "stopped\n"
        assert stranger.poll() is None
        assert tmp_path.is_dir()
    finally:
        stranger.kill()
        stranger.wait()
