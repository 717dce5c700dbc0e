"""What a trial's process says of itself."""

from __future__ import annotations

import json
import os
import resource
import socket
import subprocess
import sys

import pytest
import torch

from sweeps.trial.machine import cpu_model, machine_text, peak_memory, trained_parameters

CPUINFO = (
    "processor\t: 0\nvendor_id\t: AuthenticAMD\nmodel name\t: AMD EPYC 9354 32-Core Processor\nflags\t: fpu\n"
)


def test_a_process_says_what_it_runs_on_and_holds(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    found = json.loads(machine_text(123))
    assert (found["host"], found["cores"], found["parameters"]) == (socket.gethostname(), os.cpu_count(), 123)
    assert (found["gpus"], found["peak_device_memory_mb"]) == ([], None)
    assert found["memory_gb"] > 1 and found["peak_memory_mb"] > 10


def test_on_gpus_their_names_and_what_pytorch_allocated_are_said(monkeypatch):
    bytes_of = {0: 2e9, 1: 1e9}
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda number: f"GPU-{number}")
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda number: bytes_of[number])
    found = json.loads(machine_text(1))
    assert (found["gpus"], found["peak_device_memory_mb"]) == (["GPU-0", "GPU-1"], 3000.0)


@pytest.mark.parametrize(
    ("assigned", "held"), [({"CPU": 2.0, "GPU": 0.5}, (8.0, 2.0)), ({}, (0.0, 0.0)), (None, (None, None))]
)
def test_what_is_held_is_that_of_all_processes_of_a_trial(monkeypatch, assigned, held):
    monkeypatch.setattr("sweeps.trial.machine._held", lambda: assigned)
    found = json.loads(machine_text(1, processes=4))
    assert (found["held_cpus"], found["held_gpus"]) == held


def test_the_model_of_the_processor_is_read_where_linux_gives_it():
    assert cpu_model(CPUINFO) == "AMD EPYC 9354 32-Core Processor"
    assert isinstance(cpu_model("processor: 0\n"), str)


def test_the_peak_is_the_high_water_mark_else_that_of_the_whole_process():
    assert peak_memory("VmPeak:\t  999 kB\nVmHWM:\t  2048 kB\nVmRSS:\t  1 kB\n") == 2048 * 1024
    assert peak_memory("") == resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


@pytest.mark.skipif(
    not os.access("/proc/self/clear_refs", os.W_OK),
    reason="this system does not let a process forget its peak",
)
def test_a_trial_does_not_get_the_peak_of_the_one_before_in_its_process():
    code = (
        "import json, torch\n"
        "from sweeps.trial.machine import machine_text, start_measuring\n"
        "def peak(): return json.loads(machine_text(0))['peak_memory_mb']\n"
        "before = peak(); much = torch.ones(75_000_000); with_it = peak(); del much\n"
        "start_measuring(); after = peak(); print(with_it - before, with_it - after)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    more, less = map(float, done.stdout.split())
    assert more > 250 and less > 250  # of 300 MB


def test_parameters_are_those_that_training_changes():
    model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Linear(4, 2))
    assert trained_parameters(model) == 3 * 4 + 4 + 4 * 2 + 2
    model[0].requires_grad_(False)
    assert trained_parameters(model) == 10
