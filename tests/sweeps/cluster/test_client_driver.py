"""The way to a cluster by a Ray client, as far as it goes without a cluster."""

import os
import subprocess
import sys

import pytest
import ray

from stclip.errors import InputError
from sweeps.cluster.client_driver import JOIN_ATTEMPTS, join_by_client, without_address
from sweeps.cluster.job_arguments import ARGUMENTS, END_WITH_PARENT

SERVER_ENDED = (
    "Initialization failure from server:\nTraceback (most recent call last):\n"
    '  File "/somewhere/proxier.py", line 772, in Datapath\n    raise RuntimeError(\n'
    "RuntimeError: Starting Ray client server failed. See ray_client_server_23000.err for detailed logs.\n"
)


@pytest.fixture
def joins(monkeypatch):
    """What each attempt to join ends with, None for success; emptied as they are made."""
    endings = []

    def init(*_, **__):
        ending = endings.pop(0)
        if ending is not None:
            raise ending

    monkeypatch.setattr(ray, "init", init)
    return endings


def test_a_server_that_ends_as_it_starts_is_asked_for_again(joins, tmp_path):
    joins += [ConnectionAbortedError(SERVER_ENDED), None]
    join_by_client("ray://h:1", tmp_path)
    assert joins == []


def test_a_server_that_never_starts_is_an_error_of_one_line(joins, tmp_path):
    joins += [ConnectionAbortedError(SERVER_ENDED)] * JOIN_ATTEMPTS
    with pytest.raises(
        InputError,
        match="^--address ray://h:1: cannot join the cluster: Initialization failure from server: RuntimeError: "
        "Starting Ray client server failed. See ray_client_server_23000.err for detailed logs.$",
    ):
        join_by_client("ray://h:1", tmp_path)
    assert joins == []


def test_what_another_attempt_would_not_mend_is_said_at_once(joins, tmp_path):
    joins += [RuntimeError("Version mismatch:\n  The cluster was started with Ray 1"), None]
    with pytest.raises(InputError, match="cluster: Version mismatch: The cluster was started with Ray 1$"):
        join_by_client("ray://h:1", tmp_path)
    assert joins == [None]


def test_an_address_is_taken_out_of_a_command_line():
    assert without_address(["--space", "a", "--address", "ray://h:1", "--quiet"]) == [
        "--space",
        "a",
        "--quiet",
    ]
    assert without_address(["--address=ray://h:1", "--set", "x=--address"]) == ["--set", "x=--address"]


# `sweeps.job` with a sweep that only waits, and the process that starts it.
DRIVER = """
import signal, sys, types
run = types.ModuleType("sweeps.run")
run.main = lambda arguments: (print("it runs", flush=True), signal.pause())
sys.modules["sweeps.run"] = run
from sweeps.job import main
main()
"""
PARENT = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {DRIVER!r}])"


@pytest.mark.skipif(sys.platform != "linux", reason="Linux tells a process that its parent has ended")
def test_a_driver_on_the_cluster_ends_with_the_process_that_started_it():
    environment = {**os.environ, ARGUMENTS: "[]", END_WITH_PARENT: "1"}
    with subprocess.Popen(
        [sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True, env=environment
    ) as parent:
        assert parent.stdout.readline() == "it runs\n"
        parent.kill()
        assert parent.stdout.read() == ""  # returns when the driver, which has it too, is gone
