"""Authentication is on unless it is switched off by the one word for it; a token that cannot be used is one line."""

import os
import pwd
import re
import stat

import pytest

from stclip.errors import InputError
from stclip.files.paths import cache_dir
from sweeps.cluster.ray_token import check_token, require_token, token_file, use_token_if_there


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """A home folder of the test's own, and no word about Ray's authentication."""
    monkeypatch.setenv("RAY_AUTH_MODE", "")  # so that what a test sets is undone
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", "")
    for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def existing(home, content=b"0123456789abcdef"):
    path = home / ".ray" / "auth_token"
    path.parent.mkdir()
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("mode", [None, "", " ", "token", " token "])
def test_authentication_is_on_with_a_token_of_mode_600(home, monkeypatch, mode):
    if mode is not None:
        monkeypatch.setenv("RAY_AUTH_MODE", mode)
    require_token()
    path = home / ".ray" / "auth_token"
    assert os.environ["RAY_AUTH_MODE"] == "token"
    assert re.fullmatch("[0-9a-f]{64}", path.read_text())
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    check_token(private=True)


@pytest.mark.parametrize(
    "mode", ["tokens", "banana", "Token", "TOKEN", "Disabled", "disable", "off", "0", "k8s"]
)
@pytest.mark.parametrize("use", [require_token, use_token_if_there])
def test_a_word_that_is_not_known_is_an_error_and_nothing_is_made(home, monkeypatch, mode, use):
    monkeypatch.setenv("RAY_AUTH_MODE", mode)
    with pytest.raises(InputError, match=f"RAY_AUTH_MODE is '{mode}'; set it to token, or to disabled"):
        use()
    assert list(home.iterdir()) == []


@pytest.mark.parametrize("mode", [" disabled", "disabled "])
def test_only_the_word_itself_switches_it_off(home, monkeypatch, mode):
    monkeypatch.setenv("RAY_AUTH_MODE", mode)
    require_token()
    assert os.environ["RAY_AUTH_MODE"] == "token"
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    (home / ".ray" / "auth_token").write_bytes(b"")  # of which nobody asks then
    require_token()
    assert os.environ["RAY_AUTH_MODE"] == "disabled"


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (b"", "it is empty; write one there"),
        (b" \n\t\n", "it is empty; write one there"),
        (b"\x00\x01\xff\xfe", "it is one word of at most 8,192 letters, digits and signs"),
        (b"two words", "it is one word of at most"),
        (b"one\nline too many", "it is one word of at most"),
        ("tökén".encode(), "it is one word of at most"),
        (b"a" * 8193, "it is one word of at most"),
        (b"a\x1b[2J", "it is one word of at most"),
    ],
)
@pytest.mark.parametrize("use", [require_token, use_token_if_there])
def test_a_file_that_holds_no_token_is_one_line(home, content, match, use):
    path = existing(home, content)
    with pytest.raises(InputError, match=re.escape(f"{path}: Ray's token cannot be used: {match}")):
        use()
    assert path.read_bytes() == content


@pytest.mark.parametrize("target", ["real", "missing", "auth_token"])
def test_a_linked_file_is_refused(home, target):
    (home / ".ray").mkdir()
    (home / ".ray" / "real").write_text("abc")
    (home / ".ray" / "auth_token").symlink_to(home / ".ray" / target)
    with pytest.raises(InputError, match=r"Ray's token cannot be read \(it is a link\)"):
        require_token()
    assert sorted(p.name for p in (home / ".ray").iterdir()) == ["auth_token", "real"]


def test_what_is_no_file_is_refused_without_waiting_for_it(home):
    (home / ".ray").mkdir()
    os.mkfifo(home / ".ray" / "auth_token")
    with pytest.raises(InputError, match="is no regular file; set RAY_AUTH_TOKEN_PATH to one"):
        require_token()
    (home / ".ray" / "auth_token").unlink()
    (home / ".ray" / "auth_token").mkdir()
    with pytest.raises(InputError, match="is no regular file"):
        require_token()


def test_a_file_that_cannot_be_read_is_one_line(home, monkeypatch):
    def refuse(*arguments):
        raise PermissionError(13, "Permission denied")

    existing(home)
    monkeypatch.setattr("sweeps.cluster.ray_token.os.open", refuse)  # root may read everything
    with pytest.raises(InputError, match=r"Ray's token cannot be read \(Permission denied\)"):
        require_token()


def test_a_token_of_somebody_else_opens_no_private_ray(home, monkeypatch):
    path = existing(home)
    uid = os.getuid()
    monkeypatch.setattr("sweeps.cluster.ray_token.os.getuid", lambda: uid + 1)
    with pytest.raises(InputError, match=f"Ray's token belongs to user {uid}, who may run code"):
        require_token()
    use_token_if_there()  # a cluster's token may be its administrator's
    assert path.read_text() == "0123456789abcdef"


@pytest.mark.parametrize("token", [" ", "a b", "a\n", "ä"])
def test_a_token_in_the_environment_is_checked_too(home, monkeypatch, token):
    monkeypatch.setenv("RAY_AUTH_TOKEN", token)
    with pytest.raises(InputError, match="RAY_AUTH_TOKEN: Ray's token cannot be used"):
        require_token()
    assert list(home.iterdir()) == []


def test_an_empty_variable_counts_as_none(home, monkeypatch):
    monkeypatch.setenv("RAY_AUTH_TOKEN", "")
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", "")
    require_token()
    assert "RAY_AUTH_TOKEN" not in os.environ
    assert "RAY_AUTH_TOKEN_PATH" not in os.environ
    assert token_file() == home / ".ray" / "auth_token"


def test_ray_is_told_the_whole_path(home, monkeypatch):
    """It takes `~` for a folder's name, and its processes run elsewhere."""
    monkeypatch.chdir(home)
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", "~/mine")
    require_token()
    assert os.environ["RAY_AUTH_TOKEN_PATH"] == str(home / "mine")
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", "other")
    require_token()
    assert os.environ["RAY_AUTH_TOKEN_PATH"] == str(home / "other")


@pytest.mark.parametrize("empty", [False, True])
def test_a_user_whom_the_system_does_not_know_is_told_so(home, monkeypatch, empty):
    def unknown(uid):
        raise KeyError(f"getpwuid(): uid not found: {uid}")

    monkeypatch.setenv("HOME", "") if empty else monkeypatch.delenv("HOME")
    monkeypatch.delenv("STCLIP_CACHE", raising=False)
    monkeypatch.setattr(pwd, "getpwuid", unknown)
    monkeypatch.chdir(home)
    for use in (require_token, use_token_if_there, cache_dir):
        with pytest.raises(InputError, match="there is no home folder: HOME is not set, and user"):
            use()
    assert list(home.iterdir()) == []  # no folder called ~


def test_without_home_the_system_says_where_it_is(home, monkeypatch):
    monkeypatch.delenv("HOME")
    monkeypatch.setattr(pwd, "getpwuid", lambda uid: type("Entry", (), {"pw_dir": str(home)}))
    require_token()
    assert os.environ["RAY_AUTH_TOKEN_PATH"] == str(home / ".ray" / "auth_token")  # Ray reads HOME alone
