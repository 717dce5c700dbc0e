"""What happens to single trials and to the disk, in real sweeps: reasons, retries, and when the whole sweep stops."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.whole_sweeps.sweep_runner import BOTH

pytestmark = pytest.mark.slow
TRIALS, EPOCHS = 5, 5
# An exception, an exit, silence, too much memory, a loss that is NaN: each ends its trial and nothing else.
FAULTS = {"clip-0001": "raise", "clip-0002": "exit", "clip-0003": "hang", "spatial-0001": "memory",
          "spatial-0002": "nan"}  # fmt: skip
# A process killed after its third epoch: the trial goes on from its checkpoint.
KILLED = dict.fromkeys(("spatial-0000", "spatial-0003", "spatial-0004", "clip-0000", "clip-0004"), "killed")
DOOMED = {
    "loss": {"name": "spatial"},
    "parameters": {"optimizer.lr": {"type": "choice", "values": [1e29, 1e30]}},
}
HEADROOM = 7e9  # bytes that one trial takes until Ray's memory monitor ends it


def memory_threshold():
    """The part of the machine's memory in use at which Ray kills a trial: now, and HEADROOM more."""
    sizes = dict(line.split()[:2] for line in Path("/proc/meminfo").read_text().splitlines())
    total, free = (int(sizes[key]) * 1024 for key in ("MemTotal:", "MemAvailable:"))
    threshold = (total - free + HEADROOM) / total
    if threshold > 0.9:
        pytest.skip(f"a test that fills 7 GB needs more free memory than {free / 1e9:.1f} GB")
    return f"{threshold:.3f}"


@pytest.fixture(scope="module")
def hooks(make_hooks):
    return make_hooks()


@pytest.fixture(scope="module")
def faulty(runner, hooks):
    """Three families: two with faults and killed processes in them, one that never gives a value."""
    space = runner.space("faulty", {**BOTH, "doomed": DOOMED}, TRIALS, EPOCHS)
    environment = hooks.environment(
        faults=FAULTS | KILLED,
        STCLIP_TEST_CHECKPOINTS="1",
        RAY_memory_usage_threshold=memory_threshold(),
        RAY_memory_monitor_refresh_ms="100",
    )
    flags = ("--max-concurrent", "1", "--max-failures", "1", "--trial-timeout", "40s")
    return runner.run(space, "faulty", *flags, environment=environment, code=1)


def test_five_faults_in_one_sweep_are_five_fails_with_five_reasons(faulty):
    """The rest is complete."""
    rows = {row["name"]: row for row in faulty.rows() if row["family"] != "doomed"}
    assert {name for name, row in rows.items() if row["state"] == "FAIL"} == FAULTS.keys()
    assert {name for name, row in rows.items() if row["state"] == "COMPLETE"} == KILLED.keys()
    reasons = {fault: rows[name]["error"] for name, fault in FAULTS.items()}
    assert reasons["raise"] == "ValueError: no such slide <b>|x|</b>"
    assert reasons["exit"].startswith("the trial's process died (it exited"), reasons
    assert reasons["exit"].endswith("started 2 times")
    assert reasons["hang"] == "hung: no report for 40 s (--trial-timeout), so its process was ended"
    assert reasons["memory"].startswith("killed for memory: its node was running out of it"), reasons
    assert reasons["nan"].startswith("FloatingPointError: the training loss became nan")
    summary = faulty.summary()
    assert summary["status"] == "complete"
    failed = {family: entry["trials"]["failed"] for family, entry in summary["families"].items()}
    assert failed == {"spatial": 2, "clip": 3, "doomed": TRIALS}
    report = faulty.report()
    assert "no such slide &lt;b&gt;\\|x\\|" in report and "killed for memory" in report
    assert "Traceback" in (faulty.folder / "trials" / "clip-0001" / "error.txt").read_text()


def test_killed_workers_are_retried_from_their_checkpoints(faulty, hooks):
    assert hooks.marked("killed") == KILLED.keys()
    for name in KILLED:  # no epoch twice, none left out
        header, *lines = (faulty.folder / "trials" / name / "metrics.csv").read_text().splitlines()
        epochs = [int(line.split(",")[header.split(",").index("epoch")]) for line in lines]
        assert epochs == [*range(EPOCHS)]


