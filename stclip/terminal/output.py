"""A command whose output nobody takes any more: a closed pipe (`| head`), a full disk under a log, a stream closed at the start.

Training for hours must not end for that, and what does end is no traceback. So a command's output goes to nowhere from the
first write that fails.
"""

from __future__ import annotations

import errno
import io
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NoReturn

from stclip.errors import printable

INTERRUPTED = 130  # exit status after a Ctrl-C, as shells have it


def run_command(main: Callable[[], int]) -> NoReturn:
    """Call a command's `main` and end the process with its exit status; a Ctrl-C is one line and 130.

    What could not be printed for another reason than a reader who left is said in one line on stderr, and 0 becomes 1.
    """
    open_closed_streams()
    out, error = _Output(1), _Output(2)
    sys.stdout, sys.stderr = _stream(sys.stdout, out), _stream(sys.stderr, error)
    try:
        status: Any = main()
    except SystemExit as stop:  # argparse, after its help; Lightning, silently, after a Ctrl-C
        status = _interrupted() if isinstance(stop.__context__, KeyboardInterrupt) else stop.code
    except KeyboardInterrupt:
        status = _interrupted()
    finally:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
    if out.fault is not None and out.fault.errno != errno.EPIPE:
        reason = printable(out.fault.strerror or type(out.fault).__name__)
        print(
            f"error: standard output: cannot be written ({reason}), so a part of what was said is missing",
            file=sys.stderr,
        )
        sys.stderr.flush()
        status = status or 1
    sys.exit(status)


def _interrupted() -> int:
    print("interrupted", file=sys.stderr)
    return INTERRUPTED


def open_closed_streams() -> None:
    """Let standard input, output and error lead to nowhere where they are closed.

    The next file that is opened would otherwise get the number of one, and what is printed would be written into it.
    """
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            nowhere = os.open(os.devnull, os.O_RDWR)
            if nowhere != descriptor:
                os.dup2(nowhere, descriptor)
                os.close(nowhere)


class _Output(io.FileIO):
    """Writes to a descriptor until that fails, and to nowhere from then on; `fault` is why."""

    def __init__(self, descriptor: int) -> None:
        super().__init__(descriptor, "w", closefd=False)
        self.fault: OSError | None = None

    def write(self, content: Any, /) -> int:
        """All of it counts as written."""
        try:
            return super().write(content)
        except OSError as error:
            self.fault = self.fault or error
            with suppress(OSError):
                nowhere = os.open(os.devnull, os.O_WRONLY)
                os.dup2(nowhere, self.fileno())  # for what writes below Python, too
                os.close(nowhere)
            return memoryview(content).nbytes


def _stream(now: Any, output: _Output) -> io.TextIOWrapper:
    """What prints to `output` as the stream that is there now does."""
    unbuffered = bool(getattr(now, "write_through", False))
    return io.TextIOWrapper(
        output if unbuffered else io.BufferedWriter(output),
        encoding=getattr(now, "encoding", None) or "utf-8",
        errors=getattr(now, "errors", None) or "backslashreplace",
        line_buffering=bool(getattr(now, "line_buffering", False)),
        write_through=unbuffered,
    )
