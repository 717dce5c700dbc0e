"""Tensors of all processes, gathered for a loss. Every process must bring a batch of the same size."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist


def world_size() -> int:
    """Number of processes; 1 when torch.distributed is not initialised."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    """Number of this process, from 0; 0 when torch.distributed is not initialised."""
    return dist.get_rank() if dist.is_available() and dist.is_initialized() else 0


def gather(local: torch.Tensor) -> torch.Tensor:
    """Stack the [B, ...] tensors of W processes in the order of their ranks: [W * B, ...], without gradient.

    B must be the same in every process (training loaders drop the last, smaller batch). It is not checked:
    the check would cost a wait for the device at every step.
    """
    own = local.detach().contiguous()
    parts = [torch.empty_like(own) for _ in range(world_size())]
    dist.all_gather(parts, own)
    return torch.cat(parts)


def gather_keeping_own(local: torch.Tensor) -> torch.Tensor:
    """Like `gather`, but the rows of this process are `local` itself and carry its gradient."""
    parts = list(gather(local).chunk(world_size()))
    parts[rank()] = local
    return torch.cat(parts)


def gather_with_grad(local: torch.Tensor) -> torch.Tensor:
    """Like `gather`, with gradient: a process receives the sum of what all losses send to its rows."""
    return _GatherWithGrad.apply(local)


def mean_over_ranks(value: torch.Tensor) -> torch.Tensor:
    """Mean of a tensor over all processes, without gradient."""
    total = value.detach().clone()
    dist.all_reduce(total)
    return total / world_size()


class _GatherWithGrad(torch.autograd.Function):
    # torch.distributed.nn.all_gather does the same, but torch 2.13 deprecates it.

    @staticmethod
    def forward(ctx: Any, local: torch.Tensor) -> torch.Tensor:
        return gather(local)

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> torch.Tensor:
        total = grads[0].clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total)  # every backend has it; reduce-scatter is missing from some versions of gloo
        return total.chunk(world_size())[rank()]
