"""Processes below this one: who lives, what it is, and what it is doing."""

import os
import shutil
import subprocess
from contextlib import suppress
from pathlib import Path


def adopt_orphans(on):
    """Make this process the parent of its descendants' orphans: whoever outlives a sweep shows up as a child."""
    import ctypes

    pr_set_child_subreaper = 36
    assert ctypes.CDLL(None, use_errno=True).prctl(pr_set_child_subreaper, int(on), 0, 0, 0) == 0


def in_other_sessions():
    """Pids of living processes below this one in other sessions than its own; dead orphans are reaped."""
    table = _table()
    for pid, (state, parent, session) in table.items():
        if (
            state == "Z" and parent == os.getpid() and session != pid
        ):  # whoever began a session has a Popen here
            _reap(pid)
    own = os.getsid(0)
    return {pid for pid in below(os.getpid(), table) if table[pid][0] != "Z" and table[pid][2] != own}


def below(pid, table=None):
    """Pids of a process's children, their children and so on."""
    table = table or _table()
    found = {pid}
    while more := {child for child, (_, parent, _) in table.items() if parent in found} - found:
        found |= more
    return found - {pid}


def command_of(pid):
    """The command line of a process, shortened; empty when it has ended."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ").strip()[:200]
    return ""


def stacks(pids):
    """Lines: each process with its command line, and the stack of each of its threads where it is Python's."""
    tool = shutil.which("py-spy")  # Ray's dashboard brings it
    for pid in pids:
        yield f"pid {pid}: {command_of(pid)}"
        if (
            tool
            and Path(f"/proc/{pid}/exe").exists()
            and "python" in Path(f"/proc/{pid}/exe").readlink().name
        ):
            done = subprocess.run(
                [tool, "dump", "--nonblocking", "--pid", str(pid)],
                capture_output=True,
                text=True,
                check=False,
            )
            yield from (f"    {line}" for line in (done.stdout or done.stderr).splitlines()[:80])


def _table():
    """Pid -> state, parent, session."""
    table = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                state, parent, _, session = (entry / "stat").read_text().rpartition(")")[2].split()[:4]
                table[int(entry.name)] = (state, int(parent), int(session))
    return table


def _reap(pid):
    with suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)
