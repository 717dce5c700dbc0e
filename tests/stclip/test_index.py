"""The package's index names what there is, and costs nothing until it is used."""

import subprocess
import sys
from importlib.metadata import version

import pytest

import stclip


@pytest.mark.parametrize("name", [name for name in stclip.__all__ if name != "__version__"])
def test_every_name_loads(name):
    assert getattr(stclip, name).__name__ == name


def test_the_version_is_that_of_the_installed_package():
    assert stclip.__version__ == version("stclip")


def test_an_unknown_name_lists_the_known():
    with pytest.raises(
        AttributeError, match="module 'stclip' has no attribute 'load_modle'; it has: .*load_model"
    ):
        stclip.load_modle  # noqa: B018


@pytest.mark.parametrize(
    "module",
    ["stclip", "stclip.config", "stclip.config.registry", "sweeps.planning.command_line", "sweeps.run"],
)
def test_light_modules_import_nothing_heavy(module):
    """What a command line needs to refuse bad input must not wait for torch, Lightning, Ray or Optuna."""
    code = (
        f"import sys, {module}; print(sorted({{'torch', 'lightning', 'ray', 'optuna'}} & set(sys.modules)))"
    )
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
        == "[]\n"
    )


def test_stclip_never_imports_ray_optuna_or_sweeps():
    code = """
import pkgutil, sys, importlib, stclip
for info in pkgutil.walk_packages(stclip.__path__, "stclip."):
    if not info.name.endswith("__main__"):
        importlib.import_module(info.name)
print(sorted({"ray", "optuna", "sweeps"} & set(sys.modules)))
"""
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
        == "[]\n"
    )
