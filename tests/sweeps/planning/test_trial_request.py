"""A worker gets plain data, and needs neither plan nor space to run them."""

import json
import subprocess
import sys

from ray import cloudpickle

from stclip.data.store.data_key import DataKey
from stclip.files.paths import PROJECT_ROOT
from sweeps.planning.trial_request import TrialRequest
from sweeps.trial.run_trial import make_trainable, train_here

REQUEST = TrialRequest(
    "clip-0000", {"model.temperature": 0.1}, {"seed": 3}, "/r/trials/clip-0000", "/r/ray", 2, True,
    DataKey("abc", {"hf:/models/vit": "123"}),
)  # fmt: skip


def test_a_request_travels_as_plain_values():
    assert TrialRequest.from_plain(json.loads(json.dumps(REQUEST.plain()))) == REQUEST
    assert REQUEST.config().seed == 3


def test_what_is_sent_to_the_workers_holds_no_plan():
    assert len(cloudpickle.dumps(make_trainable(train_here))) < 3000


def test_a_worker_imports_neither_plan_nor_space_nor_search():
    code = (
        "import sys, sweeps.trial.run_trial, sweeps.trial.worker_group; "
        "print(*(m for m in ('plan', 'space', 'search', 'resume', 'launch') if f'sweeps.{m}' in sys.modules))"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=PROJECT_ROOT, capture_output=True, text=True, check=True
    )
    assert run.stdout == "\n"
