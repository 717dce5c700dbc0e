"""Paths as people type them: asking about one never raises, however long or odd it is."""

from __future__ import annotations

from pathlib import Path


def is_file(path: Path) -> bool:
    """A file that can be looked at; no for a name the system refuses (too long, no permission on the way)."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def is_folder(path: Path) -> bool:
    """A folder that can be looked at; no for a name the system refuses."""
    try:
        return path.is_dir()
    except (OSError, ValueError):
        return False


def user_path(text: str | Path) -> Path:
    """The path, `~` written out; `~name` of a person who does not exist stays as it is."""
    try:
        return Path(text).expanduser()
    except RuntimeError:
        return Path(text)
