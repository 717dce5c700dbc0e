"""Ray's authentication token: a file that only its owner can read, made before Ray would make one that all can."""

from __future__ import annotations

import os
import secrets
import stat
from pathlib import Path

from stclip.errors import InputError
from stclip.paths import user_path

MODE = "RAY_AUTH_MODE"


def token_file() -> Path:
    """Where the token lies unless RAY_AUTH_TOKEN holds it: RAY_AUTH_TOKEN_PATH, else ~/.ray/auth_token."""
    return user_path(os.environ.get("RAY_AUTH_TOKEN_PATH") or "~/.ray/auth_token")


def require_token() -> None:
    """Switch Ray's token authentication on for this process and what it starts, with a token made on first use.

    RAY_AUTH_MODE that a person has set is left as it is. Raises InputError when the token cannot be kept private.
    """
    if os.environ.setdefault(MODE, "token") != "token" or os.environ.get("RAY_AUTH_TOKEN"):
        return
    path = token_file()
    try:
        if not path.exists():
            _make(path)
        elif path.stat().st_uid == os.getuid() and path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            path.chmod(0o600)  # Ray itself writes it with 644
    except OSError as error:
        raise InputError(
            f"{path}: Ray's token cannot be kept there ({error.strerror or error}); set RAY_AUTH_TOKEN_PATH to a file of yours"
        ) from None


def use_token_if_there() -> None:
    """Show the token to a cluster that is there already. Ray 2.60 does so only when it is told to."""
    if os.environ.get("RAY_AUTH_TOKEN") or token_file().is_file():
        require_token()


def _make(path: Path) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        os.write(descriptor, secrets.token_hex(32).encode())
    finally:
        os.close(descriptor)
    try:
        os.link(draft, path)  # fails where another process was faster: its token counts
    except FileExistsError:
        pass
    finally:
        draft.unlink()
