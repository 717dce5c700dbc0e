"""How a cluster's processors and GPUs are shared among trials."""

import pytest

from stclip.errors import InputError
from sweeps.cluster import Node, TrialResources, share_resources


@pytest.mark.parametrize(
    ("cpus", "gpus", "cpus_per_trial", "gpus_per_trial", "max_concurrent", "expected"),
    [
        (2, 0, 1, None, None, TrialResources(1, 0.0, 2)),
        (2, 0, 2, None, None, TrialResources(2, 0.0, 1)),
        (16, 0, 1, None, 4, TrialResources(1, 0.0, 4)),
        (
            16,
            1,
            4,
            None,
            None,
            TrialResources(4, 0.25, 4),
        ),  # four trials fit the processors and share the GPU
        (16, 4, 4, None, None, TrialResources(4, 1.0, 4)),
        (16, 8, 4, None, None, TrialResources(4, 1.0, 4)),
        (16, 1, 1, 0.5, None, TrialResources(1, 0.5, 2)),
        (16, 2, 1, 0.4, None, TrialResources(1, 0.4, 4)),  # 0.2 of each GPU is left over
        (16, 3, 1, 2, None, TrialResources(1, 2, 1)),
        (16, 1, 1, 0, None, TrialResources(1, 0, 16)),
    ],
)
def test_shares(cpus, gpus, cpus_per_trial, gpus_per_trial, max_concurrent, expected):
    assert share_resources([Node(cpus, gpus)], cpus_per_trial, gpus_per_trial, max_concurrent) == expected


def test_a_trial_that_cannot_fit_is_refused():
    with pytest.raises(InputError, match="--cpus-per-trial 4 is more than the 2 processors there are"):
        share_resources([Node(2, 0)], 4, None, None)
    with pytest.raises(InputError, match="--gpus-per-trial 1 is more than the 0 GPUs there are"):
        share_resources([Node(2, 0)], 1, 1, None)


def test_a_trial_runs_on_one_node():
    nodes = [Node(2, 0), Node(3, 0), Node(1, 0)]
    assert share_resources(nodes, 2, None, None) == TrialResources(2, 0.0, 2)
    assert share_resources(nodes, 1, None, None) == TrialResources(1, 0.0, 6)
    with pytest.raises(
        InputError, match="--cpus-per-trial 4 is more than the 3 processors the largest node has"
    ):
        share_resources(nodes, 4, None, None)
    with pytest.raises(InputError, match="no node has both 4 processors and 1 GPUs"):
        share_resources([Node(8, 0), Node(2, 1)], 4, 1, None)


def test_gpus_of_several_nodes():
    mixed = [Node(8, 0), Node(4, 2)]
    assert share_resources(mixed, 1, 1, None) == TrialResources(1, 1, 2)
    assert share_resources(mixed, 1, 0, None) == TrialResources(1, 0, 12)
