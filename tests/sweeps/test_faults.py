"""What happens to single trials and to the disk, in real sweeps: reasons, retries, and when the whole sweep stops."""

import json
import os
import subprocess
import time
from pathlib import Path

import pytest

from stclip.config import PROJECT_ROOT
from sweeps.failures import process_death, repeated_reason
from sweeps.records import TrialRecord
from tests.sweeps.fault_injection import FAULTS, MARKS
from tests.sweeps.sweep_runner import CLIP, SPATIAL

slow = pytest.mark.slow


@pytest.fixture
def inject(tmp_path):
    """trial -> fault, as environment for a sweep."""

    def environment(faults, **more):
        (tmp_path / "sitecustomize.py").write_text("import tests.sweeps.fault_injection\n")
        (tmp_path / "marks").mkdir()
        return {
            "PYTHONPATH": f"{tmp_path}{os.pathsep}{PROJECT_ROOT}",
            FAULTS: json.dumps(faults),
            MARKS: str(tmp_path / "marks"),
            **more,
        }

    return environment


@slow
def test_five_faults_in_one_sweep_are_five_fails_with_five_reasons(runner, inject):
    """Raises, exits, hangs, is killed for memory, turns NaN; the rest is complete and the exit status 0."""
    sizes = dict(line.split()[:2] for line in Path("/proc/meminfo").read_text().splitlines())
    total, free = (int(sizes[key]) * 1024 for key in ("MemTotal:", "MemAvailable:"))
    threshold = (total - free + 7e9) / total  # other tests that run beside this one take some of it
    if threshold > 0.9:
        pytest.skip(f"a test that fills 7 GB needs more free memory than {free / 1e9:.1f} GB")
    faults = {"clip-0001": "raise", "clip-0002": "exit", "clip-0003": "hang", "spatial-0001": "memory",
              "spatial-0002": "nan"}  # fmt: skip
    space = runner.space("faulty", {"spatial": SPATIAL, "clip": CLIP}, trials=5, epochs=2)
    environment = inject(
        faults, RAY_memory_usage_threshold=f"{threshold:.3f}", RAY_memory_monitor_refresh_ms="100"
    )
    ended = runner.run(space, "faulty", "--max-concurrent", "1", "--max-failures", "1", "--trial-timeout", "40s",
                       environment=environment)  # fmt: skip
    assert ended.code == 0, ended.out + ended.err
    assert "Traceback" not in ended.out + ended.err
    rows = {row["name"]: row for row in ended.rows()}
    assert {name for name, row in rows.items() if row["state"] == "FAIL"} == set(faults)
    assert sum(row["state"] == "COMPLETE" for row in rows.values()) == 5
    reasons = {fault: rows[name]["error"] for name, fault in faults.items()}
    assert reasons["raise"] == "ValueError: no such slide <b>|x|</b>"
    assert reasons["exit"].startswith("the trial's process died (it exited"), reasons
    assert reasons["exit"].endswith("started 2 times")
    assert reasons["hang"] == "hung: no report for 40 s (--trial-timeout), so its process was ended"
    assert reasons["memory"].startswith("killed for memory: its node was running out of it"), reasons
    assert reasons["nan"].startswith("FloatingPointError: the training loss became nan")
    summary = ended.summary()
    assert summary["status"] == "complete"
    assert {f: e["trials"]["failed"] for f, e in summary["families"].items()} == {"spatial": 2, "clip": 3}
    report = ended.report()
    assert "no such slide &lt;b&gt;\\|x\\|" in report and "killed for memory" in report
    assert "Traceback" in (ended.folder / "trials" / "clip-0001" / "error.txt").read_text()


@slow
def test_killed_workers_are_retried_from_their_checkpoints(runner, inject):
    names = [f"{family}-{number:04d}" for family in ("spatial", "clip") for number in range(3)][:5]
    space = runner.space("workers", {"spatial": SPATIAL, "clip": CLIP}, trials=3, epochs=5)
    environment = inject(dict.fromkeys(names, "killed"), STCLIP_TEST_CHECKPOINTS="1")
    ended = runner.run(space, "workers", "--max-concurrent", "2", environment=environment)
    assert ended.code == 0, ended.out + ended.err
    assert {p.name for p in Path(environment[MARKS]).iterdir()} == set(names)
    assert {row["state"] for row in ended.rows()} == {"COMPLETE"}
    for name in names:  # no epoch twice, none left out
        metrics = (ended.folder / "trials" / name / "metrics.csv").read_text().splitlines()
        assert [int(line.split(",")[metrics[0].split(",").index("epoch")]) for line in metrics[1:]] == [
            *range(5)
        ]


