"""How a cluster's processors and GPUs are shared among trials."""

import pytest

from stclip.errors import InputError
from sweeps.cluster.connect import Node, TrialResources, connect, share_resources


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


def _no_ray(**arguments):
    raise ConnectionError("Could not find any running Ray instance")


@pytest.mark.parametrize(
    ("variable", "address", "message"),
    [
        (None, "127.0.0.1:1", "--address 127.0.0.1:1: nothing answers there"),
        ("127.0.0.1:1", "127.0.0.1:1", "RAY_ADDRESS=127.0.0.1:1: nothing answers there"),
        ("127.0.0.1:2", "127.0.0.1:1", "--address 127.0.0.1:1: nothing answers there"),
        (None, "auto", "--address auto: no running Ray .*, or leave --address out for a private one"),
        ("auto", "auto", "RAY_ADDRESS=auto: no running Ray .*, or unset RAY_ADDRESS for a private one"),
    ],
)
def test_an_address_is_named_as_it_was_given(monkeypatch, variable, address, message):
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    if variable:
        monkeypatch.setenv("RAY_ADDRESS", variable)
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    monkeypatch.setattr("ray.init", _no_ray)
    with pytest.raises(InputError, match=message):
        connect(address)