def test_a_family_without_a_winner_exits_with_1_and_says_why(faulty):
    assert (faulty.code, faulty.left) == (1, [])
    families = faulty.summary()["families"]
    assert families["clip"]["best"]["val"]["R@10"] > 0
    doomed = families["doomed"]
    assert (doomed["best"], doomed["trials"]["failed"]) == (None, TRIALS)
    reason = "most common reason (5 of 5 failures): FloatingPointError: the training loss became nan"
    assert reason in doomed["reason"]
    assert "doomed has no winner: no trial gave a value (5 failed of 5)" in faulty.report()
    assert "doomed: no winner: no trial gave a value (5 failed of 5)" in faulty.out
    assert not (faulty.folder / "best" / "doomed").exists()


def test_ten_failures_with_one_reason_stop_the_sweep(runner, hooks):
    space = runner.space("hopeless", BOTH, trials=20, epochs=1)
    faults = {f"{f}-{n:04d}": "raise" for f in BOTH for n in range(20)}
    ended = runner.run(
        space, "hopeless", "--max-concurrent", "1", environment=hooks.environment(faults=faults), code=1
    )
    states = [row["state"] for row in ended.rows()]
    assert states.count("FAIL") == 10
    assert len(states) <= 11  # the next one may have been begun
    assert "10 trials in a row failed for one reason: ValueError: no such slide" in ended.out
    summary = ended.summary()
    assert summary["status"] == "stopped"
    assert "10 trials in a row failed" in summary["stopped_because"]
    assert "10 trials in a row failed" in ended.report()


def test_data_that_change_stop_the_sweep_and_once_they_are_back_it_goes_on(
    runner, hooks, tmp_path, shared_tiny_dataset
):
    dataset = shutil.copytree(shared_tiny_dataset, tmp_path / "own", ignore=shutil.ignore_patterns(".store"))
    (shard, *_) = dataset.glob("V1/*.tar")
    time = shard.stat().st_mtime_ns
    space = runner.space("changed", {"clip": BOTH["clip"]}, trials=6, epochs=1)
    flags = ("--max-concurrent", "1", "--confirm-seeds", "0", "--data", str(dataset))
    environment = hooks.environment(faults={"clip-0002": "changed"})
    ended = runner.run(space, "changed", *flags, environment=environment, code=1)
    states = ended.states()["clip"]
    assert states[:3] == ["COMPLETE", "COMPLETE", "FAIL"] and "COMPLETE" not in states[3:], states
    assert ended.rows()[2]["error"].startswith(
        f"DataChangedError: data set '{dataset}' is not as it was when"
    )
    assert (
        "error: what the trials read is not as it was" in ended.err
        and f"--resume {ended.folder}" in ended.err
    )
    assert not (ended.folder / "report.md").exists()
    refused = runner.end(runner.resume(ended.folder, "refused"), ended.folder, code=2)
    assert "is not as it was when the sweep began" in refused.err
    os.utime(shard, ns=(0, time))
    again = runner.end(runner.resume(ended.folder, "back"), ended.folder)
    assert again.summary()["status"] == "complete"
    assert again.summary()["families"]["clip"]["trials"]["complete"] >= 4


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small file system takes root")
def test_a_full_disk_stops_cleanly_and_room_lets_it_go_on(runner, tmp_path):
    small = tmp_path / "small"
    small.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(small)], capture_output=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip(f"cannot mount a tmpfs here: {mounted.stderr.decode().strip()}")
    folder = small / "full"
    try:
        space = runner.space("full", BOTH, trials=12, epochs=2)
        process = runner.start(space, "full", "--results", str(small), "--seed", "3")
        ended = runner.end(process, folder, code=1)
        assert "no space left" in ended.out + ended.err
        assert f"--resume {folder}" in ended.out + ended.err
        assert not [path for path in folder.iterdir() if path.name.startswith(".")]
        subprocess.run(["mount", "-o", "remount,size=64m", str(small)], check=True)
        again = runner.end(runner.resume(folder, "roomy"), folder)
        assert [row["state"] for row in again.rows()] == ["COMPLETE"] * 24
        assert "no space left" in again.report()
    finally:
        # Even while a failed test's process is there.
        subprocess.run(["umount", "--lazy", str(small)], check=True)
