"""The README's pictures, from a real sweep: Ray's dashboard, optuna-dashboard, and the live view of the terminal.

    python benchmarks/screenshots.py [FOLDER]      (default: benchmarks/screenshots)

Starts a cluster with configs/cluster/local.sh on free ports, runs the smoke space on it, logs into the dashboard as a
person does, and takes each picture while the sweep runs; about three minutes on two cores. The cluster and all else
that was started is ended. Linux only; needs a Chromium on PATH and `stclip[dashboards]`.
"""

from __future__ import annotations

import asyncio
import io
import os
import re
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from chromium import Chromium
from PIL import Image
from rich.console import Console

ROOT = Path(__file__).resolve().parents[1]
TRIALS = 12  # of each family
MOST_BYTES = 250_000  # of a picture
ENDED = 5  # trials that have ended when the pictures are taken


@dataclass(frozen=True)
class Cluster:
    """A cluster of local.sh: what a client's environment must hold, and its addresses."""

    environment: dict[str, str]
    address: str
    dashboard: str


@contextmanager
def local_cluster(home: Path) -> Iterator[Cluster]:
    """Three nodes of one processor, with a token of their own below `home`."""
    gcs, dashboard, client = free_ports(3)
    kept = {key: value for key, value in os.environ.items() if not key.startswith("RAY_")}
    environment = {
        **kept,
        "PATH": f"{Path(sys.executable).parent}:{kept['PATH']}",
        "PYTHONPATH": str(ROOT),
        "STCLIP_LOCAL_CLUSTER": str(home / "state"),
        "HOME": str(home),  # where the token lies
    }
    script = str(ROOT / "configs" / "cluster" / "local.sh")
    ports = ("--port", str(gcs), "--dashboard-port", str(dashboard), "--client-port", str(client))
    subprocess.run([script, "start", "--cpus-per-node", "1", *ports], env=environment, check=True)
    try:
        yield Cluster(environment, f"LOCALHOST:{gcs}", f"http://127.0.0.1:{dashboard}")
    finally:
        subprocess.run([script, "stop"], env=environment, check=True)


