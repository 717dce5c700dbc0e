"""What Ray prints in the driver becomes a line each; everything else passes."""

import io
import sys

import pytest
from rich.console import Console
from rich.live import Live

from sweeps.driver.ray_messages import in_short, ray_messages

LOST = (
    "The node with node id: 9a3a8c1c3fd941929131907a792dae38f64bcb62a9b07a8f7dfdc710 and address: {} and node name: {} "
    "has been marked dead because the detector has missed too many heartbeats from it. This can happen when a \n"
    "(1) raylet crashes unexpectedly (OOM, etc.) \n\t(2) raylet has lagging heartbeats due to slow network or busy workload."
)
DIED = "A worker died or was killed while executing a task by an unexpected system error. To troubleshoot, see its log.\nMore"
FAREWELL = "Raylet is terminated. Termination is unexpected. Last 20 lines of the Raylet logs:\n    [I 1] a\n    [I 2] b\n"


def ray_prints(message):
    """As Ray's own listener does it, with the function that it uses."""
    from ray._private.worker import print_to_stdstream

    print_to_stdstream({"lines": [message], "pid": "raylet", "is_err": False}, ignore_prefix=False)


@pytest.mark.parametrize("prefix", ["", "0", "1"])
def test_messages_become_lines_and_other_output_passes(capsys, monkeypatch, prefix):
    monkeypatch.setenv("RAY_COLOR_PREFIX", prefix)
    # Other tests may have said the same.
    monkeypatch.setattr("ray._private.ray_logging.RAY_DEDUP_LOGS", False)
    said = []
    with ray_messages(said.append):
        print("before")
        ray_prints(LOST.format("10.0.0.7", "node-2"))
        ray_prints(FAREWELL)
        print("(raylets are processes)\n\n")
        ray_prints(DIED)
        ray_prints(DIED + " again")
        print()
        sys.stdout.flush()
        assert not sys.stdout.isatty()
    print("after")
    assert said == [
        "lost the node node-2 (10.0.0.7), id 9a3a8c1c; its trials go on elsewhere from their last checkpoints",
        f"Ray: {DIED.partition(chr(10))[0]}",
    ]
    assert capsys.readouterr().out == "before\n(raylets are processes)\n\n\n\nafter\n"


def test_a_private_ray_has_no_other_node_to_go_on_with(monkeypatch):
    monkeypatch.setattr("ray._private.ray_logging.RAY_DEDUP_LOGS", False)
    said = []
    with ray_messages(said.append, private=True):
        ray_prints(LOST.format("127.0.0.1", "127.0.0.1"))
        ray_prints(FAREWELL)
        ray_prints(DIED)
    assert said == [f"Ray: {DIED.partition(chr(10))[0]}"]


def test_a_live_picture_is_drawn_as_ever():
    def drawn(with_messages):
        out, said = io.StringIO(), []
        console = Console(file=out, force_terminal=True, width=60)
        with Live("picture", console=console, auto_refresh=False) as live:
            if with_messages:
                with ray_messages(said.append):
                    print("(raylet) a page\nof a log")
                    print("a line")
                    live.update("second", refresh=True)
            else:
                print("a line")
                live.update("second", refresh=True)
        return out.getvalue(), said

    with_messages, said = drawn(True)
    assert (with_messages, said) == (drawn(False)[0], ["Ray: a page"])


def test_standard_output_is_given_back_after_an_error():
    before = sys.stdout
    with pytest.raises(ValueError, match="mine"), ray_messages(print):
        raise ValueError("mine")
    assert sys.stdout is before


def test_words():
    assert in_short(LOST.format("10.0.0.7", "10.0.0.7")).startswith("lost the node 10.0.0.7, id 9a3a8c1c;")
    assert in_short(FAREWELL) == in_short(" \n") == ""
    assert in_short("a warning\nnext") == "Ray: a warning"
    assert (
        in_short("Traceback (most recent call last):\n  File 'a'\nValueError: b\n\n") == "Ray: ValueError: b"
    )
    died = (
        "A worker died or was killed while executing a task by an unexpected system error. To troubleshoot the problem, "
        "check the logs for the dead worker. Lease ID: a1 Worker ID: b2 Node ID: c3 Worker IP address: 127.0.0.1 Worker "
        "port: 1 Worker PID: 4711 Worker exit type: SYSTEM_ERROR Worker exit detail: Worker exits with an exit code 3."
    )
    assert (
        in_short(f"{died} Traceback (most\n  File a")
        == in_short(died)
        == "Ray: a worker process died (pid 4711): Worker exits with an exit code 3."
    )
    assert len(in_short("a" * 5000)) == 204
