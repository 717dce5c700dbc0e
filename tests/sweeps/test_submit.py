"""Sweeps as Ray jobs: what is refused before anything is sent, and real jobs on a real cluster with authentication."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from stclip.config import PROJECT_ROOT
from sweeps import shipped_code, submit, versions
from sweeps.job import ARGUMENTS, pack_arguments, unpack_arguments
from sweeps.job import main as job_main
from sweeps.ray_token import use_token_if_there
from sweeps.shipped_code import stage_code

NASTY = [
    "a b",
    "it's",
    '"',
    "$(touch pwned)",
    "`touch pwned`",
    "; touch pwned",
    "${HOME}",
    "$HOME",
    "\\",
    "ünïcode\n",
    "",
]


# --- bad command lines


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "--address is missing"),
        (["--address", "http://h:1"], "put the flags of sweeps/run.py after '--'"),
        (["--address", "http://h:1", "--"], "put the flags of sweeps/run.py after '--'"),
        (["--address", "http://h:1", "--status", "x", "--", "--list"], "look at a job"),
        (["--address", "http://h:1", "--follow", "--", "--list"], "--follow goes with --logs"),
        (["--address", "http://h:1", "--status", "x", "--detach"], "--detach and --name go with"),
        (["--address", "127.0.0.1:6379", "--", "--list"], "--address is a dashboard's, such as http://127.0.0.1:8265"),
        (["--address", "http://127.0.0.1:1", "--", "--list"], "nothing answers at http://127.0.0.1:1"),
    ],
)  # fmt: skip
def test_bad_commands_are_one_line_and_exit_with_2(arguments, message, capsys, monkeypatch):
    monkeypatch.delenv("RAY_API_SERVER_ADDRESS", raising=False)
    assert submit.main(arguments) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_a_mistyped_flag_of_the_sweep_is_found_before_anything_is_sent(capsys):
    with pytest.raises(SystemExit) as exit_info:
        submit.main(["--address", "http://127.0.0.1:1", "--", "--space", "smoke", "--trails", "3"])
    assert exit_info.value.code == 2
    assert "unrecognized arguments: --trails 3" in capsys.readouterr().err


# --- what is sent


def test_arguments_travel_unharmed_and_without_a_dollar():
    packed = pack_arguments(NASTY)
    assert unpack_arguments(packed) == NASTY
    assert "$" not in packed
    assert packed.isascii()


@pytest.mark.parametrize("text", ["", "{}", '["a", 1]', '"--list"', "[", "null"])
def test_a_job_refuses_what_submit_did_not_write(text, monkeypatch, capsys):
    monkeypatch.setenv(ARGUMENTS, text)
    assert job_main() == 2
    assert f"{ARGUMENTS} is not what sweeps/submit.py writes" in capsys.readouterr().err
    monkeypatch.delenv(ARGUMENTS)
    assert job_main() == 2
    assert f"{ARGUMENTS} is not set" in capsys.readouterr().err


def test_the_code_that_is_sent_is_small_complete_and_nothing_else(tmp_path, monkeypatch):
    monkeypatch.setattr(shipped_code, "checkout_commit", lambda: "ab12+changes")
    stage_code(tmp_path)
    assert (tmp_path / "commit.txt").read_text() == "ab12+changes\n"
    monkeypatch.setattr(versions, "PROJECT_ROOT", tmp_path)
    assert versions.collect_versions()["commit"] == "ab12+changes"
    (tmp_path / "commit.txt").unlink()
    assert "commit" not in versions.collect_versions()
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert {path.name for path in tmp_path.iterdir()} == {"stclip", "sweeps", "configs"}
    assert sum(path.stat().st_size for path in files) < 5_000_000
    assert {path.suffix for path in files} <= {".py", ".yaml", ".json", ".md", ".typed", ".jinja", ".js"}
    assert (tmp_path / "sweeps" / "report.html.jinja").is_file() and (
        tmp_path / "sweeps" / "report.js"
    ).is_file()
    listed = subprocess.run(
        [sys.executable, "-m", "sweeps.job"], cwd=tmp_path, env={ARGUMENTS: '["--list"]'}, capture_output=True, text=True
    )  # fmt: skip
    assert listed.returncode == 0, listed.stderr
    assert "synthetic_medium" in listed.stdout


@pytest.mark.parametrize(
    ("environment", "file", "mode"),
    [
        ({"RAY_AUTH_TOKEN": "t"}, None, "token"),
        ({}, ".ray/auth_token", "token"),
        ({"RAY_AUTH_TOKEN_PATH": "HOME/elsewhere"}, "elsewhere", "token"),
        ({"RAY_AUTH_TOKEN_PATH": "HOME/elsewhere"}, ".ray/auth_token", None),
        ({"RAY_AUTH_TOKEN": "t", "RAY_AUTH_MODE": "disabled"}, None, "disabled"),
        ({}, None, None),
    ],
)
def test_a_token_that_is_there_is_used_unless_the_user_says_otherwise(
    environment, file, mode, tmp_path, monkeypatch
):
    if file is not None:
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).write_text("secret")
    for key in ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH", "RAY_AUTH_MODE"):
        monkeypatch.delenv(key, raising=False)
    for key, value in {"HOME": "HOME", **environment}.items():
        monkeypatch.setenv(key, value.replace("HOME", str(tmp_path)))
    use_token_if_there()
    assert os.environ.get("RAY_AUTH_MODE") == mode
    if file is not None:
        assert (tmp_path / file).stat().st_mode & 0o077 == 0 or mode is None


# --- real jobs


def run_submit(cluster, *arguments, environment=None):
    command = [
        sys.executable,
        str(PROJECT_ROOT / "sweeps" / "submit.py"),
        "--address",
        cluster.dashboard,
        *arguments,
    ]
    return subprocess.run(
        command, env=environment or cluster.environment, capture_output=True, text=True, timeout=200
    )


@pytest.mark.slow
def test_a_jobs_log_and_exit_status_come_back(local_cluster):
    good = run_submit(local_cluster, "--", "--space", "smoke", "--list")
    assert good.returncode == 0, good.stderr
    assert "synthetic_medium" in good.stdout
    bad = run_submit(local_cluster, "--name", "bad", "--", "--space", "smoke", "--results", "/proc/nowhere")
    assert bad.returncode == 2, bad.stdout
    assert "submitted bad-" in bad.stdout
    assert "error:" in bad.stdout  # of the sweep, in the job's log
    assert "Traceback" not in bad.stdout + bad.stderr


@pytest.mark.slow
def test_no_shell_reads_what_the_user_typed(local_cluster, tmp_path):
    trap = tmp_path / "pwned"
    name = f'it\'s "$(touch {trap})" `touch {trap}`; touch {trap} $HOME ${{HOME}}'
    done = run_submit(local_cluster, "--", "--space", "smoke", "--results", "/shared", "--name", name)
    assert done.returncode == 2
    assert not trap.exists()
    # the sweep got the name whole, and refuses it as it would have here
    local = subprocess.run(
        [sys.executable, str(PROJECT_ROOT / "sweeps" / "run.py"), "--space", "smoke", "--results", "/shared", "--name", name],
        env=local_cluster.environment, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert local.stderr.startswith("error: --name is up to 100 letters")
    assert local.stderr in done.stdout


@pytest.mark.slow
@pytest.mark.long
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
        deadline = time.monotonic() + 100
        while "COMPLETE" not in run_submit(local_cluster, "--logs", job_id).stdout:
            assert "RUNNING" in run_submit(local_cluster, "--status", job_id).stdout
            assert time.monotonic() < deadline
        _look_and_stop(local_cluster, job_id)
    finally:
        run_submit(local_cluster, "--stop", job_id)
    summary = json.loads(
        (tmp_path / "long" / "summary.json").read_text()
    )  # a clean stop: the report is there
    assert summary["status"] == "interrupted"


def _look_and_stop(local_cluster, job_id):
    status = run_submit(local_cluster, "--status", job_id)
    assert status.stdout.startswith(f"{job_id}: RUNNING: python sweeps/run.py --space spatial")
    follower = subprocess.Popen(
        [sys.executable, "sweeps/submit.py", "--address", local_cluster.dashboard, "--logs", job_id, "--follow"],
        cwd=PROJECT_ROOT, env=local_cluster.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert any("COMPLETE" in line for line in iter(follower.stdout.readline, ""))
    follower.send_signal(signal.SIGINT)
    _, said = follower.communicate(timeout=30)
    assert follower.returncode == 130
    assert f"job {job_id} goes on" in said
    assert "RUNNING" in run_submit(local_cluster, "--status", job_id).stdout
    assert run_submit(local_cluster, "--stop", job_id).returncode == 0
    ended = run_submit(local_cluster, "--logs", job_id, "--follow")
    assert ended.returncode == 130
    assert "STOPPED" in run_submit(local_cluster, "--status", job_id).stdout


@pytest.mark.slow
def test_an_unknown_job_is_answered_with_the_known_ones(local_cluster):
    known = (
        run_submit(local_cluster, "--detach", "--name", "known", "--", "--list").stdout.split()[1].rstrip(":")
    )
    done = run_submit(local_cluster, "--status", known[:-1])
    assert done.returncode == 2
    assert f"did you mean '{known}'?" in done.stderr


@pytest.mark.slow
def test_without_the_token_nothing_is_submitted(local_cluster):
    wrong = {**local_cluster.stranger(), "RAY_AUTH_TOKEN": "wrong"}
    for environment in (local_cluster.stranger(), wrong):
        done = run_submit(local_cluster, "--", "--list", environment=environment)
        assert done.returncode == 2
        assert done.stderr == (
            f"error: {local_cluster.dashboard} wants a token, and there is none here or another one; set "
            "RAY_AUTH_TOKEN, or write it to ~/.ray/auth_token (on the cluster, 'ray get-auth-token' prints it)\n"
        )


@pytest.mark.slow
def test_a_whole_sweep_as_a_job(local_cluster, tmp_path):
    done = run_submit(local_cluster, "--name", "whole", "--", "--space", "smoke", "--results", str(tmp_path),
                      "--trials", "2", "--confirm-seeds", "1")  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Sweep complete" in done.stdout
    assert (tmp_path / "whole" / "report.md").is_file()
