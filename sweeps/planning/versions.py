"""What a sweep ran with: versions of the packages that decide its numbers, and the commit of the checkout."""

from __future__ import annotations

import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version

from stclip.files.paths import PROJECT_ROOT

_PACKAGES = (
    "stclip", "torch", "lightning", "torchmetrics", "ray", "optuna",
    "numpy", "scipy", "pillow", "webdataset", "pydantic",
)  # fmt: skip


COMMIT_FILE = "commit.txt"  # in a copy of the code without its .git


def collect_versions() -> dict[str, str]:
    """Package -> version of python and the installed packages (none imported); `commit` in a git checkout.

    A commit ends in `+changes` when tracked files differ from it.
    """
    found = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    commit = checkout_commit()
    return {**found, "commit": commit} if commit else found


def checkout_commit() -> str | None:
    """The commit of this code; None when it is not known. A copy that was sent to a cluster brings it along."""
    if not (PROJECT_ROOT / ".git").exists():  # not a checkout: git would find some other repository
        carried = PROJECT_ROOT / COMMIT_FILE
        return carried.read_text(encoding="utf-8").strip() if carried.is_file() else None
    try:
        head = _git("rev-parse", "HEAD")
        return head + ("+changes" if _git("status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.SubprocessError):
        return None


def _git(*arguments: str) -> str:
    done = subprocess.run(
        ["git", "-C", str(PROJECT_ROOT), *arguments], capture_output=True, text=True, check=True, timeout=10
    )
    return done.stdout.strip()
