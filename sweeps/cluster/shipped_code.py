"""The code that travels to a cluster, whichever way: a joined cluster, a Ray client, a job."""

from __future__ import annotations

import shutil
from pathlib import Path

from stclip.files.paths import PROJECT_ROOT
from sweeps.planning.versions import COMMIT_FILE, checkout_commit

SHIPPED = ("stclip", "sweeps", "configs")  # all that a sweep needs beside its dependencies and its data


def stage_code(folder: Path) -> None:
    """Copy what a job needs, and nothing else that lies in the checkout, into an empty folder; its commit goes with it."""
    unwanted = ("__pycache__", "*.pyc", ".*")
    for name in SHIPPED:
        more = ("cluster",) if name == "configs" else ()  # for whoever starts a cluster
        shutil.copytree(PROJECT_ROOT / name, folder / name, ignore=shutil.ignore_patterns(*unwanted, *more))
    commit = checkout_commit()
    if commit is not None:
        (folder / COMMIT_FILE).write_text(f"{commit}\n", encoding="utf-8")
