"""Token files and variables of the environment with random faults, for `benchmarks/fuzz.py`."""

from __future__ import annotations

import io
import os
import stat
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import chdir, contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from unittest import mock

from hypothesis import strategies as st

from stclip.data.__main__ import parse
from stclip.errors import InputError
from stclip.files.paths import cache_dir
from stclip.files.redact import redacted
from stclip.terminal.progress import ProgressBar
from stclip.training.launchers import forget_launchers, is_launched
from stclip.training.loggers import wandb_login
from sweeps import job
from sweeps.cluster.connect import local_resources
from sweeps.cluster.ray_folder import ray_folder
from sweeps.cluster.ray_token import check_token, require_token, token_file, use_token_if_there
from sweeps.planning.command_line import cluster_address

Judge = Callable[
    [Callable[[], object]], bool
]  # True: accepted, False: refused in one line; raises for a finding

WORD = "0123456789abcdef"
HOME = "<home>"  # stands for the example's own folder in a value
SIGNS = st.characters(exclude_characters="\x00", exclude_categories=("Cs",))
TEXTS = ("", " ", "0", "1", "-1", "1.5", "²", "٣", "1e9", "9" * 19, "9" * 5000, "true", "a b", "a\nb", "\x1b[2J", "é", "\udcff",
         "x" * 9000, "/" * 300, f"{HOME}/file", f"{HOME}/file/below", f"{HOME}/folder", f"{HOME}/pipe", f"{HOME}/circle",
         "/dev/null", "/dev/zero", "/proc/1/mem", "~", "~/x", "~nobody-here/x", "$HOME", "..", "[", "{}", "null",
         "[" * 5000, '["--list"]', '["\\ud800"]', "[1]")  # fmt: skip
ADDRESSES = ("auto", "local", "10.0.0.1:6379", "ray://head:10001", "ray://", ":6379", "[::1]:6379", "head:999999", "http://[", "http://x:y",
             "//a", "a:b@c:1")  # fmt: skip
MODES = ("", " ", "token", " token", "disabled", "Disabled", "k8s", "token disabled", "é")
TOKENS = (b"", b" \n", WORD.encode(), WORD.encode() + b"\n", b"two words", b"\x00\xff", b"a" * 8192, b"a" * 8193, "é".encode(),
          b"\x1b[2J", b"a\rb")  # fmt: skip
KINDS = ("none", "file", "file", "file", "open file", "huge", "link", "link to nothing", "itself", "pipe", "folder",
         "second name", "device", "below a file")  # fmt: skip
NAMES = ("RAY_ADDRESS", "RAY_TMPDIR", "TMPDIR", "STCLIP_CACHE", "HOME", "COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR", "TERM",
         "TTY_COMPATIBLE", "CUDA_VISIBLE_DEVICES", "OMP_NUM_THREADS", "NETRC", "WANDB_API_KEY", "WANDB_BASE_URL", "SOME_SECRET",
         "STCLIP_GROUP", "STCLIP_JOB_ARGUMENTS", "RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_PORT", "SLURM_JOB_ID",
         "SLURM_NTASKS", "SLURM_NODELIST", "PL_TRAINER_MAX_EPOCHS", "OMPI_COMM_WORLD_RANK")  # fmt: skip
LAUNCHERS = NAMES[NAMES.index("RANK") :]


@st.composite
def token_cases(draw: st.DrawFn) -> tuple[str, bytes, dict[str, str]]:
    """What lies where the token is looked for, what it holds, and the variables."""
    content = draw(st.sampled_from(TOKENS) | st.binary(max_size=40))
    values = {
        "RAY_AUTH_MODE": st.sampled_from(MODES) | st.text(SIGNS, max_size=9),
        "RAY_AUTH_TOKEN": st.sampled_from(("", " ", WORD, "a b", "é", "\udcff", "a" * 9000))
        | st.text(SIGNS, max_size=9),
        "RAY_AUTH_TOKEN_PATH": st.sampled_from(("", f"{HOME}/token", "~/token", "token", *TEXTS)),
    }
    given = {name: draw(value) for name, value in values.items() if draw(st.integers(0, 2)) == 0}
    return draw(st.sampled_from(KINDS)), content, given


