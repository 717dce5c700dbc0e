"""A private Ray: where its parts listen, and what a start that fails leaves behind."""

import logging
import os
import socket
import types
from pathlib import Path

import pytest

from stclip.errors import InputError
from sweeps.cluster import private_ray
from sweeps.cluster.private_ray import any_agent_port, free_ports, start_local_ray, temporary_files
from tests.sweeps.foreign import found, is_read, takes


def test_each_part_gets_a_free_port_of_its_own():
    ports = free_ports(("A", "B", "C"))
    assert list(ports) == ["A", "B", "C"]
    assert len(set(ports.values())) == 3
    for port in ports.values():
        with socket.socket() as listening:
            listening.bind(("127.0.0.1", int(port)))


def test_rays_agent_takes_any_port_while_ray_starts():
    rests = "sweeps/cluster/private_ray.py (any_agent_port) rests on it, so that two Rays on a machine both have logs"
    kind = found("ray._private.parameter:RayParams", rests)
    takes(kind.__init__, ["dashboard_agent_listen_port"], rests)
    from ray._private import parameter

    with any_agent_port():
        assert parameter.RayParams().dashboard_agent_listen_port == 0, rests
    assert parameter.RayParams is kind
    import inspect

    from ray._private import worker

    assert "ray._private.parameter.RayParams(" in inspect.getsource(worker.init), rests


@pytest.mark.parametrize("name", [*private_ray._PORTS, *private_ray._PATIENCE])
def test_ray_still_reads_what_is_set_for_a_part(name):
    assert is_read(name), f"Ray no longer reads {name}: sweeps/cluster/private_ray.py sets it in vain"


@pytest.mark.parametrize(
    ("given", "seen"),
    [
        (None, "/p"),
        ("/tmp", "/tmp"),
        ("/no/such/folder", "/p"),
        ("/tmp/" + "x" * 60, "/p"),
        ("/proc/self/cmdline", "/p"),
    ],
)
def test_rays_processes_have_a_place_for_sockets(monkeypatch, given, seen):
    for name, value in {"TMPDIR": given, "RAY_TMPDIR": "/r"}.items():
        monkeypatch.delenv(name, raising=False) if value is None else monkeypatch.setenv(name, value)
    with temporary_files(Path("/p")):
        assert (os.environ["TMPDIR"], os.environ.get("RAY_TMPDIR")) == (seen, None)
    assert (os.environ.get("TMPDIR"), os.environ["RAY_TMPDIR"]) == (given, "/r")


@pytest.fixture
def failing_ray(monkeypatch, tmp_path):
    """`ray.init` raises what the test says; what it was called with."""
    import ray

    calls = []
    monkeypatch.setenv("RAY_AUTH_TOKEN", "abc")
    for name in (*private_ray.QUIET_ENVIRONMENT, *private_ray.LOOPBACK_ENVIRONMENT, *private_ray._PORTS,
                 *private_ray._PATIENCE):  # fmt: skip
        monkeypatch.setenv(name, os.environ.get(name, "0"))
    monkeypatch.setattr(private_ray, "ray_folder", lambda: tmp_path / "ray")
    monkeypatch.setattr(private_ray, "end_descendants", lambda: calls.append("ended"))
    monkeypatch.setattr(ray, "shutdown", lambda: calls.append("shutdown"))

    def fail_with(error):
        def init(**arguments):
            calls.append(arguments)
            raise error

        monkeypatch.setattr(ray, "init", init)
        return calls

    return fail_with


@pytest.mark.parametrize(
    "error",
    [
        OSError("AF_UNIX path length cannot exceed 107 bytes"),
        RuntimeError("The GCS\ndid not come up."),
        ValueError("no"),
        AssertionError(),
        SystemExit(1),
    ],
)
def test_every_failure_of_ray_is_one_line_and_nothing_runs_on(failing_ray, tmp_path, error):
    calls = failing_ray(error)
    with pytest.raises(
        InputError, match=rf"Ray cannot be started on this machine \({type(error).__name__}: "
    ) as caught:
        start_local_ray()
    assert f"newest of its logs, {tmp_path}/ray/session_*/logs" in str(caught.value)
    assert calls[0]["_temp_dir"] == str(tmp_path / "ray")
    assert calls[1:] == ["shutdown", "ended"]


def test_a_start_that_takes_too_long_is_tried_once_more(failing_ray):
    calls = failing_ray(
        Exception("The current node timed out\nduring startup. This could happen because ...")
    )
    with pytest.raises(
        InputError, match=r"\(Exception: The current node timed out .*; .* a machine that is too busy$"
    ):
        start_local_ray()
    assert [call if isinstance(call, str) else "init" for call in calls] == ["init", "shutdown", "ended"] * 2


def test_ray_does_not_say_twice_what_did_not_start(failing_ray, monkeypatch, caplog):
    import ray

    failing_ray(Exception("The dashboard did not start."))
    fail = ray.init

    def init(**arguments):
        logging.getLogger("ray._private.services").error("Failed to start the dashboard")
        fail(**arguments)

    monkeypatch.setattr(ray, "init", init)
    with pytest.raises(InputError, match="The dashboard did not start"):
        start_local_ray()
    assert caplog.text == ""


def test_the_second_start_counts(failing_ray, monkeypatch):
    import ray

    failing_ray(Exception("The current node timed out during startup."))
    fail, calls = ray.init, []

    def init(**arguments):
        calls.append("init")
        return fail() if len(calls) == 1 else types.SimpleNamespace(dashboard_url=None)

    monkeypatch.setattr(ray, "init", init)
    monkeypatch.setattr(private_ray, "nodes_of_ray", lambda: ("a node",))
    assert start_local_ray().nodes == ("a node",)


def test_a_node_that_cannot_be_asked_is_one_line(failing_ray, monkeypatch):
    import ray

    calls = failing_ray(ValueError("never"))
    monkeypatch.setattr(ray, "init", lambda **_: types.SimpleNamespace(dashboard_url=None))
    monkeypatch.setattr(ray, "nodes", lambda: 1 / 0)
    with pytest.raises(InputError, match=r"Ray cannot be started on this machine \(ZeroDivisionError"):
        start_local_ray()
    assert calls == ["shutdown", "ended"]


def test_a_private_ray_is_on_loopback_whatever_the_environment_says(failing_ray, monkeypatch):
    for name in private_ray.LOOPBACK_ENVIRONMENT:
        monkeypatch.setenv(name, "1")
    failing_ray(ValueError("no"))
    with pytest.raises(InputError, match="no"):
        start_local_ray()
    assert {
        name: os.environ[name] for name in private_ray.LOOPBACK_ENVIRONMENT
    } == private_ray.LOOPBACK_ENVIRONMENT


def test_ray_still_says_so_where_it_waited_too_long():
    import inspect

    from ray._private import node

    text = " ".join(inspect.getsource(node.Node).replace('"', "").split())
    assert private_ray._TOO_BUSY in text, (
        "sweeps/cluster/private_ray.py starts Ray once more when it says this"
    )


def test_ray_gets_no_more_processors_than_this_process_may_use(failing_ray, monkeypatch):
    monkeypatch.setattr(private_ray, "usable_processors", lambda: 3)
    calls = failing_ray(ValueError("no"))
    with pytest.raises(InputError):
        start_local_ray()
    assert calls[0]["num_cpus"] == 3
