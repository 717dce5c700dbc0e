"""What is checked before a run starts."""

from importlib.metadata import PackageNotFoundError

import pytest

from stclip.errors import InputError
from stclip.training import prepare


def versions(**known):
    def version(name):
        if name not in known:
            raise PackageNotFoundError(name)
        return known[name]

    return version


@pytest.mark.parametrize(
    "known",
    [
        {"torch": "2.13.0+cpu"},
        {"torch": "2.13.0+cpu", "torchvision": "0.28.0+cpu"},
        {"torch": "2.13.0", "torchvision": "0.28.0"},
    ],
)
def test_installations_that_work(monkeypatch, known):
    monkeypatch.setattr(prepare, "version", versions(**known))
    prepare.check_installation()


def test_a_cuda_torchvision_beside_a_cpu_torch_is_explained(monkeypatch):
    monkeypatch.setattr(prepare, "version", versions(torch="2.13.0+cpu", torchvision="0.28.0"))
    with pytest.raises(
        InputError, match=r"torchvision 0.28.0 does not fit torch 2.13.0\+cpu.*pip uninstall torchvision"
    ):
        prepare.check_installation()
