"""The order in which ray.tune calls scheduler, searcher and callbacks: that of `fake_tune`, which other tests rest on."""

import json
import os
import shutil
import subprocess
import sys
import tempfile

import pytest
from ray import tune

from stclip.files.paths import PROJECT_ROOT
from sweeps.driver.stopping import StopSwitch
from tests.sweeps.fake_tune import Recorder, Tune, case_search, name_metric
from tests.sweeps.tune_cases import CASES, METRIC

pytestmark = pytest.mark.slow  # starts Ray, once for all


@pytest.fixture(scope="module")
def calls_of_real_tune(tmp_path_factory):
    """Case -> the calls that a real controller made."""
    folder = tmp_path_factory.mktemp("tune")
    # Short: Ray's socket paths must stay under 108 characters.
    tmp = tempfile.mkdtemp(prefix="to", dir="/tmp")
    environment = {key: value for key, value in os.environ.items() if not key.startswith("RAY_")} | {
        "HOME": str(folder),
        "TMPDIR": tmp,
        "PYTHONPATH": str(PROJECT_ROOT),
        "OMP_NUM_THREADS": "1",
    }
    command = [
        sys.executable,
        "-m",
        "tests.sweeps.real_tune",
        str(folder / "runs"),
        str(folder / "calls.json"),
    ]
    try:
        done = subprocess.run(
            command, cwd=PROJECT_ROOT, env=environment, capture_output=True, text=True, timeout=500
        )
    finally:
        shutil.rmtree(tmp, ignore_errors=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads((folder / "calls.json").read_text())


def calls_of_fake_tune(case):
    switch = StopSwitch(None, lambda reason: None)
    callback = tune.Callback()
    fake = Tune(case_search(case), case.retries, callback, switch.break_off)
    fake.metric = METRIC if case.metric_named_by == "config" else None
    name_metric(case, fake.search, fake.scheduler)
    recorder = Recorder(case, switch)
    recorder.watch(fake.search, fake.scheduler, callback)
    with recorder.to_the_end():
        fake.play(case, switch.stop_all)
    return recorder.calls


@pytest.mark.parametrize("name", CASES)
def test_tune_calls_in_the_order_of_the_stand_in(calls_of_real_tune, name):
    assert calls_of_real_tune[name] == calls_of_fake_tune(CASES[name])
