"""What a trial's process runs on and holds; measured there, and sent with its reports as one text.

    {host, cpu, cores, memory_gb, gpus: [name, ...], held_cpus, held_gpus,
     peak_memory_mb, peak_device_memory_mb, parameters}

`held_*`: what Ray has assigned to the trial, None outside Ray. Peaks are since `start_measuring`: a process may run one trial
after another. With several devices it is rank 0's process that is measured; what is held is that of all.
"""

from __future__ import annotations

import json
import os
import platform
import re
import socket
import sys
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

MB = 1e6
_STATUS, _RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def start_measuring() -> None:
    """Forget the peaks of what the process did before. Where the system does not allow it, they stay."""
    with suppress(OSError):
        _RESET.write_text("5", encoding="ascii")
    if cuda := _cuda():
        for number in range(cuda.device_count()):
            cuda.reset_peak_memory_stats(number)


def machine_text(parameters: int, processes: int = 1) -> str:
    """The facts as of now, as JSON. `parameters`: of the model, trained ones. `processes`: that train it together."""
    cuda = _cuda()
    numbers = range(cuda.device_count()) if cuda else range(0)
    held = _held()
    facts = {
        **_node(),
        "gpus": [cuda.get_device_name(number) for number in numbers],
        "held_cpus": None if held is None else held.get("CPU", 0.0) * processes,
        "held_gpus": None if held is None else held.get("GPU", 0.0) * processes,
        "peak_memory_mb": round(peak_memory(_text(_STATUS)) / MB, 1),
        "peak_device_memory_mb": round(sum(map(cuda.max_memory_allocated, numbers)) / MB, 1)
        if numbers
        else None,
        "parameters": parameters,
    }
    return json.dumps(facts)


@cache  # asked after every epoch
def _node() -> dict[str, Any]:
    return {
        "host": socket.gethostname(),
        "cpu": cpu_model(_text(Path("/proc/cpuinfo"))),
        "cores": os.cpu_count() or 1,
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1),
    }


def trained_parameters(model: Any) -> int:
    """Numbers that training changes."""
    return sum(weight.numel() for weight in model.parameters() if weight.requires_grad)


def cpu_model(cpuinfo: str) -> str:
    """The model's name in the text of /proc/cpuinfo; without it what Python knows, perhaps nothing."""
    found = re.search(r"^model name\s*:\s*(.+)$", cpuinfo, re.MULTILINE)
    return found.group(1).strip() if found else platform.processor()


def peak_memory(status: str) -> float:
    """Bytes: the largest resident size in the text of /proc/self/status, else since the process began."""
    found = re.search(r"^VmHWM:\s*(\d+) kB$", status, re.MULTILINE)
    if found:
        return int(found.group(1)) * 1024
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _held() -> dict[str, float] | None:
    """What Ray has assigned to this process; None outside Ray."""
    if "ray" not in sys.modules:
        return None
    import ray

    return dict(ray.get_runtime_context().get_assigned_resources()) if ray.is_initialized() else None


def _cuda() -> Any:
    """torch.cuda where this process sees a GPU."""
    import torch

    return torch.cuda if torch.cuda.is_available() else None


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
