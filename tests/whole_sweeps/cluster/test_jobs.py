"""Sweeps as Ray jobs on a real cluster with authentication: sent, followed, looked at, stopped."""

import json
import signal
import subprocess
import sys

import pytest

from stclip.files.paths import PROJECT_ROOT
from tests.whole_sweeps.sweep_runner import PATIENCE

pytestmark = pytest.mark.slow


def run_submit(cluster, *arguments, environment=None):
    command = [
        sys.executable,
        str(PROJECT_ROOT / "sweeps" / "submit.py"),
        "--address",
        cluster.dashboard,
        *arguments,
    ]
    return subprocess.run(
        command, env=environment or cluster.environment, capture_output=True, text=True, timeout=PATIENCE
    )


def test_a_jobs_log_and_exit_status_come_back(local_cluster):
    good = run_submit(local_cluster, "--", "--space", "smoke", "--list")
    assert good.returncode == 0, good.stderr
    assert "synthetic_medium" in good.stdout
    bad = run_submit(local_cluster, "--name", "bad", "--", "--space", "smoke", "--results", "/proc/nowhere")
    assert bad.returncode == 2, bad.stdout
    assert "submitted bad-" in bad.stdout
    assert "error:" in bad.stdout  # of the sweep, in the job's log
    assert "Traceback" not in bad.stdout + bad.stderr


def test_no_shell_reads_what_the_user_typed(local_cluster, tmp_path):
    trap = tmp_path / "pwned"
    name = f'it\'s "$(touch {trap})" `touch {trap}`; touch {trap} $HOME ${{HOME}}'
    done = run_submit(local_cluster, "--", "--space", "smoke", "--results", "/shared", "--name", name)
    assert done.returncode == 2
    assert not trap.exists()
    # the sweep got the name whole, and refuses it as it would have here
    local = subprocess.run(
        [sys.executable, str(PROJECT_ROOT / "sweeps" / "run.py"), "--space", "smoke", "--results", "/shared", "--name", name],
        env=local_cluster.environment, capture_output=True, text=True, timeout=PATIENCE,
    )  # fmt: skip
    assert local.stderr.startswith("error: --name is up to 100 letters")
    assert local.stderr in done.stdout


def test_a_job_can_be_left_looked_at_and_stopped(local_cluster, tmp_path):
    long = (
        "--",
        "--space",
        "spatial",
        "--data",
        "synthetic_small",
        "--results",
        str(tmp_path),
        "--trials",
        "200",
    )
    done = run_submit(local_cluster, "--detach", "--name", "long", *long)
    assert done.returncode == 0, done.stderr
    first, *steps = done.stdout.splitlines()
    job_id = first.removeprefix("submitted ").partition(":")[0]
    assert [step.split()[-1 if "--follow" not in step else -2] for step in steps] == [job_id] * 3
    try:
        _look_and_stop(local_cluster, job_id)
    finally:
        run_submit(local_cluster, "--stop", job_id)
    # A clean stop: the report is there.
    summary = json.loads((tmp_path / "long" / "summary.json").read_text())
    assert summary["status"] == "interrupted"


def _look_and_stop(local_cluster, job_id):
    follower = subprocess.Popen(
        [sys.executable, "sweeps/submit.py", "--address", local_cluster.dashboard, "--logs", job_id, "--follow"],
        cwd=PROJECT_ROOT, env=local_cluster.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert any("COMPLETE" in line for line in iter(follower.stdout.readline, ""))
    status = run_submit(local_cluster, "--status", job_id)
    assert status.stdout.startswith(f"{job_id}: RUNNING: python sweeps/run.py --space spatial")
    follower.send_signal(signal.SIGINT)
    _, said = follower.communicate(timeout=PATIENCE)
    assert follower.returncode == 130
    assert f"job {job_id} goes on" in said
    assert "RUNNING" in run_submit(local_cluster, "--status", job_id).stdout
    assert run_submit(local_cluster, "--stop", job_id).returncode == 0
    ended = run_submit(local_cluster, "--logs", job_id, "--follow")
    assert ended.returncode == 130
    assert "STOPPED" in run_submit(local_cluster, "--status", job_id).stdout


def test_an_unknown_job_is_answered_with_the_known_ones(local_cluster):
    known = (
        run_submit(local_cluster, "--detach", "--name", "known", "--", "--list").stdout.split()[1].rstrip(":")
    )
    done = run_submit(local_cluster, "--status", known[:-1])
    assert done.returncode == 2
    assert f"did you mean '{known}'?" in done.stderr


def test_without_the_token_nothing_is_submitted(local_cluster):
    wrong = {**local_cluster.stranger(), "RAY_AUTH_TOKEN": "wrong"}
    for environment in (local_cluster.stranger(), wrong):
        done = run_submit(local_cluster, "--", "--list", environment=environment)
        assert done.returncode == 2
        assert done.stderr == (
            f"error: {local_cluster.dashboard} wants a token, and there is none here or another one; set "
            "RAY_AUTH_TOKEN, or write it to ~/.ray/auth_token (on the cluster, 'ray get-auth-token' prints it)\n"
        )


def test_a_whole_sweep_as_a_job(local_cluster, tmp_path):
    done = run_submit(local_cluster, "--name", "whole", "--", "--space", "smoke", "--results", str(tmp_path),
                      "--trials", "1", "--confirm-seeds", "1")  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Sweep complete" in done.stdout
    assert (tmp_path / "whole" / "report.md").is_file()
