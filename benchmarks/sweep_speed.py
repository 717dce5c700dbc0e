"""How long a sweep takes, when its first trial reports, and what memory its processes take. Linux only.

    python benchmarks/sweep_speed.py [ARGUMENTS OF sweeps/run.py ...]      (default: --space spatial)

Runs the command as a user would and looks at it from outside: wall time of the whole command, of the first
epoch that any trial reports, peak resident memory of the largest trial process and of the driver, CPU seconds of all.
Run it twice: the first run on a machine also makes the data.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def descendants(pid: int) -> list[int]:
    """All living processes below `pid`."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except (OSError, IndexError, ValueError):
                continue
            children.setdefault(parent, []).append(int(entry.name))
    found, todo = [], [pid]
    while todo:
        below = children.get(todo.pop(), [])
        found += below
        todo += below
    return found


def peak_megabytes(pid: int) -> tuple[str, float]:
    """A process's title and its peak resident memory so far."""
    try:
        title = (
            Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
        )
        status = Path(f"/proc/{pid}/status").read_text()
        return title, int(status.partition("VmHWM:")[2].split()[0]) / 1024
    except (OSError, IndexError, ValueError):
        return "", 0.0


def has_reported(results: Path) -> bool:
    """Has any trial written its first epoch?"""
    return any(path.stat().st_size > 0 for path in results.glob("*/trials/*/metrics.csv"))


def main() -> None:
    """Run the command and print what was seen."""
    arguments = sys.argv[1:] or ["--space", "spatial"]
    with tempfile.TemporaryDirectory(prefix="st") as results:
        command = [sys.executable, str(ROOT / "sweeps/run.py"), *arguments, "--results", results]
        start, first, peaks, looks = time.monotonic(), None, {}, 0
        process = subprocess.Popen(command, stdout=sys.stderr)
        while process.poll() is None:
            if first is None and has_reported(Path(results)):
                first = time.monotonic() - start
            looks += 1
            # Looking costs time too.
            watched = [process.pid, *descendants(process.pid)] if looks % 10 == 0 else []
            for pid in watched:
                title, peak = peak_megabytes(pid)
                kind = (
                    "driver"
                    if pid == process.pid
                    else "trial process"
                    if "ray::" in title and "Agent" not in title
                    else "other"
                )
                peaks[kind] = max(peaks.get(kind, 0.0), peak)
            time.sleep(0.1)
        wall = time.monotonic() - start
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(f"exit status {process.returncode}, {os.cpu_count()} processors")
    print(f"whole command {wall:.1f} s; first report after {first or float('nan'):.1f} s")
    print("peak memory: " + ", ".join(f"{kind} {peak:.0f} MB" for kind, peak in sorted(peaks.items())))
    print(
        f"CPU seconds of the processes that have ended under the command: {usage.ru_utime + usage.ru_stime:.0f}"
    )


if __name__ == "__main__":
    main()
