"""Processors that a process may use: affinity and control groups, of both versions."""

import os

import pytest

from stclip.processors import usable_processors


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """16 processors, and files of control groups."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(16)), raising=False)

    def make(own, files):
        (tmp_path / "proc/self").mkdir(parents=True)
        (tmp_path / "proc/self/cgroup").write_text(own)
        for name, text in files.items():
            path = tmp_path / "sys/fs/cgroup" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return tmp_path

    return make


def v1(folder, quota, period="100000"):
    return {f"{folder}/cpu.cfs_quota_us": quota, f"{folder}/cpu.cfs_period_us": period}


@pytest.mark.parametrize(
    ("own", "files", "expected"),
    [
        ("0::/\n", {}, 16),
        ("0::/\n", {"cpu.max": "400000 100000\n"}, 4),
        ("0::/\n", {"cpu.max": "max 100000\n"}, 16),
        ("0::/\n", {"cpu.max": "250000 100000\n"}, 2),  # half a processor is left out
        ("0::/\n", {"cpu.max": "20000 100000\n"}, 1),  # never none
        ("0::/\n", {"cpu.max": "damaged\n"}, 16),
        ("0::/a.slice/b.service\n", {"a.slice/cpu.max": "300000 100000", "a.slice/b.service/cpu.max": "800000 100000"}, 3),
        ("0::/docker/0123\n", {"cpu.max": "500000 100000"}, 5),  # its name outside, where no such folder is
        ("0::/../../elsewhere\n", {"cpu.max": "500000 100000"}, 5),
        ("4:cpu,cpuacct:/slurm/job_7\n1:name=systemd:/\n", v1("cpu,cpuacct/slurm/job_7", "200000"), 2),
        ("4:cpu:/\n", v1("cpu", "-1"), 16),
        ("4:cpuset:/\n0::/\n", v1("cpuset", "100000"), 16),  # of another controller
        ("4:cpu:/\n0::/\n", v1("cpu", "600000"), 6),  # both versions at once
        ("4:memory:/\n0::/x\n", {"unified/x/cpu.max": "700000 100000"}, 7),
        ("4:cpu:/\n", v1("cpu", "100000", "0"), 16),
    ],
)  # fmt: skip
def test_quotas_of_control_groups(machine, own, files, expected):
    assert usable_processors(machine(own, files)) == expected


def test_an_affinity_counts_and_the_smaller_number_wins(machine, monkeypatch):
    root = machine("0::/\n", {"cpu.max": "400000 100000"})
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {3, 5})
    assert usable_processors(root) == 2


def test_this_machine_has_no_more_than_it_has():
    assert 1 <= usable_processors() <= (os.cpu_count() or 1)
