"""Ctrl-C and SIGTERM: the first is a clean stop, the second ends everything at once. SIGHUP and SIGUSR1 are clean stops."""

import os
import signal
import subprocess
import sys
import threading
from contextlib import suppress

import psutil
import pytest

from stclip.files.paths import PROJECT_ROOT
from sweeps.driver.interrupts import InterruptHandler
from sweeps.driver.stopping import StopSwitch

PATIENCE = 200  # seconds; turns a hang into a failure


class Reasons(list):
    """Collects what a switch says."""

    def __call__(self, reason):
        self.append(reason)


def test_signals_are_handled_before_ray_is_imported():
    """Ray reads the environment when it is imported, and a Ctrl-C during its start must be a clean one."""
    code = "import sys, sweeps.driver.sweep; assert 'ray' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], cwd=PROJECT_ROOT, check=True, timeout=300)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_asks_for_a_clean_stop_and_the_handlers_are_put_back(number):
    before = {n: signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1)}
    said = Reasons()
    switch = StopSwitch(None, said)
    with InterruptHandler(switch):
        os.kill(os.getpid(), number)  # must not raise KeyboardInterrupt in the middle of Tune's loop
        assert switch.stop_all()
    assert len(said) == 1
    assert said[0].startswith("interrupted; stopping the running trials")
    assert {n: signal.getsignal(n) for n in before} == before


def test_the_handlers_are_put_back_after_an_exception():
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(RuntimeError, match="boom"), InterruptHandler(StopSwitch(None, Reasons())):
        raise RuntimeError("boom")
    assert signal.getsignal(signal.SIGINT) is before


TWICE = """
import os, signal
from sweeps.driver.interrupts import InterruptHandler
from sweeps.driver.stopping import StopSwitch
switch = StopSwitch(None, print)
with InterruptHandler(switch) as interrupts:
    interrupts.way_on = "python sweeps/run.py --resume 'my results/a'"
    for _ in range(2):
        os.kill(os.getpid(), signal.{signal})
    signal.pause()
"""
# The main thread waits in native code that no signal ends, as it may within `ray.init`: for a mutex that it holds itself.
IN_NATIVE_CODE = """
import ctypes, signal, threading
from pathlib import Path
from sweeps.driver.interrupts import InterruptHandler
from sweeps.driver.stopping import StopSwitch

mutex = ctypes.create_string_buffer(64)
lock = ctypes.CDLL(None).pthread_mutex_lock
waits = Path(f"/proc/self/task/{threading.main_thread().native_id}/syscall")

def interrupt():
    while hex(ctypes.addressof(mutex)) not in waits.read_text():
        pass
    for _ in range(2):
        signal.pthread_kill(threading.get_ident(), signal.SIGINT)

lock(mutex)
with InterruptHandler(StopSwitch(None, print)):
    threading.Thread(target=interrupt).start()
    lock(mutex)
"""
# A child of a child, in a session of its own, as Ray's processes are.
WITH_CHILDREN = """
import os, signal, subprocess, sys
from sweeps.driver.interrupts import InterruptHandler
from sweeps.driver.stopping import StopSwitch
child = "import subprocess; p = subprocess.Popen(['sleep', '3600'], start_new_session=True); print(p.pid, flush=True); p.wait()"
started = subprocess.Popen([sys.executable, "-c", child], stdout=subprocess.PIPE, text=True, start_new_session=True)
print(started.pid, started.stdout.readline(), flush=True)
with InterruptHandler(StopSwitch(None, lambda reason: None)):
    for _ in range(2):
        os.kill(os.getpid(), signal.SIGINT)
    signal.pause()
"""


NOTHING = "nothing was run"
WAY_ON = "what had finished is in the results folder\ngo on     python sweeps/run.py --resume 'my results/a'"


def stopped_at_once(code, kept=NOTHING):
    """Run a program that gets two signals; what it printed. `kept`: what it says of the results."""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=PROJECT_ROOT, capture_output=True, text=True, timeout=PATIENCE
    )
    assert done.returncode == 130, done.stderr
    assert done.stderr == f"\nstopped at once; {kept}\n"
    return done.stdout


