"""Pictures of a real sweep for the README: the terminal, Ray's dashboard, optuna-dashboard, report.html.

    python benchmarks/screenshots.py [ARGUMENTS OF sweeps/run.py ...]      (default: --space smoke --trials 5 --epochs 12)

Starts a cluster of three nodes on this machine (configs/cluster/local.sh, with ports and a token of its own), runs the
sweep on it as a user would, photographs what a user sees, and ends all of it. Linux only; needs `chromium` and
optuna-dashboard (`pip install -e '.[dashboards]'`).
"""

from __future__ import annotations

import asyncio
import fcntl
import io
import os
import pty
import re
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import termios
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path

from devtools import Browser

ROOT = Path(__file__).resolve().parents[1]
PICTURES = Path(__file__).resolve().parent / "screenshots"
LOCAL_SH = str(ROOT / "configs" / "cluster" / "local.sh")
DEFAULT = ["--space", "smoke", "--trials", "5", "--epochs", "12"]
COLUMNS, LINES = 100, 30
PATIENCE = 240.0  # seconds
CURSOR = re.compile(r"\x1b\[(?:\d*[ABCDGJK]|\?25[hl])|\r")  # what the live view moves the cursor with
FRAME = re.compile(r"(?:\r?\x1b\[2K(?:\x1b\[1A)?)+")  # clears the frame before


class Terminal:
    """A command in a terminal of its own, and all that it has printed there."""

    def __init__(self, command: list[str], environment: dict[str, str]) -> None:
        ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, COLUMNS, 0, 0))
        self.process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=environment,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
        )
        os.close(theirs)
        self._ours = ours
        self._text = b""
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        with suppress(OSError):  # the terminal is closed
            while piece := os.read(self._ours, 65536):
                self._text += piece

    @property
    def text(self) -> str:
        """With the terminal's control sequences."""
        return self._text.decode("utf-8", "replace")

    def frame(self) -> str:
        """The newest whole picture of the live view, with its colours."""
        frames = [CURSOR.sub("", part) for part in FRAME.split(self.text)]
        return next((one for one in reversed(frames) if "elapsed" in one and "keys:" in one), "")


def wait_until(what: str, condition: Callable[[], object]) -> None:
    """Raises TimeoutError after PATIENCE."""
    until = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > until:
            raise TimeoutError(f"{what}: not within {PATIENCE:g} s")
        time.sleep(0.3)


def free_ports(count: int) -> list[str]:
    """Ports of the loopback that nobody listens on."""
    with ExitStack() as stack:
        found = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in found:
            one.bind(("127.0.0.1", 0))
        return [str(one.getsockname()[1]) for one in found]


def terminal_page(frame: str) -> str:
    """An HTML page that shows a terminal's text."""
    from rich.console import Console
    from rich.text import Text

    console = Console(file=io.StringIO(), record=True, width=COLUMNS, force_terminal=True)
    console.print(Text.from_ansi(frame.strip("\n")))
    svg = console.export_svg(title="python sweeps/run.py")
    return f"<html><body style='margin:0'>{svg}</body></html>"


async def photograph(sweep: Terminal, dashboard: str, token: str, results: Path, home: Path) -> None:
    """All pictures; `sweep` runs on the cluster of `dashboard`."""
    async with Browser(home / "chromium") as browser:
        await browser.cookie(dashboard, "ray-authentication-token", token)
        name = "spatial-0001"
        await asyncio.to_thread(wait_until, "the first trials", lambda: "clip-0001" in sweep.text)
        (home / "terminal.html").write_text(terminal_page(sweep.frame()), encoding="utf-8")
        await browser.open(f"{dashboard}/#/actors", "spatial-0")
        await browser.picture(PICTURES / "ray_actors.png", width=1500, height=900)
        node = await asyncio.to_thread(find_node, home, name)
        log = f"{dashboard}/#/logs/viewer?nodeId={node}&fileName={name}.log"
        await browser.open(log, "val/R@10")
        await browser.picture(PICTURES / "ray_log.png")
        await browser.open((home / "terminal.html").as_uri(), "elapsed")
        await browser.picture(PICTURES / "terminal.png", height=406)
        await asyncio.to_thread(wait_until, "the sweep's end", lambda: sweep.process.poll() is not None)
        await browser.open((results / "report.html").as_uri(), "Verdict")
        await browser.picture(PICTURES / "report.png", width=1100, height=1300)
        [port] = free_ports(1)
        studies = subprocess.Popen(
            [str(Path(sys.executable).with_name("optuna-dashboard")), f"sqlite:///{results / 'study.db'}",
             "--host", "127.0.0.1", "--port", port], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            await asyncio.to_thread(wait_until, "optuna-dashboard", lambda: listens(int(port)))
            await browser.open(f"http://127.0.0.1:{port}/dashboard/studies/1", "spatial")
            await browser.picture(PICTURES / "optuna_dashboard.png", settle=6)
        finally:
            studies.terminate()
            studies.wait()


def listens(port: int) -> bool:
    """Whether something on this machine answers at a port."""
    with socket.socket() as one:
        return one.connect_ex(("127.0.0.1", port)) == 0


def find_node(home: Path, trial: str) -> str:
    """The id of the node that ran a trial, which is the one that has its log."""
    short = Path((home / "state" / "short").read_text().strip())
    wait_until(f"the log of {trial}", lambda: list(short.glob(f"?/session_2*/logs/{trial}.log")))
    [log] = short.glob(f"?/session_2*/logs/{trial}.log")
    raylet = (log.parent / "raylet.out").read_text(errors="replace")
    found = re.search(r"node_id=([0-9a-f]{56})", raylet)
    if found is None:
        raise RuntimeError(f"{log.parent / 'raylet.out'} does not say the node's id")
    return found[1]


def main(arguments: list[str]) -> None:
    """Everything started is ended, also after a failure."""
    home = Path(tempfile.mkdtemp(prefix="shots-"))
    environment = {key: value for key, value in os.environ.items() if not key.startswith("RAY_")} | {
        "HOME": str(home),
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "STCLIP_LOCAL_CLUSTER": str(home / "state"),
        "STCLIP_CACHE": str(home / "cache"),
        "TERM": "xterm-256color",
        "COLORTERM": "truecolor",
    }
    PICTURES.mkdir(exist_ok=True)
    head, dashboard, client = free_ports(3)
    ports = ["--port", head, "--dashboard-port", dashboard, "--client-port", client]
    sweep = None
    try:
        subprocess.run([LOCAL_SH, "start", *ports, "--cpus-per-node", "1"], env=environment, check=True)
        run = [sys.executable, "sweeps/run.py", *arguments, "--results", str(home), "--name", "shown"]
        sweep = Terminal([*run, "--address", f"LOCALHOST:{head}"], environment)
        token = (home / ".ray" / "auth_token").read_text().strip()
        asyncio.run(photograph(sweep, f"http://127.0.0.1:{dashboard}", token, home / "shown", home))
    finally:
        if sweep is not None:
            sweep.process.kill()
            sweep.process.wait()
        subprocess.run([LOCAL_SH, "stop"], env=environment, check=False)
        shutil.rmtree(home, ignore_errors=True)
    for path in sorted(PICTURES.glob("*.png")):
        print(f"{path.stat().st_size // 1000:5d} kB  {path.relative_to(ROOT)}")


if __name__ == "__main__":
    main(sys.argv[1:] or DEFAULT)