@contextmanager
def running(command: list[str], environment: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """A program that is ended with the block."""
    process = subprocess.Popen(command, env=environment, cwd=ROOT)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(timeout=120)


def free_ports(count: int) -> list[int]:
    """Ports of the loopback that nobody listens on."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


async def log_in(browser: Chromium, cluster: Cluster) -> bytes:
    """Paste the token as a person does; a picture of the question for it."""
    command = [str(Path(sys.executable).parent / "ray"), "get-auth-token"]
    token = subprocess.run(command, env=cluster.environment, check=True, capture_output=True, text=True)
    await browser.open(f"{cluster.dashboard}/#/overview")
    await browser.wait_for("Authentication Token Required")
    question = await browser.picture(1280, 600)
    await browser.type_and_enter(token.stdout.split()[-1])
    await browser.wait_for("Recent jobs")
    return question


async def ray_pictures(browser: Chromium, cluster: Cluster) -> dict[str, bytes]:
    """Name -> picture of the pages that README.md shows."""
    pictures = {"ray_token": await log_in(browser, cluster)}
    await browser.wait_for("DRIVER")
    pictures["ray_overview"] = await browser.picture()
    await browser.open(f"{cluster.dashboard}/#/actors")
    await browser.wait_for("StclipTrial", "spatial-0", "clip-0")
    pictures["ray_actors"] = await browser.picture(1500, 900)
    logs, text = await find_logs(browser, cluster)
    pictures["ray_logs"] = logs
    pictures["ray_trial_log"] = text
    return pictures


async def find_logs(browser: Chromium, cluster: Cluster) -> tuple[bytes, bytes]:
    """The first node whose log folder holds a trial's file: the list of files, and that file."""
    command = [str(Path(sys.executable).parent / "ray"), "list", "nodes", "--format", "json"]
    environment = cluster.environment | {"RAY_AUTH_MODE": "token", "RAY_ADDRESS": cluster.dashboard}
    listed = subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout
    for node in re.findall(r'"node_id": "([0-9a-f]+)"', listed):
        await browser.open(f"{cluster.dashboard}/#/logs/?nodeId={node}")
        names = re.findall(r"(?:spatial|clip)-\d{4}\.log", await browser.wait_for("raylet.out"))
        if names:
            await browser.call(
                "Runtime.evaluate",
                expression=f"[...document.querySelectorAll('a')].find(a => a.innerText.includes('{names[0]}'))"
                ".scrollIntoView({block: 'center'})",
            )
            listing = await browser.picture(1280, 700)
            await browser.open(f"{cluster.dashboard}/#/logs/viewer?nodeId={node}&fileName={names[0]}")
            await browser.wait_for("starts:", "epoch 2")
            return listing, await browser.picture(1280, 600)
    raise RuntimeError("no node lists a trial's log file")


async def optuna_picture(browser: Chromium, study: Path, environment: dict[str, str]) -> bytes:
    """A study's page in optuna-dashboard."""
    (port,) = free_ports(1)
    program = str(Path(sys.executable).parent / "optuna-dashboard")
    with running([program, "--port", str(port), "--server", "wsgiref", f"sqlite:///{study}"], environment):
        for _ in range(100):
            await browser.open(f"http://127.0.0.1:{port}/dashboard/studies/1")
            await asyncio.sleep(0.5)
            if "History" in await browser.text():
                break
        await browser.wait_for("History", "Hyperparameter Importance")
        await asyncio.sleep(5)  # the plots draw themselves
        return await browser.picture(1400, 900)


async def terminal_picture(browser: Chromium, results: Path, dashboard: str) -> bytes:
    """The live view as it is on a terminal of 100 columns, drawn from the sweep's own record."""
    from sweeps.arguments import make_parser
    from sweeps.launch import snapshots
    from sweeps.records import read_records
    from sweeps.resume import plan_to_resume
    from sweeps.study_file import study_storage
    from sweeps.view import LiveView

    plan = plan_to_resume(make_parser().parse_args(["--resume", str(results)]))
    storage = study_storage(results / "study.db")
    look = snapshots(plan, lambda: read_records(storage, plan.space.families))
    console = Console(record=True, width=100, file=io.StringIO(), force_terminal=True)
    way = f"open {dashboard}, paste the token from `ray get-auth-token`"
    view = LiveView(look, results=Path("results") / results.name, dashboard=way, console=console)
    console.print(view.picture(look()))
    page = results / "terminal.html"
    svg = console.export_svg(title="python sweeps/run.py --space smoke")
    page.write_text(f"<body style='margin:0'>{svg}</body>")
    await browser.open(page.as_uri())
    await asyncio.sleep(1)
    return await browser.picture(1240, 560)


def save(folder: Path, pictures: dict[str, bytes]) -> None:
    """As small PNG files of at most 256 colours."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in pictures.items():
        path = folder / f"{name}.png"
        Image.open(io.BytesIO(data)).convert("RGB").quantize(128, dither=Image.Dither.NONE).save(
            path, optimize=True
        )
        size = path.stat().st_size
        print(f"{path}: {size} bytes")
        if size > MOST_BYTES:
            raise SystemExit(f"error: {path} has {size} bytes, more than {MOST_BYTES}")


async def take(home: Path) -> dict[str, bytes]:
    """All pictures of one sweep."""
    with local_cluster(home) as cluster:
        results = home / "results" / "smoke"
        command = [sys.executable, "sweeps/run.py", "--space", "smoke", "--trials", str(TRIALS), "--name", "smoke",
                   "--results", str(results.parent), "--address", cluster.address]  # fmt: skip
        with running(command, cluster.environment) as sweep:
            while ended(results) < ENDED:
                if sweep.poll() is not None:
                    raise SystemExit(f"error: the sweep ended before {ENDED} of its trials")
                await asyncio.sleep(0.5)
            async with Chromium() as browser:
                pictures = await ray_pictures(browser, cluster)
                pictures["terminal"] = await terminal_picture(browser, results, cluster.dashboard)
                pictures["optuna"] = await optuna_picture(browser, results / "study.db", cluster.environment)
    return pictures


def ended(results: Path) -> int:
    """Trials that have ended, from the table."""
    path = results / "trials.csv"
    return len(re.findall(r"\b(COMPLETE|PRUNED|FAIL)\b", path.read_text())) if path.is_file() else 0


def main() -> None:
    """Take the pictures and write them."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "benchmarks" / "screenshots"
    with tempfile.TemporaryDirectory(prefix="st", dir="/tmp") as home:
        save(folder, asyncio.run(take(Path(home))))


if __name__ == "__main__":
    main()
