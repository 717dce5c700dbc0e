"""Fixtures of the tests that run whole sweeps."""

import shutil
import sys
import tempfile
from pathlib import Path

import pytest
import yaml

from stclip.files.paths import PROJECT_ROOT
from tests.whole_sweeps.moments import Hooks
from tests.whole_sweeps.processes import adopt_orphans
from tests.whole_sweeps.sweep_runner import BASE, Runner

HERE = Path(__file__).parent
TEST_SECONDS = 2400  # above all that a test waits for one after another; the waits themselves say more


def pytest_collection_modifyitems(items):
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.timeout(TEST_SECONDS))
            item.add_marker(pytest.mark.skipif(sys.platform != "linux", reason="looks at processes in /proc"))


@pytest.fixture(scope="module")
def runner(tmp_path_factory, shared_tiny_dataset):
    folder = tmp_path_factory.mktemp("sweeps")
    base = {**BASE, "data": {**BASE["data"], "dataset": str(shared_tiny_dataset)}}
    (folder / "base.yaml").write_text(yaml.safe_dump(base))
    tmp = Path(tempfile.mkdtemp(prefix="sw", dir="/tmp"))
    adopt_orphans(True)
    runner = Runner(folder, tmp)
    yield runner
    runner.clean_up()
    adopt_orphans(False)
    shutil.rmtree(tmp, ignore_errors=True)


@pytest.fixture(scope="module")
def make_hooks(tmp_path_factory):
    """Makes `Hooks`, one for each command that meets moments or faults."""
    return lambda: Hooks(tmp_path_factory.mktemp("hooks"), PROJECT_ROOT)


@pytest.fixture
def hooks(make_hooks):
    return make_hooks()