def try_token(example: tuple[str, bytes, dict[str, str]], judge: Judge) -> bool:
    """Check it and use it, for a private Ray and for a cluster. A refusal makes nothing; what is used is one word in a file."""
    kind, content, given = example
    uses: dict[str, Callable[[], object]] = {
        "check": lambda: check_token(private=True),
        "show": use_token_if_there,
        "require": require_token,
    }
    accepted = {}
    for name, use in uses.items():
        with _surroundings(given) as home:
            place = home / ".ray" / "auth_token"
            place.parent.mkdir()
            _put(kind, content, place)
            before = sorted(home.rglob("*"))
            accepted[name] = judge(use)
            if accepted[name] and name == "require":
                _check_used()
            elif not accepted[name]:
                assert sorted(home.rglob("*")) == before
    assert accepted["check"] or not accepted["require"]
    return accepted["require"]


def _put(kind: str, content: bytes, place: Path) -> None:
    if kind in ("file", "open file", "second name", "huge"):
        place.write_bytes(content)
        place.chmod(0o600 if kind == "file" else 0o666)
    if kind == "huge":
        os.truncate(place, 2**40)  # takes no room
    elif kind == "second name":
        place.with_name("other").hardlink_to(place)
    elif kind.startswith("link"):
        place.symlink_to(place.with_name("other"))
        if kind == "link":
            place.with_name("other").write_bytes(content)
    elif kind == "itself":
        place.symlink_to(place)
    elif kind == "device":
        place.symlink_to("/dev/zero")
    elif kind == "pipe":
        os.mkfifo(place)
    elif kind == "folder":
        place.mkdir()
    elif kind == "below a file":
        place.parent.rmdir()
        place.parent.write_bytes(content)


def _check_used() -> None:
    if os.environ["RAY_AUTH_MODE"] == "disabled":
        return
    assert os.environ["RAY_AUTH_MODE"] == "token"
    token = os.environ.get("RAY_AUTH_TOKEN")
    if not token:
        facts = token_file().lstat()
        assert stat.S_ISREG(facts.st_mode) and not facts.st_mode & 0o077
        token = token_file().read_text(encoding="ascii").rstrip()
    assert len(token) <= 8192 and token.isprintable() and len(token.split()) == 1


@st.composite
def environments(draw: st.DrawFn) -> dict[str, str]:
    """Up to four variables that the program reads, most of them with a fault."""
    names = draw(st.lists(st.sampled_from(NAMES), min_size=1, max_size=4, unique=True))
    values = st.sampled_from(TEXTS) | st.sampled_from(ADDRESSES) | st.text(SIGNS, max_size=20)
    return {name: draw(values) for name in names}


def try_environment(given: Mapping[str, str], judge: Judge) -> bool:
    """Everything that reads a variable, one after another. True when none refuses."""
    with _surroundings(given), mock.patch.object(tempfile, "tempdir", None):
        results = [judge(read) for read in READERS]
        assert not [name for name in LAUNCHERS if name in os.environ]
    return all(results)


def _job() -> None:
    """A job's arguments; the sweep itself is not run."""
    if job.ARGUMENTS not in os.environ:
        return
    said = io.StringIO()
    with mock.patch("sweeps.run.main", return_value=0), redirect_stderr(said):
        status = job.main()
    assert status in (0, 2) and len(said.getvalue().splitlines()) == (status == 2)
    if status:
        raise InputError(said.getvalue())


def _help() -> None:
    """The help of the commands, which is as wide as the terminal says it is."""
    with redirect_stdout(io.StringIO()):
        try:
            parse(["hest", "--help"])
        except SystemExit as end:
            assert end.code == 0


def _progress() -> None:
    with redirect_stdout(io.StringIO()), ProgressBar("title") as bar:
        bar.update(1, 2)


READERS: tuple[Callable[[], object], ...] = (
    lambda: cluster_address(None),
    cache_dir,
    token_file,
    ray_folder,
    is_launched,
    local_resources,
    wandb_login,
    lambda: redacted(f"https://user:password@host {WORD}"),
    _job,
    _help,
    _progress,
    forget_launchers,
)


@contextmanager
def _surroundings(given: Mapping[str, str]) -> Iterator[Path]:
    """A folder with a few odd files as home and current folder, and no variables but those given."""
    with tempfile.TemporaryDirectory(prefix="st", dir="/tmp") as name:
        folder = Path(name)
        (folder / "folder").mkdir()
        (folder / "file").write_bytes(b"\xff\x00 machine x")
        (folder / "circle").symlink_to(folder / "circle")
        os.mkfifo(folder / "pipe")
        values = {key: value.replace(HOME, name) for key, value in ({"HOME": HOME, **given}).items()}
        with chdir(folder), mock.patch.dict(os.environ, values, clear=True):
            yield folder
