"""`local.sh`: what it refuses, and three nodes for real: loopback only, a token, a lost node, nothing left."""

import os
import re
import shutil
import stat
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from stclip.config import PROJECT_ROOT

LOCAL_SH = PROJECT_ROOT / "configs" / "cluster" / "local.sh"


def local_sh(environment, *arguments):
    return subprocess.run(
        [str(LOCAL_SH), *arguments], env=environment, capture_output=True, text=True, timeout=60
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "unknown action ''; known: start, status, kill-node, stop"),
        (("begin",), "unknown action 'begin'; known: start, status, kill-node, stop"),
        (("start", "--nodes", "4"), "unknown argument '--nodes'; known: --cpus-per-node"),
        (("start", "--cpus-per-node"), "--cpus-per-node needs a whole number from 1 up, got ''"),
        (("start", "--cpus-per-node", "0"), "--cpus-per-node needs a whole number from 1 up, got '0'"),
        (("start", "--port", "$(id)"), "--port needs a whole number from 1 up, got '$(id)'"),
        (("kill-node",), "kill-node needs the number of a node, 2 or 3, got ''"),
        (("kill-node", "1"), "node 1 is the head"),
        (("kill-node", "2"), "node 2 does not run"),
        (("stop",), "no cluster was started from here"),
    ],
)
def test_local_sh_refuses_in_one_line(arguments, message, tmp_path):
    done = local_sh({**os.environ, "STCLIP_LOCAL_CLUSTER": str(tmp_path / "state")}, *arguments)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith(f"error: {message}")
    assert not (tmp_path / "state").exists()


def test_local_sh_never_ends_a_process_that_took_over_a_pid(tmp_path):
    stranger = subprocess.Popen(["sleep", "60"])
    try:
        state = tmp_path / "state"
        state.mkdir()
        (state / "node-1").write_text(f"{stranger.pid} 12345\n")  # the pid, another start
        (state / "short").write_text(f"{tmp_path}\n")  # not a folder that local.sh makes
        assert local_sh({**os.environ, "STCLIP_LOCAL_CLUSTER": str(state)}, "stop").stdout == "stopped\n"
        assert stranger.poll() is None
        assert tmp_path.is_dir()
    finally:
        stranger.kill()
        stranger.wait()


@pytest.mark.slow
def test_all_ports_are_on_loopback_and_the_files_private(local_cluster):
    processes = cluster_processes(local_cluster)
    addresses = {address for pid in processes for address in listening(pid)}
    assert len(addresses) > 10
    assert {address.rpartition(":")[0] for address in addresses} == {"127.0.0.1"}
    short = Path((local_cluster.state / "short").read_text().strip())
    token = local_cluster.state.parent / ".ray" / "auth_token"
    for path, mode in ((local_cluster.state, 0o700), (short, 0o700), (token, 0o600), (token.parent, 0o700)):
        assert stat.S_IMODE(path.stat().st_mode) == mode, path


@pytest.mark.slow
@pytest.mark.parametrize("path", ["/api/version", "/api/jobs/", "/nodes?view=summary", "/api/v0/actors"])
def test_the_job_and_dashboard_apis_want_the_token(local_cluster, path):
    def status(headers):
        request = urllib.request.Request(local_cluster.dashboard + path, headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return answer.status
        except urllib.error.HTTPError as error:
            return error.code

    assert status({}) == 401
    assert status({"Authorization": "Bearer wrong"}) == 403
    assert status({"Authorization": f"Bearer {local_cluster.token}"}) == 200


@pytest.mark.slow
def test_a_node_joins_with_the_token_and_is_refused_without(local_cluster, tmp_path_factory):
    short = tmp_path_factory.mktemp("n")
    command = ["ray", "start", "--address", local_cluster.address, "--num-cpus", "1", "--object-store-memory", "80000000",
               "--dashboard-agent-listen-port", "0", "--min-worker-port", "0", "--max-worker-port", "0", "--block"]  # fmt: skip
    refused = subprocess.run(
        [*command, "--temp-dir", f"/tmp/{short.name}-{os.getpid()}a"], env=local_cluster.stranger(),
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert refused.returncode == 1
    assert "AuthenticationError" in refused.stderr + refused.stdout
    assert living_nodes(local_cluster) == 3
    folder = f"/tmp/{short.name}-{os.getpid()}b"
    joined = subprocess.Popen(
        [*command, "--temp-dir", folder], env={**local_cluster.environment, "RAY_AUTH_MODE": "token"},
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        wait_for(lambda: living_nodes(local_cluster) == 4)
    finally:
        joined.terminate()
        joined.wait(30)
        shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.slow
def test_a_killed_node_is_missed_and_stop_leaves_nothing(local_cluster):
    wait_for(lambda: living_nodes(local_cluster) == 3)  # the node of the test before has left
    killed = local_cluster.script("kill-node", "2")
    assert killed.returncode == 0, killed.stderr
    wait_for(lambda: living_nodes(local_cluster) == 2)
    wait_for(lambda: "node 2 is gone" in local_cluster.script("status").stdout)
    assert "a cluster is running already" in local_cluster.script("start").stderr
    processes = cluster_processes(local_cluster)
    short = Path((local_cluster.state / "short").read_text().strip())
    assert local_cluster.script("stop").returncode == 0
    assert not [pid for pid in processes if Path(f"/proc/{pid}/fd/0").exists()]
    assert not short.exists()
    assert local_cluster.script("status").returncode == 1
    assert (local_cluster.state.parent / ".ray" / "auth_token").exists()


def wait_for(condition, seconds=60):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.2)


def cluster_processes(cluster):
    """The pids of all that local.sh started, and of what those started."""
    parents = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(") ")[2].split()[1])
            except OSError:
                continue
    found = {int((cluster.state / f"node-{n}").read_text().split()[0]) for n in (1, 2, 3)}
    while more := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= more
    return found


def listening(pid):
    """`address:port` of every socket on which a process listens; an IPv4 address in IPv6 form counts as IPv4."""
    sockets = set()
    for fd in Path(f"/proc/{pid}/fd").glob("*"):
        try:
            sockets.add(str(fd.readlink()))
        except OSError:
            continue
    found = []
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and f"socket:[{fields[9]}]" in sockets:
                address, port = fields[1].split(":")
                quads = bytes.fromhex(address[-8:])[::-1]
                prefix = address[:-8]
                name = ".".join(map(str, quads)) if prefix in ("", "0000000000000000FFFF0000") else address
                found.append(f"{name}:{int(port, 16)}")
    return found


def living_nodes(cluster):
    connect = f"import ray; ray.init({cluster.address!r}, log_to_driver=False, logging_level=40)"
    code = f"{connect}; print('alive:', sum(n['Alive'] for n in ray.nodes()))"
    done = subprocess.run(
        [sys.executable, "-c", code], env={**cluster.environment, "RAY_AUTH_MODE": "token"}, capture_output=True, text=True,
        timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return int(re.search(r"alive: (\d+)", done.stdout)[1])
