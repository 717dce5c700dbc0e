"""What a sweep took to compute, from its trials' own words."""

from __future__ import annotations

import pytest

from sweeps.analysis.compute import compute_of
from tests.sweeps.made_up import MACHINE, record

GPU = {**MACHINE, "host": "node-b", "cores": 16, "gpus": ["H200"], "held_cpus": 1.0, "held_gpus": 0.5,
       "peak_memory_mb": 900.0, "peak_device_memory_mb": 1500.0, "parameters": 99}  # fmt: skip


def test_hours_peaks_and_nodes_are_those_of_the_trials_that_said_so():
    searched = [
        record(number=0, machine=MACHINE),
        record(number=1, machine=GPU),
        record(number=2, state="FAIL"),
    ]
    again = [record("clip", number=i, machine={**GPU, "gpus": ["A100"]}) for i in range(2)]
    found = compute_of(searched, again, {"spatial": searched[0], "clip": searched[2]})
    hour = 11.25 / 3600  # a made-up trial
    assert found["search"] == {
        "trials": 3, "cpu_hours": pytest.approx(3 * hour), "gpu_hours": pytest.approx(0.5 * hour),
        "peak_memory_mb": 900.0, "peak_device_memory_mb": 1500.0, "not_known": 1,
    }  # fmt: skip
    assert (found["confirmation"]["cpu_hours"], found["confirmation"]["gpu_hours"]) == pytest.approx(
        (2 * hour, hour)
    )
    assert found["nodes"] == [
        {"host": "node-a", "cpu": "A CPU", "cores": 8, "memory_gb": 33.6, "gpus": [], "trials": 1},
        {
            "host": "node-b",
            "cpu": "A CPU",
            "cores": 16,
            "memory_gb": 33.6,
            "gpus": ["A100", "H200"],
            "trials": 3,
        },
    ]
    assert found["parameters"] == {"spatial": 12345, "clip": None}


def test_a_sweep_of_a_version_before_has_nothing_to_add_up():
    found = compute_of([record()], [], {"spatial": record()})
    assert found == {
        "search": {"trials": 1, "cpu_hours": 0, "gpu_hours": 0, "peak_memory_mb": None, "peak_device_memory_mb": None,
                   "not_known": 1},
        "confirmation": None, "nodes": [], "parameters": {"spatial": None},
    }  # fmt: skip


def test_what_ray_did_not_assign_is_no_hour():
    outside = {**MACHINE, "held_cpus": None, "held_gpus": None}
    assert compute_of([record(machine=outside)], [], {})["search"]["cpu_hours"] == 0
