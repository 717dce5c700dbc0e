"""PYTHONWARNINGS=error does not end a program at the first warning of a library."""

import os
import subprocess
import sys

import pytest

from stclip.files.paths import PROJECT_ROOT

CODE = """
import os, subprocess, sys, warnings
from stclip.terminal.strict_warnings import warnings_stay_warnings
warnings_stay_warnings()
warnings.warn("shown")
warnings.warn("hidden", DeprecationWarning)
print("PYTHONWARNINGS" in os.environ, subprocess.run([sys.executable, "-c", "import warnings; warnings.warn('a')"]).returncode)
"""


@pytest.mark.parametrize("value", ["error", "ignore,error::DeprecationWarning", "e"])
def test_warnings_are_shown_and_children_are_not_told(value):
    done = subprocess.run(
        [sys.executable, "-c", CODE], cwd=PROJECT_ROOT, env=os.environ | {"PYTHONWARNINGS": value}, capture_output=True,
        text=True, timeout=300, check=True,
    )  # fmt: skip
    assert done.stdout == "False 0\n"
    assert "UserWarning: shown" in done.stderr and "hidden" not in done.stderr


def test_what_a_person_asks_for_otherwise_stays():
    done = subprocess.run(
        [sys.executable, "-c", CODE], cwd=PROJECT_ROOT, env=os.environ | {"PYTHONWARNINGS": "ignore"}, capture_output=True,
        text=True, timeout=300, check=True,
    )  # fmt: skip
    assert (done.stdout, done.stderr) == ("True 0\n", "")