@slow
def test_ten_failures_with_one_reason_stop_the_sweep(runner, inject):
    space = runner.space("hopeless", {"spatial": SPATIAL, "clip": CLIP}, trials=20, epochs=1)
    faults = {f"{f}-{n:04d}": "raise" for f in ("spatial", "clip") for n in range(20)}
    ended = runner.run(space, "hopeless", environment=inject(faults))
    assert ended.code == 1, ended.out + ended.err
    states = [row["state"] for row in ended.rows()]
    assert 10 <= states.count("FAIL") <= 13, states
    assert "10 trials in a row failed for one reason: ValueError: no such slide" in ended.out
    summary = ended.summary()
    assert summary["status"] == "stopped"
    assert "10 trials in a row failed" in summary["stopped_because"]
    assert "10 trials in a row failed" in ended.report()


@slow
@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small file system takes root")
def test_a_full_disk_stops_cleanly_and_room_lets_it_go_on(runner, tmp_path):
    small = tmp_path / "small"
    small.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(small)], capture_output=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip(f"cannot mount a tmpfs here: {mounted.stderr.decode().strip()}")
    try:
        space = runner.space("full", {"spatial": SPATIAL, "clip": CLIP}, trials=12, epochs=2)
        ended = runner.end(
            runner.launch(
                "full", "--space", str(space), "--results", str(small), "--name", "full", "--seed", "3"
            ),
            "full",
        )
        assert ended.code == 1, ended.out + ended.err
        assert "Traceback" not in ended.out + ended.err
        assert "no space left" in ended.out + ended.err
        assert f"--resume {small / 'full'}" in ended.out + ended.err
        assert not [path for path in (small / "full").iterdir() if path.name.startswith(".")]
        subprocess.run(["mount", "-o", "remount,size=64m", str(small)], check=True)
        again = runner.end(runner.resume(small / "full", "roomy"), "roomy")
        again.folder = small / "full"
        assert again.code == 0, again.out + again.err
        assert [row["state"] for row in again.rows()] == ["COMPLETE"] * 24
        assert "no space left" in again.report()
    finally:
        for _ in range(50):
            if subprocess.run(["umount", str(small)], check=False, capture_output=True).returncode == 0:
                break
            time.sleep(0.2)


def failed(number, reason):
    return TrialRecord(
        family="clip", number=number, name=f"clip-{number:04d}", state="FAIL", params={}, metrics={}, epochs=0,
        seconds=0.0, seed=0, error=reason,
    )  # fmt: skip


def test_a_reason_is_the_same_when_only_its_numbers_differ():
    same = [failed(i, f"CUDA out of memory: tried {i}.5 GiB") for i in range(10)]
    assert repeated_reason(same[:9]) is None
    assert (
        repeated_reason(same) == "10 trials in a row failed for one reason: CUDA out of memory: tried 9.5 GiB"
    )
    assert repeated_reason([*same[:9], failed(9, "another")]) is None
    assert repeated_reason([*same, failed(10, "another"), *same[:9]]) is None


UNEXPECTED = (
    "The actor died unexpectedly before finishing this task.\n\tclass_name: StclipTrial\nThe actor is dead because its worker "
    "process has died. Worker exit type: SYSTEM_ERROR Worker exit detail: Worker unexpectedly exits with a connection error "
    "code 2. End of file. Some common causes include: (1) the process was killed by the OOM killer due to high memory usage"
)
UNREACHABLE = (
    "The actor 9746546885130ca892b3c46102000000 is unavailable: The actor is temporarily unavailable: RpcError: RPC error: "
    "Socket closed rpc_code: 14. The task may or may not have been executed on the actor."
)


@pytest.mark.parametrize(
    ("text", "said"),
    [  # the second and third as Ray 2.60 wrote them
        (
            "OutOfMemoryError: 1 worker(s) were killed due to the node running low on memory.",
            "killed for memory",
        ),
        (UNEXPECTED, "the trial's process died (it exited, was killed, or crashed in native code)"),
        (UNREACHABLE, "its node was lost, or could not be reached"),
        ("The actor died because its node has died. Node Id: ab", "its node was lost"),
        ("", "the trial's process died or raised"),
    ],
)
def test_a_dead_process_in_words(text, said):
    assert said in process_death(text, 1)
    assert process_death(text, 3).endswith("; started 3 times")
