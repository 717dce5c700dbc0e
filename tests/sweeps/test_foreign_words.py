"""Names of settings that Ray reads and words that Ray says: in the installed version they are still there."""

import inspect
import io
import re

import pytest
from ray import exceptions

from sweeps.cluster import connect as cluster
from sweeps.driver import ray_messages
from sweeps.driver.failures import process_death
from sweeps.trial import worker_group as train_workers
from tests.sweeps.foreign import found, is_read, says, sources

PYTHON_SETTINGS = sorted(
    {
        *cluster.QUIET_ENVIRONMENT,
        *cluster.LOOPBACK_ENVIRONMENT,
        *cluster.TRIAL_ENVIRONMENT,
        *train_workers.ENVIRONMENT,
        "RAY_JOB_STOP_SIGNAL",
        "RAY_JOB_STOP_WAIT_TIME_S",
        "RAY_AUTH_MODE",
    }
    - {"RAY_worker_niceness", "RAY_gcs_rpc_server_reconnect_timeout_s", "PL_DISABLE_FORK"}
)


@pytest.mark.parametrize("name", PYTHON_SETTINGS)
def test_ray_still_reads_a_setting(name):
    assert is_read(name), (
        f"Ray no longer reads {name}: sweeps/cluster/connect.py, sweeps/trial/worker_group.py or sweeps/cluster/job_client.py "
        f"sets it in vain"
    )


def test_the_loopback_setting_is_what_decides_whether_ray_leaves_it():
    rests = (
        "sweeps/cluster/connect.py (LOOPBACK_ENVIRONMENT) rests on it to keep a private Ray on the loopback"
    )
    name = found("ray._private.ray_constants:ENABLE_RAY_CLUSTERS_ENV_VAR", rests)
    assert list(cluster.LOOPBACK_ENVIRONMENT) == [name], f"the setting is called {name} now: {rests}"
    found("ray._private.ray_constants:ENABLE_RAY_CLUSTER", rests)
    assert len(re.findall(rb"\bENABLE_RAY_CLUSTER\b", sources("ray"))) > 1, f"nobody asks for it: {rests}"


@pytest.mark.parametrize(
    "word",
    [
        "worker_niceness",
        "gcs_rpc_server_reconnect_timeout_s",
        "RAY_AUTH_TOKEN_PATH",
        "RAY_AUTH_TOKEN",
        "RAY_AUTH_MODE",
    ],
)
def test_rays_programs_still_know_a_setting(word):
    assert says(word), (
        f"Ray no longer knows {word}: sweeps/cluster/connect.py or sweeps/cluster/ray_token.py sets it in vain"
    )


def test_tune_gives_its_actors_the_environment_that_warm_processes_have(monkeypatch):
    rests = "sweeps/cluster/connect.py (TRIAL_ENVIRONMENT) must be the same, or trials take no process that is warm"
    cache = found("ray.tune.execution.class_cache:_ActorClassCache", rests)
    for name in found("ray.tune.execution.class_cache:ENV_VARS_TO_PROPAGATE", rests):
        monkeypatch.delenv(name, raising=False)
    for name, value in cluster.QUIET_ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    given = []
    monkeypatch.setattr("ray.remote", lambda runtime_env: given.append(runtime_env) or (lambda kind: kind))
    cache().get(object)
    assert given == [{"env_vars": cluster.TRIAL_ENVIRONMENT}], f"Tune gives its actors {given}: {rests}"


@pytest.mark.parametrize(
    ("pattern", "words"),
    [
        (
            ray_messages._LOST_NODE,
            ["The node with node id: ", " and address: ", " and node name: ", " has been marked dead"],
        ),
        (
            ray_messages._DEAD_WORKER,
            ["A worker died or was killed", "Worker PID: ", "Worker exit detail: "],
        ),
        (re.compile(re.escape(ray_messages._DEAD_RAYLET)), [ray_messages._DEAD_RAYLET]),
    ],
)
def test_ray_still_says_what_is_put_in_short(pattern, words):
    for part in words:
        assert part.strip() in pattern.pattern.replace(r"\ ", " "), f"{part} is not in the pattern"
        assert says(part), f"Ray no longer says '{part}': sweeps/driver/ray_messages.py looks for it"


@pytest.mark.parametrize("source", ["raylet", "autoscaler"])
@pytest.mark.parametrize("colours", ["0", "1"])
def test_ray_prints_its_messages_with_a_prefix(source, colours, monkeypatch):
    rests = "sweeps/driver/ray_messages.py rests on it to take Ray's messages out of the output"
    show = found("ray._private.worker:print_worker_logs", rests)
    found("ray._private.worker:filter_autoscaler_events", rests)
    monkeypatch.setattr("ray._private.worker.filter_autoscaler_events", lambda lines: lines)
    monkeypatch.setenv("RAY_COLOR_PREFIX", colours)
    out = io.StringIO()
    show({"lines": ["a message"], "pid": source, "is_err": False}, out)
    prefix = ray_messages._FROM_RAY.match(out.getvalue())
    assert prefix, f"Ray prints {out.getvalue()!r}: {rests}"
    assert out.getvalue()[prefix.end() :] == "a message\n", f"Ray prints {out.getvalue()!r}: {rests}"


def test_ray_prints_the_clusters_errors_as_the_raylets():
    rests = "sweeps/driver/ray_messages.py rests on it to take Ray's messages out of the output"
    text = inspect.getsource(found("ray._private.worker:listen_error_messages", rests))
    for part in ("print_to_stdstream(", '"pid": "raylet"', '"is_err": False'):
        assert part in text, f"Ray's listener no longer has {part}: {rests}"


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (exceptions.ActorUnavailableError("no answer", None), "its node was lost, or could not be reached"),
        (exceptions.ActorDiedError(), "the trial's process died"),
        (exceptions.WorkerCrashedError(), "the trial's process died"),
    ],
)
def test_an_error_of_ray_is_known_by_its_words(error, said):
    assert process_death(f"Failure # 1\n{error}\n", 1).startswith(said), (
        f"{type(error).__name__} reads '{error}' now: sweeps/driver/failures.py (process_death) looks for other words"
    )


@pytest.mark.parametrize("words", ["its node has died", "running low on memory"])
def test_the_cluster_still_says_why_a_process_died(words):
    assert says(words), (
        f"Ray no longer says '{words}': sweeps/driver/failures.py (process_death) looks for it"
    )


def test_a_refused_token_is_known_by_its_word():
    error = found(
        "ray.exceptions:AuthenticationError", "sweeps/cluster/job_client.py tells a missing token by it"
    )
    assert issubclass(error, exceptions.RayError)
    assert says("uthenticat"), (
        "Ray no longer says so: sweeps/cluster/connect.py (_cannot_connect) looks for it"
    )
