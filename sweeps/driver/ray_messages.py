"""What Ray itself says in the driver while trials run: a line each, in place of pages of a dead process's log.

Ray 2.60 prints the cluster's error messages to the driver's standard output (`log_to_driver=False` stops the workers' output
only) and has no way to hand them over, so they are taken from there.
"""

from __future__ import annotations

import re
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from typing import Any, TextIO, cast

from stclip.errors import shorten

_FROM_RAY = re.compile(r"(\x1b\[\d+m)?\((raylet|autoscaler)[^)]*\)(\x1b\[0m)? ")
_LOST_NODE = re.compile(
    r"The node with node id: (\S+) and address: (\S+) and node name: (.+?) has been marked dead"
)
_DEAD_WORKER = re.compile(
    r"A worker died or was killed.* Worker PID: (\d+) .*Worker exit detail: (.*?)(?: *Traceback|$)"
)
_DEAD_RAYLET = "Raylet is terminated"  # the node's own farewell; Ray tells of the lost node as well


@contextmanager
def ray_messages(say: Callable[[str], None], private: bool = False) -> Iterator[None]:
    """While active, a message of Ray goes to `say` as one line, the same one once in a row; all other output is untouched.

    Of a `private` Ray the loss of a node is left out: it has no other, and its end is told by who watches it.
    """
    with redirect_stdout(cast(TextIO, _Output(sys.stdout, say, private))):
        yield


class _Output:
    """Standard output, without what Ray prints to it. One call of `print` is a write of the text and one of its end."""

    def __init__(self, output: TextIO, say: Callable[[str], None], private: bool) -> None:
        self._output = output
        self._private = private
        self._say = say
        self._last = ""
        self._thread = threading.local()

    def write(self, text: str) -> int:
        found = _FROM_RAY.match(text)
        if found:
            self._thread.skip_end = True
            self._tell(text[found.end() :])
        elif text == "\n" and getattr(self._thread, "skip_end", False):
            self._thread.skip_end = False
        else:
            self._output.write(text)
        return len(text)

    def _tell(self, message: str) -> None:
        line = "" if self._private and _LOST_NODE.match(message) else in_short(message)
        if line and line != self._last:
            self._last = line
            self._say(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._output, name)


def in_short(message: str) -> str:
    """The line for a message of Ray; empty when there is nothing in it for who runs a sweep."""
    lost = _LOST_NODE.match(message)
    if lost:
        node, address, name = lost.groups()
        where = name if name == address else f"{name} ({address})"
        return f"lost the node {where}, id {node[:8]}; its trials go on elsewhere from their last checkpoints"
    if message.startswith(_DEAD_RAYLET):
        return ""
    lines = message.strip().splitlines() or [""]
    died = _DEAD_WORKER.match(lines[0])
    if died:
        text = f"a worker process died (pid {died[1]}): {died[2]}"
    else:
        text = lines[-1] if lines[0].startswith("Traceback") else lines[0]
    return f"Ray: {shorten(text.strip(), 200)}" if text else ""
