"""Fixtures of the tests that run whole sweeps."""

import shutil
import tempfile

import pytest
import yaml

from tests.sweeps.sweep_runner import BASE, Runner, adopt_orphans


@pytest.fixture(scope="module")
def runner(tmp_path_factory, shared_tiny_dataset):
    folder = tmp_path_factory.mktemp("sweeps")
    base = {**BASE, "data": {**BASE["data"], "dataset": str(shared_tiny_dataset)}}
    (folder / "base.yaml").write_text(yaml.safe_dump(base))
    tmp = tempfile.mkdtemp(prefix="sw", dir="/tmp")
    adopt_orphans(True)
    runner = Runner(folder, tmp)
    yield runner
    for process in runner.started:  # only after a test that failed half-way
        if process.poll() is None:
            process.kill()
            process.wait()
    adopt_orphans(False)
    shutil.rmtree(tmp, ignore_errors=True)
