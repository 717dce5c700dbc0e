"""How a cluster's processors and GPUs are shared among trials."""

import pytest

from stclip.errors import InputError
from sweeps.cluster import TrialResources, share_resources


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
    assert share_resources(cpus, gpus, cpus_per_trial, gpus_per_trial, max_concurrent) == expected


def test_a_trial_that_cannot_fit_is_refused():
    with pytest.raises(InputError, match="--cpus-per-trial 4 is more than the 2 processors there are"):
        share_resources(2, 0, 4, None, None)
    with pytest.raises(InputError, match="--gpus-per-trial 1 is more than the 0 GPUs there are"):
        share_resources(2, 0, 1, 1, None)