def test_the_second_signal_ends_a_process_whose_error_output_nobody_reads():
    code = "import os\nreader, writer = os.pipe()\nos.close(reader)\nos.dup2(writer, 2)\n" + TWICE.format(
        signal="SIGINT"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=PROJECT_ROOT, timeout=PATIENCE)
    assert done.returncode == 130


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_the_second_signal_ends_the_process_at_once_with_130(name):
    stopped_at_once(TWICE.format(signal=name), WAY_ON)


@pytest.mark.skipif(sys.platform != "linux", reason="a mutex of the C library")
def test_the_second_signal_counts_while_the_main_thread_is_in_native_code():
    assert stopped_at_once(IN_NATIVE_CODE) == ""  # no handler of Python's has run


def test_the_second_signal_ends_all_that_the_process_has_started():
    for pid in stopped_at_once(WITH_CHILDREN).split():
        with suppress(psutil.NoSuchProcess):
            process = psutil.Process(int(pid))
            if process.status() != psutil.STATUS_ZOMBIE:
                process.wait(PATIENCE)  # a process that lives on raises TimeoutExpired


OFTEN = """
import os, signal
from sweeps.driver.interrupts import InterruptHandler
from sweeps.driver.stopping import StopSwitch
signal.signal(signal.{signal}, signal.SIG_DFL)  # `nohup pytest` would have shut it out
switch = StopSwitch(None, print)
with InterruptHandler(switch):
    for _ in range(3):
        os.kill(os.getpid(), signal.{signal})
    print(switch.stop_all())
"""


@pytest.mark.parametrize("name", ["SIGHUP", "SIGUSR1"])
def test_a_warning_asks_for_a_clean_stop_however_often_it_comes(name):
    """A closed terminal is told by the system, and by the shell once more."""
    done = subprocess.run(
        [sys.executable, "-c", OFTEN.format(signal=name)],
        cwd=PROJECT_ROOT, capture_output=True, text=True, timeout=PATIENCE, start_new_session=True,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "interrupted; stopping the running trials (once more: stop now)\nTrue\n"


def test_a_signal_that_nohup_has_shut_out_stays_shut_out():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with InterruptHandler(switch := StopSwitch(None, Reasons())):
            os.kill(os.getpid(), signal.SIGHUP)
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)
    assert not switch.stop_all()


CLOSED = """
import os, signal, sys, time
from sweeps.driver.interrupts import InterruptHandler
from sweeps.driver.stopping import StopSwitch
assert sys.stdout.isatty()
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # `nohup pytest` would have shut it out
switch = StopSwitch(None, print)
with InterruptHandler(switch):
    os.write(3, b"ready")
    while switch.reason is None:
        time.sleep(0.01)  # not `pause`: the signal may have come just now
    print("the report", flush=True)
    print("is there", file=sys.stderr, flush=True)
    os.write(3, b", reported")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="what a terminal that is gone answers")
def test_a_closed_terminal_ends_no_report():
    """The process leads the terminal's session, so the system itself tells it."""
    outer, inner = os.openpty()
    reader, writer = os.pipe()
    lead = f"import fcntl, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); import os; os.dup2({writer}, 3)\n"
    process = subprocess.Popen(
        [sys.executable, "-c", lead + CLOSED],
        cwd=PROJECT_ROOT, stdin=inner, stdout=inner, stderr=inner, pass_fds=[writer], start_new_session=True,
    )  # fmt: skip
    os.close(inner)
    os.close(writer)
    with os.fdopen(reader, "rb") as told:
        assert told.read(5) == b"ready"
        os.close(outer)
        assert told.read() == b", reported"
    assert process.wait(PATIENCE) == 0


def test_the_signal_after_the_time_budget_ends_the_process_at_once():
    """It is the first signal, but the sweep is stopping already."""
    code = TWICE.format(signal="SIGINT").replace("StopSwitch(None, print)", "StopSwitch(0.0, print)")
    code = code.replace("with Inter", "switch.stop_all()\nwith Inter").replace("range(2)", "range(1)")
    assert stopped_at_once(code, WAY_ON) == "the time budget is used up\n"


def test_in_another_thread_the_signals_are_left_alone():
    """Python sets signal handlers in the main thread only; a sweep in another one must still run."""
    found = []

    def work():
        with InterruptHandler(StopSwitch(None, Reasons())):
            found.append(signal.getsignal(signal.SIGINT))

    before = signal.getsignal(signal.SIGINT)
    thread = threading.Thread(target=work)
    thread.start()
    thread.join(timeout=300)
    assert found == [before]
