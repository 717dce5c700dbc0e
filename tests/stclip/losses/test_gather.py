"""Gathering in a group of one process; two processes are in test_spatial_distributed.py."""

import pytest
import torch
import torch.distributed as dist

from stclip.losses.gather import (
    gather,
    gather_keeping_own,
    gather_with_grad,
    mean_over_ranks,
    rank,
    world_size,
)


@pytest.fixture
def group(tmp_path):
    dist.init_process_group("gloo", init_method=f"file://{tmp_path}/rendezvous", rank=0, world_size=1)
    yield
    dist.destroy_process_group()


def test_without_a_group_this_is_the_first_of_one():
    assert (rank(), world_size()) == (0, 1)


def test_a_collective_gets_only_rows_that_lie_one_after_the_other(group, monkeypatch):
    """NCCL refuses others; gloo, which runs here, copies them."""
    gathered_from, reduced = [], []
    all_gather, all_reduce = dist.all_gather, dist.all_reduce
    monkeypatch.setattr(
        dist, "all_gather", lambda parts, own: (gathered_from.append(own), all_gather(parts, own))
    )
    monkeypatch.setattr(dist, "all_reduce", lambda total: (reduced.append(total), all_reduce(total)))
    wide = torch.arange(12.0).view(3, 4).requires_grad_()
    columns, weights = wide[:, 1:3], torch.arange(6.0).view(2, 3).t()
    for gathered in (gather, gather_keeping_own, gather_with_grad):
        torch.testing.assert_close(gathered(columns).detach(), columns.detach())
    gather_with_grad(columns).backward(weights)
    torch.testing.assert_close(wide.grad[:, 1:3], weights)
    assert len(gathered_from) == 4 and len(reduced) == 1
    assert all(tensor.is_contiguous() for tensor in (*gathered_from, *reduced))


def test_the_mean_leaves_the_value_as_it_is_and_has_no_gradient(group):
    value = torch.tensor(3.0, requires_grad=True)
    mean = mean_over_ranks(value)
    assert (mean.item(), mean.requires_grad, value.item()) == (3.0, False, 3.0)
