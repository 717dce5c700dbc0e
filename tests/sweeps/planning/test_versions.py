"""The versions that a report names."""

from __future__ import annotations

import subprocess
import sys

from sweeps.planning import versions
from sweeps.planning.versions import collect_versions


def test_versions_come_without_importing_the_packages():
    code = (
        "import sys, sweeps.planning.versions as v; v.collect_versions(); "
        "print({'torch', 'ray', 'optuna'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
    found = collect_versions()
    assert found["python"].startswith("3.") and {"stclip", "torch", "ray", "optuna", "lightning"} <= set(
        found
    )


def test_the_commit_is_the_checkouts_own(tmp_path, monkeypatch):
    monkeypatch.setattr(versions, "PROJECT_ROOT", tmp_path)
    assert "commit" not in collect_versions()
    identity = ["-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false"]
    (tmp_path / "a.txt").write_text("1")
    for arguments in (["init", "-q"], ["add", "a.txt"], [*identity, "commit", "-qm", "first"]):
        subprocess.run(["git", "-C", str(tmp_path), *arguments], check=True)
    commit = collect_versions()["commit"]
    assert len(commit) == 40
    (tmp_path / "a.txt").write_text("2")
    assert collect_versions()["commit"] == f"{commit}+changes"
