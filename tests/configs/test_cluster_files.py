"""The files that start clusters: what can be checked without one."""

import os
import re
import shutil
import signal
import stat
import subprocess
import time
from pathlib import Path

import pytest
import yaml

from stclip.files.paths import PROJECT_ROOT

CLUSTER = PROJECT_ROOT / "configs" / "cluster"
SCRIPTS = sorted(CLUSTER.glob("*.sh"))
YAMLS = sorted(CLUSTER.glob("*.yaml"))


# --- all files


def test_there_is_a_file_for_each_kind_of_cluster():
    found = {path.name for path in CLUSTER.iterdir()}
    assert found == {
        "README.md",
        "aws.yaml",
        "grafana.json",
        "kuberay.yaml",
        "local.sh",
        "run_or_resume.sh",
        "slurm.sh",
    }


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_scripts_are_sound(script):
    checked = subprocess.run(["bash", "-n", str(script)], capture_output=True, text=True)
    assert (checked.returncode, checked.stderr) == (0, "")
    assert os.access(script, os.X_OK)
    assert "set -euo pipefail" in script.read_text()
    if shutil.which("shellcheck"):
        linted = subprocess.run(["shellcheck", str(script)], capture_output=True, text=True)
        assert linted.returncode == 0, linted.stdout


@pytest.mark.parametrize(
    "path", [*SCRIPTS, *YAMLS, CLUSTER / "README.md", CLUSTER / "grafana.json"], ids=lambda path: path.name
)
def test_nothing_of_a_certain_machine_or_person_is_in_them(path):
    text = path.read_text()
    assert str(PROJECT_ROOT) not in text
    assert not re.search(r"/root/|/Users/|/home/(?!ubuntu/)|AKIA[0-9A-Z]{8}", text)


# What differs from user to user must say so, on its line or the line above.
MINE = {
    "aws.yaml": ["region: us-", "availability_zone:", "CidrIp:", "ImageId:", "InstanceType:", "max_workers:", "fs-0000",
                 "IamInstanceProfile", "cluster_name:"],
    "kuberay.yaml": ["storageClassName:", "storage:", "image:", "entrypoint:", "name: stclip-spatial", "gke-spot:",
                     "key: cloud.google.com/gke-spot", "maxReplicas:", "resources:  #"],
    "slurm.sh": ["--nodes=3", "--cpus-per-task=8", "--mem=", "--time=", "--partition=", "--account=", "--gpus-per-node=1",
                 "RESULTS=", "ENVIRONMENT=", "STCLIP_CACHE="],
}  # fmt: skip


@pytest.mark.parametrize("name", MINE)
def test_every_line_that_is_the_users_says_so(name):
    lines = (CLUSTER / name).read_text().splitlines()
    for what in MINE[name]:
        at = [
            number
            for number, line in enumerate(lines)
            if what in line and not line.strip().startswith("# CHANGE")
        ]
        assert at, what
        for number in at:
            assert "CHANGE:" in lines[number] or "CHANGE:" in lines[number - 1], lines[number]


# --- AWS


@pytest.fixture(scope="module")
def aws():
    return yaml.safe_load((CLUSTER / "aws.yaml").read_text())


def test_the_aws_file_fits_rays_own_schema(aws):
    from ray.autoscaler._private.util import prepare_config, validate_config

    validate_config(prepare_config(aws))
    with pytest.raises(Exception, match="idle_minutes"):  # the schema does refuse
        validate_config(prepare_config({**aws, "idle_minutes": 5}))


def test_on_aws_only_ssh_is_open_and_that_not_to_the_world(aws):
    rules = aws["provider"]["security_group"]["IpPermissions"]
    assert [(rule["FromPort"], rule["ToPort"]) for rule in rules] == [(22, 22)]
    assert all(cidr["CidrIp"].endswith("/32") for rule in rules for cidr in rule["IpRanges"])
    head = " ".join(aws["head_start_ray_commands"])
    assert "--dashboard-host=127.0.0.1" in head


