"""Three nodes of `local.sh` for real: loopback only, a token for everything, private files."""

import os
import shutil
import stat
import subprocess
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from tests.whole_sweeps.cluster.nodes import cluster_processes, living_nodes, wait_for
from tests.whole_sweeps.sweep_runner import PATIENCE

pytestmark = pytest.mark.slow


def test_all_ports_are_on_loopback_and_the_files_private(local_cluster):
    processes = cluster_processes(local_cluster)
    addresses = {address for pid in processes for address in listening(pid)}
    assert len(addresses) > 10
    assert {address.rpartition(":")[0] for address in addresses} == {"127.0.0.1"}
    short = Path((local_cluster.state / "short").read_text().strip())
    token = local_cluster.state.parent / ".ray" / "auth_token"
    for path, mode in ((local_cluster.state, 0o700), (short, 0o700), (token, 0o600), (token.parent, 0o700)):
        assert stat.S_IMODE(path.stat().st_mode) == mode, path


@pytest.mark.parametrize("path", ["/api/version", "/api/jobs/", "/nodes?view=summary", "/api/v0/actors"])
def test_the_job_and_dashboard_apis_want_the_token(local_cluster, path):
    def status(headers):
        request = urllib.request.Request(local_cluster.dashboard + path, headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
                return answer.status
        except urllib.error.HTTPError as error:
            return error.code

    assert status({}) == 401
    assert status({"Authorization": "Bearer wrong"}) == 403
    assert status({"Authorization": f"Bearer {local_cluster.token}"}) == 200


def test_a_node_joins_with_the_token_and_is_refused_without(local_cluster, tmp_path_factory):
    short = tmp_path_factory.mktemp("n")
    command = ["ray", "start", "--address", local_cluster.address, "--num-cpus", "1", "--object-store-memory", "80000000",
               "--dashboard-agent-listen-port", "0", "--min-worker-port", "0", "--max-worker-port", "0", "--block"]  # fmt: skip
    refused = subprocess.run(
        [*command, "--temp-dir", f"/tmp/{short.name}-{os.getpid()}a"], env=local_cluster.stranger(),
        capture_output=True, text=True, timeout=PATIENCE,
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
        joined.wait(PATIENCE)
        wait_for(lambda: living_nodes(local_cluster) == 3)
        shutil.rmtree(folder, ignore_errors=True)


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
