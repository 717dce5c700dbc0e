"""Credentials of the driver's environment reach no file: not Ray's logs, not a trial's error."""

import pytest

from sweeps.cluster.credentials import credentials_stay
from sweeps.trial.log import trial_log
from sweeps.trial.run_trial import TrialFailedError
from tests.sweeps.foreign import found

SECRETS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_SECURITY_TOKEN")


def environments(monkeypatch):
    """What Tune puts into the runtime environment of its actors."""
    rests = "sweeps/cluster/credentials.py replaces what it hands on"
    cache = found("ray.tune.execution.class_cache:_ActorClassCache", rests)
    found("ray.tune.execution.class_cache:ENV_VARS_TO_PROPAGATE", rests)
    given = []
    monkeypatch.setattr("ray.remote", lambda runtime_env: given.append(runtime_env) or (lambda kind: kind))
    cache().get(object)
    return given


def test_tune_hands_no_credentials_on(monkeypatch):
    for name in SECRETS:
        monkeypatch.setenv(name, "s3cret-value")
    monkeypatch.setenv("RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S", "7")
    assert "s3cret-value" in str(environments(monkeypatch)), "Tune does not hand them on any more"
    with credentials_stay():
        [environment] = environments(monkeypatch)
    assert "s3cret" not in str(environment)
    assert environment["env_vars"]["RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S"] == "7"
    assert "s3cret-value" in str(environments(monkeypatch)[0])  # put back


def test_a_trials_failure_and_its_log_hold_no_secret(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "s3cret-value")
    with pytest.raises(RuntimeError), trial_log(tmp_path, "a-0000"):
        raise RuntimeError("POST http://me:p4ss@h/api with s3cret-value was refused")
    assert "POST http://***@h/api with *** was refused" in (tmp_path / "a-0000.log").read_text()
    try:
        raise RuntimeError("POST http://me:p4ss@h/api with s3cret-value was refused")
    except RuntimeError as error:
        failure = TrialFailedError.of(error)
    for text in (failure.reason, failure.trace.splitlines()[-1]):
        assert text == "RuntimeError: POST http://***@h/api with *** was refused"
    assert "s3cret" not in failure.trace and "p4ss" not in failure.trace