def test_on_aws_workers_are_spot_instances_and_the_head_is_not(aws):
    types = aws["available_node_types"]
    assert types["worker"]["node_config"]["InstanceMarketOptions"] == {"MarketType": "spot"}
    assert "InstanceMarketOptions" not in types[aws["head_node_type"]]["node_config"]


def test_on_aws_every_ray_asks_for_the_token_that_the_head_made(aws, tmp_path):
    starts = aws["head_start_ray_commands"] + aws["worker_start_ray_commands"]
    starts = [command for command in starts if "ray start" in command]
    assert len(starts) == 2
    assert all("export" in c and "RAY_AUTH_MODE=token" in c.split("ray start")[0] for c in starts)
    assert aws["cluster_synced_files"] == ["~/.ray/auth_token"]
    (make,) = aws["head_setup_commands"]
    tokens = []
    for _ in range(2):  # a second `ray up` keeps the token
        subprocess.run(["bash", "-c", make], env={**os.environ, "HOME": str(tmp_path)}, check=True)
        tokens.append((tmp_path / ".ray" / "auth_token").read_text())
    assert re.fullmatch("[0-9a-f]{64}", tokens[0])
    assert tokens[0] == tokens[1]
    assert stat.S_IMODE((tmp_path / ".ray" / "auth_token").stat().st_mode) == 0o600


# --- Kubernetes


@pytest.fixture(scope="module")
def kuberay():
    documents = list(yaml.safe_load_all((CLUSTER / "kuberay.yaml").read_text()))
    return {document["kind"]: document for document in documents}


def pods(job):
    cluster = job["spec"]["rayClusterSpec"]
    return [group["template"]["spec"] for group in [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]]


def test_the_rayjob_has_what_kuberay_requires(kuberay):
    job = kuberay["RayJob"]
    assert job["apiVersion"] == "ray.io/v1"
    assert job["metadata"]["name"]
    assert job["spec"]["shutdownAfterJobFinishes"] is True
    cluster = job["spec"]["rayClusterSpec"]
    assert cluster["headGroupSpec"]["rayStartParams"] == {"num-cpus": "0"}
    for group in cluster["workerGroupSpecs"]:
        assert {
            "groupName",
            "replicas",
            "minReplicas",
            "maxReplicas",
            "rayStartParams",
            "template",
        } <= group.keys()
        assert group["minReplicas"] <= group["replicas"] <= group["maxReplicas"]
    for pod in pods(job):
        (container,) = pod["containers"]
        assert {"name", "image", "resources", "volumeMounts"} <= container.keys()
        assert {"cpu", "memory"} <= container["resources"]["limits"].keys()
        assert all(isinstance(entry["value"], str) for entry in container["env"])  # the API refuses numbers
        assert {mount["name"] for mount in container["volumeMounts"]} == {
            volume["name"] for volume in pod["volumes"]
        }


def test_in_kubernetes_authentication_is_on_and_nothing_is_reached_from_outside(kuberay):
    cluster = kuberay["RayJob"]["spec"]["rayClusterSpec"]
    assert cluster["authOptions"] == {"mode": "token"}
    assert tuple(map(int, cluster["rayVersion"].split("."))) >= (2, 52)
    assert cluster["headGroupSpec"]["serviceType"] == "ClusterIP"
    for pod in pods(kuberay["RayJob"]):
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["containers"][0]["securityContext"]["allowPrivilegeEscalation"] is False
        assert "RAY_AUTH_TOKEN" not in str(pod)  # KubeRay fills it in, from its Secret


def test_in_kubernetes_results_outlive_pods_and_workers_are_preemptible(kuberay):
    claim, job = kuberay["PersistentVolumeClaim"], kuberay["RayJob"]
    assert claim["spec"]["accessModes"] == ["ReadWriteMany"]
    head, worker = pods(job)
    for pod in (head, worker):
        assert pod["volumes"] == [
            {"name": "shared", "persistentVolumeClaim": {"claimName": claim["metadata"]["name"]}}
        ]
    assert worker["nodeSelector"] and worker["tolerations"]
    assert "nodeSelector" not in head
    assert "run_or_resume.sh /shared/results" in job["spec"]["entrypoint"]
    assert job["spec"]["backoffLimit"] > 0


