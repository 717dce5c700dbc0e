"""Ray's authentication token: a file that only its owner can read, made before Ray would make one that all can.

Ray 2.60 takes every RAY_AUTH_MODE that it does not know for `disabled`, and aborts on a token file that it cannot use. So
both are checked here before Ray sees them.
"""

from __future__ import annotations

import errno
import os
import re
import secrets
import stat
from pathlib import Path

from stclip.errors import InputError
from stclip.files.paths import user_path

MODE, TOKEN, PLACE = "RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"
_LONGEST = 8192  # bytes of a token; it travels in a header
_WAY_OUT = f"write one there (ray get-auth-token prints a cluster's), delete the file to get a new one, or set {PLACE}"


def token_file() -> Path:
    """Where the token lies unless RAY_AUTH_TOKEN holds it: RAY_AUTH_TOKEN_PATH, else ~/.ray/auth_token.

    Raises InputError where there is no home folder.
    """
    return user_path(os.environ.get(PLACE) or "~/.ray/auth_token").absolute()


def check_token(private: bool) -> None:
    """Raise InputError for a RAY_AUTH_MODE or a token that cannot be used; nothing is made.

    `private`: for a Ray of this user's own. Its token must be nobody else's, since who wrote it knows it.
    """
    if not _is_on():
        return
    token = os.environ.get(TOKEN)
    if token:
        _check_text(token, TOKEN, "set it to a cluster's token, or to nothing")
    elif os.path.lexists(path := token_file()):
        _check_text(_read(path, private), str(path), _WAY_OUT)


def require_token(private: bool = True) -> None:
    """Switch Ray's token authentication on for this process and what it starts, with a token made on first use.

    Only RAY_AUTH_MODE=disabled leaves it off. `private` as in `check_token`, whose errors are raised; InputError also when
    the token cannot be kept.
    """
    check_token(private)
    for name in (TOKEN, PLACE):
        if os.environ.get(name) == "":  # an empty one counts as none, for Ray too
            del os.environ[name]
    if not _is_on():
        return
    os.environ[MODE] = "token"
    if os.environ.get(TOKEN):
        return
    path = token_file()
    try:
        if not os.path.lexists(path):
            _make(path)
        elif path.stat().st_uid == os.getuid() and path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            path.chmod(0o600)  # Ray itself writes it with 644
    except OSError as error:
        raise InputError(
            f"{path}: Ray's token cannot be kept there ({error.strerror or error}); set {PLACE} to a file of yours"
        ) from None
    if os.environ.get(PLACE) or not os.environ.get("HOME"):
        os.environ[PLACE] = str(path)  # Ray knows no `~` here, and its processes run in other folders


def use_token_if_there() -> None:
    """Show the token to a cluster that is there already. Ray 2.60 does so only when it is told to.

    Raises InputError as `check_token` does.
    """
    check_token(private=False)
    if os.environ.get(TOKEN) or os.path.lexists(token_file()):
        require_token(private=False)


def _is_on() -> bool:
    mode = os.environ.get(MODE, "").strip()
    if mode not in ("", "token", "disabled"):
        raise InputError(
            f"{MODE} is '{mode}'; set it to token, or to disabled where nobody else has an account"
        )
    return os.environ.get(MODE) != "disabled"


def _read(path: Path, private: bool) -> str:
    """A token file's text. The file that is opened is the one that is checked."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        reason = "it is a link" if error.errno == errno.ELOOP else error.strerror
        raise InputError(f"{path}: Ray's token cannot be read ({reason}); {_WAY_OUT}") from None
    try:
        facts = os.fstat(descriptor)
        if not stat.S_ISREG(facts.st_mode):
            raise InputError(f"{path}: Ray's token is no regular file; set {PLACE} to one")
        if private and facts.st_uid != os.getuid():
            raise InputError(
                f"{path}: Ray's token belongs to user {facts.st_uid}, who may run code on a Ray that takes it; "
                f"set {PLACE} to a file of yours"
            )
        return os.read(descriptor, _LONGEST + 2).decode("ascii", errors="replace").rstrip()
    finally:
        os.close(descriptor)


def _check_text(token: str, source: str, way_out: str) -> None:
    if len(token) <= _LONGEST and re.fullmatch(r"[!-~]+", token):
        return
    found = (
        "it is empty" if not token.strip() else "it is one word of at most 8,192 letters, digits and signs"
    )
    raise InputError(f"{source}: Ray's token cannot be used: {found}; {way_out}")


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
