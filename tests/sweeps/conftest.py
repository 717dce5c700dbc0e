"""Fixtures of the tests of command lines and plans, and of those with a sweep at an address."""

import shutil

import fsspec
import pytest
import yaml

import stclip.train
import sweeps.driver.sweep
from sweeps.planning.command_line import make_parser
from sweeps.planning.plan import make_plan
from sweeps.results.folder import ResultsFolder
from sweeps.results.mirror import Mirror
from sweeps.results.run_log import RunLog
from tests.sweeps import tiny_plan
from tests.sweeps.command_lines import Commands


@pytest.fixture
def commands(shared_tiny_dataset, tmp_path, capsys, monkeypatch):
    """Both command lines on a tiny data set; launching a sweep is only counted."""
    dataset = shutil.copytree(shared_tiny_dataset, tmp_path / "tiny", ignore=shutil.ignore_patterns(".store"))
    found = Commands(tmp_path, dataset, capsys)

    def launch(*_, **__):
        found.reached += 1
        return 0

    def fit(*_, **__):
        found.reached += 1
        return stclip.train.FitResult({})

    monkeypatch.setattr(sweeps.driver.sweep, "run_sweep", launch)
    monkeypatch.setattr(stclip.train, "fit", fit)
    monkeypatch.setenv("STCLIP_CACHE", str(tmp_path / "cache"))
    return found


@pytest.fixture(params=["file", "memory"])
def address(request, tmp_path):
    """Of a sweep that is not there yet."""
    if request.param == "file":
        yield f"file://{tmp_path}/at/results/a"
        return
    yield "memory://bucket/results/a"
    memory = fsspec.filesystem("memory")
    if memory.exists("/bucket"):
        memory.rm("/bucket", recursive=True)


@pytest.fixture
def driver(address, tmp_path):
    """Makes drivers of this sweep, each with a folder of its own."""

    def make(name):
        folder = ResultsFolder(tmp_path / "own" / name)
        return Mirror(address, folder.path), folder, RunLog(folder.runs_dir)

    return make


@pytest.fixture
def plan_of(tmp_path, shared_tiny_dataset):
    """Resolves a command line on the tiny data set; `families` replaces those of the space."""

    def resolve(*arguments, families=None):
        (tmp_path / "base.yaml").write_text(yaml.safe_dump(tiny_plan.BASE))
        tree = tiny_plan.SPACE if families is None else {**tiny_plan.SPACE, "families": families}
        (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(tree, sort_keys=False))
        given = ["--space", str(tmp_path / "tiny.yaml"), "--data", str(shared_tiny_dataset)]
        return make_plan(
            make_parser().parse_args([*given, "--results", str(tmp_path / "results"), *arguments])
        )

    return resolve
