"""Sweeps as Ray jobs: what is refused before anything is sent, and what is sent."""

import os
import subprocess
import sys

import pytest

from stclip.files.paths import PROJECT_ROOT
from sweeps import submit
from sweeps.cluster import shipped_code
from sweeps.cluster.job_arguments import ARGUMENTS, pack_arguments, unpack_arguments
from sweeps.cluster.ray_token import use_token_if_there
from sweeps.cluster.shipped_code import stage_code
from sweeps.job import main as job_main
from sweeps.planning import versions

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


@pytest.mark.parametrize("text", ["", "{}", '["a", 1]', '"--list"', "[", "null", "[" * 5000])
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
    assert {path.name for path in (tmp_path / "configs").iterdir()} == {"experiment", "space"}
    for package in ("stclip", "sweeps"):  # whole, whatever their folders are called
        sent = {path.relative_to(tmp_path) for path in (tmp_path / package).rglob("*.py")}
        assert sent == {path.relative_to(PROJECT_ROOT) for path in (PROJECT_ROOT / package).rglob("*.py")}
    assert sum(path.stat().st_size for path in files) < 5_000_000
    assert {path.suffix for path in files} <= {".py", ".yaml", ".json", ".md", ".typed", ".jinja", ".js"}
    assert (tmp_path / "sweeps" / "reporting" / "report.html.jinja").is_file() and (
        tmp_path / "sweeps" / "reporting" / "report.js"
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