# --- Slurm, and what starts again by itself

FAKES = {
    # a cluster manager of one node, and a sweep that says how it was called
    "scontrol": 'if [ "$1" = show ]; then echo node-a; else echo "$@" >> "$LOG/requeued"; fi',
    "srun": 'while [[ "$1" == --* ]]; do shift; done; exec "$@"',
    "hostname": "echo 10.0.0.1",
    "ray": """if [ "$1" = status ]; then [ -e "$LOG/started" ]; exit; fi
stat -c %a "$RAY_AUTH_TOKEN_PATH" > "$LOG/mode"; echo "$RAY_AUTH_MODE $@" > "$LOG/started"; exec sleep 600""",
    "python": """trap 'echo stopped >> "$LOG/sweep"; exit 1' TERM; printf '%s\\n' "$@" > "$LOG/sweep"
for i in $(seq ${SECONDS_TO_RUN:-0}0); do sleep 0.1; done; exit 7""",
}


@pytest.fixture
def slurm(tmp_path):
    """A checkout with a Slurm of stand-ins; returns the environment of a batch script."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "log").mkdir()
    for name, text in FAKES.items():
        fake = tmp_path / "bin" / name
        fake.write_text(f"#!/usr/bin/env bash\n{text}\n")
        fake.chmod(0o755)
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    (tmp_path / ".venv" / "bin" / "activate").write_text("")
    shutil.copytree(CLUSTER, tmp_path / "configs" / "cluster")
    return {
        "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}",
        "LOG": str(tmp_path / "log"),
        "SLURM_SUBMIT_DIR": str(tmp_path),
        "SLURM_JOB_ID": "4711",
        "SLURM_JOB_NODELIST": "node-a",
        "SLURM_JOB_NUM_NODES": "1",
        "SLURM_CPUS_PER_TASK": "8",
    }


def slurm_job(slurm, *flags):
    script = Path(slurm["SLURM_SUBMIT_DIR"], "configs", "cluster", "slurm.sh")
    return subprocess.Popen(
        ["bash", str(script), *flags], env=slurm, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def test_slurm_starts_ray_with_a_private_token_and_returns_the_sweeps_status(slurm, tmp_path):
    job = slurm_job(slurm, "--space", "spatial", "--set", "a b")
    said, _ = job.communicate(timeout=300)
    assert job.returncode == 7, said
    results = f"{tmp_path}/results"
    expected = [
        "sweeps/run.py",
        "--results",
        results,
        "--name",
        "slurm-4711",
        "--space",
        "spatial",
        "--set",
        "a b",
    ]
    assert (tmp_path / "log" / "sweep").read_text().splitlines() == expected
    assert (tmp_path / "log" / "mode").read_text() == "600\n"
    started = (tmp_path / "log" / "started").read_text()
    assert started.startswith("token start ")
    assert "--head --node-ip-address 10.0.0.1 --port 24711 --dashboard-host 127.0.0.1" in started
    assert not (tmp_path / ".ray-4711").exists()  # the token goes with the job
    assert not (tmp_path / "log" / "requeued").exists()


def test_slurm_stops_the_sweep_before_the_time_is_over_and_queues_it_again(slurm, tmp_path):
    job = slurm_job({**slurm, "SECONDS_TO_RUN": "600"}, "--space", "spatial")
    wait_for(lambda: (tmp_path / "log" / "sweep").exists() and handles(job.pid, signal.SIGUSR1))
    job.send_signal(signal.SIGUSR1)
    said, _ = job.communicate(timeout=300)
    assert job.returncode == 1, said
    assert (tmp_path / "log" / "sweep").read_text().splitlines()[-1] == "stopped"
    assert (tmp_path / "log" / "requeued").read_text() == "requeue 4711\n"


def test_slurm_hears_a_signal_that_comes_before_there_is_a_driver(slurm, tmp_path):
    script = tmp_path / "configs" / "cluster" / "slurm.sh"
    text = script.read_text().replace('echo "dashboard: ', 'kill -USR1 $$; echo "dashboard: ')
    script.write_text(text)
    said, _ = (job := slurm_job(slurm, "--space", "spatial")).communicate(timeout=300)
    assert (job.returncode, (tmp_path / "log" / "requeued").read_text()) == (1, "requeue 4711\n"), said
    assert not (tmp_path / "log" / "sweep").exists()  # it would have been stopped at once


def test_slurm_passes_a_signal_on_that_comes_while_the_driver_starts(slurm, tmp_path):
    script = tmp_path / "configs" / "cluster" / "slurm.sh"
    script.write_text(script.read_text().replace("    DRIVER=$!\n", "    kill -TERM $$; DRIVER=$!\n"))
    job = slurm_job({**slurm, "SECONDS_TO_RUN": "600"}, "--space", "spatial")
    said, _ = job.communicate(timeout=300)
    assert job.returncode != 0, said
    assert not (tmp_path / "log" / "requeued").exists()


@pytest.mark.parametrize("planted", ["link", "file", "foreign"])
def test_slurm_refuses_a_folder_that_somebody_else_has_made(slurm, tmp_path, planted):
    script = tmp_path / "configs" / "cluster" / "slurm.sh"
    place = tmp_path / "ray"
    script.write_text(script.read_text().replace('SHORT="/tmp/ray-$SLURM_JOB_ID"', f'SHORT="{place}"'))
    if planted == "link":
        (tmp_path / "theirs").mkdir()
        place.symlink_to(tmp_path / "theirs")
    elif planted == "file":
        place.write_text("")
    else:
        place.mkdir()
        # `[ -O` asks the system who owns it; the tests may be anybody, root too, and cannot give a folder away.
        script.write_text(script.read_text().replace('[ -O "$0" ]', "false"))
    (tmp_path / "bin" / "sleep").write_text("#!/bin/sh\n")
    (tmp_path / "bin" / "sleep").chmod(0o755)
    job = slurm_job(slurm, "--space", "spatial")
    said, _ = job.communicate(timeout=300)
    assert job.returncode == 1
    assert f"error: {place} on 10.0.0.1 is not a folder of ours" in said
    assert not (tmp_path / "log" / "started").exists()


def test_slurm_takes_its_own_folder_again_and_closes_it(slurm, tmp_path):
    script = tmp_path / "configs" / "cluster" / "slurm.sh"
    place = tmp_path / "ray"
    script.write_text(script.read_text().replace('SHORT="/tmp/ray-$SLURM_JOB_ID"', f'SHORT="{place}"'))
    for _ in range(2):
        said, _ = (job := slurm_job(slurm, "--space", "spatial")).communicate(timeout=300)
        assert job.returncode == 7, said
        assert place.stat().st_mode & 0o777 == 0o700
        place.chmod(0o755)


def test_an_interrupted_sweep_is_resumed(slurm, tmp_path):
    script = tmp_path / "configs" / "cluster" / "run_or_resume.sh"
    folder = tmp_path / "results" / "mine"
    folder.mkdir(parents=True)
    command = ["bash", str(script), str(tmp_path / "results"), "mine", "--space", "spatial"]
    subprocess.run(command, env=slurm, check=False, timeout=300)
    assert "--resume" not in (tmp_path / "log" / "sweep").read_text()  # nothing was begun in there
    (folder / "sweep.yaml").write_text("")
    subprocess.run(command, env=slurm, check=False, timeout=300)
    assert (tmp_path / "log" / "sweep").read_text().split() == ["sweeps/run.py", "--resume", str(folder)]
    assert subprocess.run(["bash", str(script)], env=slurm, capture_output=True).returncode == 2


def handles(pid, number):
    """Whether a process has a handler of its own for a signal."""
    caught = re.search(r"^SigCgt:\s*(\w+)$", Path(f"/proc/{pid}/status").read_text(), re.M)
    return bool(int(caught[1], 16) >> (number - 1) & 1)


def wait_for(condition):
    hangs = time.monotonic() + 300
    while not condition():
        assert time.monotonic() < hangs
        time.sleep(0.05)
