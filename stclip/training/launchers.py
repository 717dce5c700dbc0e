"""What launchers (Slurm, torchrun, MPI, LSF, Kubeflow) leave in the environment must not decide who trains and who writes.

Lightning and torch read from the environment that a process is one of several, and which: a process of another rank than 0
then writes no files, waits for others, or refuses to train. Here a training is one process, unless it starts others itself
(`trainer.devices`) or Ray Train does (`sweeps.trial.worker_group`); both say who is who without help. So the rest is removed.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

# Read by Lightning (rank_zero, its environments, its Trainer's defaults), torch.distributed, Ray Train and transformers.
_NAMES = {
    "RANK", "LOCAL_RANK", "NODE_RANK", "GROUP_RANK", "ROLE_RANK", "ROLE_WORLD_RANK", "ROLE_NAME",
    "WORLD_SIZE", "LOCAL_WORLD_SIZE", "GROUP_WORLD_SIZE", "ROLE_WORLD_SIZE",
    "MASTER_ADDR", "MASTER_PORT", "STANDALONE_PORT",
}  # fmt: skip
_PREFIXES = (
    "SLURM_", "TORCHELASTIC_", "PET_", "PL_TRAINER_", "JSM_", "LSB_", "OMPI_", "MPI_", "PMI_", "PMIX_", "PRTE_", "MV2_", "PALS_",
    "HOROVOD_", "ACCELERATE_",
)  # fmt: skip
_GROUP = "STCLIP_GROUP"  # the process whose training starts further processes of its own


def is_launched() -> bool:
    """Has a training of this program, its parent process, started this process as one of its own?"""
    return os.environ.get(_GROUP) == str(os.getppid())


@contextmanager
def launching() -> Iterator[None]:
    """While active, processes that Lightning starts from this one know that they belong to it."""
    if is_launched():
        yield
        return
    os.environ[_GROUP] = str(os.getpid())
    try:
        yield
    finally:
        del os.environ[_GROUP]


def forget_launchers() -> None:
    """Remove from this process's environment what a launcher left. A process started within `launching` keeps all."""
    if is_launched():
        return
    for name in list(os.environ):
        if name in _NAMES or name.startswith(_PREFIXES):
            del os.environ[name]
    # Read when Lightning was imported; its Trainer sets it anew only where it trains with several processes.
    rank_zero = sys.modules.get("lightning_utilities.core.rank_zero")
    if rank_zero is not None:
        rank_zero.rank_zero_only.rank = 0
