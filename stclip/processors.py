"""How many processors this process may use: of those of the machine, what an affinity and a control group leave."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path


def usable_processors(root: Path = Path("/")) -> int:
    """A whole number of at least 1.

    It is what `taskset`, Slurm or a cpuset leave to this process, and no more than the quota of its control groups, such as a
    container's or a systemd unit's. Half a processor of a quota is left out. `root`: where `proc` and `sys` are looked for.
    """
    there = float(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)
    return max(1, int(min([there, *_quotas(root)])))


def _quotas(root: Path) -> Iterator[float]:
    """Processors that each control group on the way up from this process's own may use."""
    try:
        lines = (root / "proc/self/cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:
        return
    mount = root / "sys/fs/cgroup"
    for line in lines:
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if (
            number == "0" and not controllers
        ):  # version 2; its files are in `unified` where version 1 is there too
            homes, read = [mount, mount / "unified"], _quota_2
        elif "cpu" in controllers.split(","):
            homes, read = [mount / controllers, mount / "cpu"], _quota_1
        else:
            continue
        for home in homes:
            group = home / path.lstrip("/")
            # A container's group may bear the name that it has outside, where no such folder is: its root is the limit.
            for folder in (group, *group.parents):
                if folder != home and home not in folder.parents:
                    break
                with suppress(OSError, ValueError, IndexError, ZeroDivisionError):
                    quota = read(folder)
                    if quota > 0:
                        yield quota


def _quota_2(folder: Path) -> float:
    """`max 100000`, or microseconds in each period."""
    used, period = (folder / "cpu.max").read_text(encoding="ascii").split()
    return 0.0 if used == "max" else int(used) / int(period)


def _quota_1(folder: Path) -> float:
    """-1, or microseconds in each period."""
    used = (folder / "cpu.cfs_quota_us").read_text(encoding="ascii")
    return int(used) / int((folder / "cpu.cfs_period_us").read_text(encoding="ascii"))
