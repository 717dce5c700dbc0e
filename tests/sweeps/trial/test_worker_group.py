"""What the end of a group of workers means for its trial, told from what Ray Train raised."""

import errno
import pickle

import pytest
from ray.exceptions import ActorDiedError
from ray.train import ControllerError, WorkerGroupError
from ray.train.v2._internal.exceptions import WorkerGroupStartupTimeoutError

from sweeps.cluster.connect import TrialResources
from sweeps.trial.run_trial import ProcessLostError, TrialFailedError
from sweeps.trial.worker_group import WORKERS_FOLDER, _own_storage, explain

RESOURCES = TrialResources(cpus=2.0, gpus=0.0, max_concurrent=1, devices=3)
FAULT = TrialFailedError("ValueError: a fault of its own", "Traceback ...\n", no_space=False)
CUT_OFF = ProcessLostError("gloo: connection closed by peer")


def test_a_workers_own_fault_is_the_trials_whatever_the_others_say():
    assert explain(WorkerGroupError("two failed", {0: CUT_OFF, 1: FAULT}), RESOURCES) is FAULT


def test_of_several_faults_the_lowest_ranks_is_told():
    other = TrialFailedError("ValueError: another", "", no_space=False)
    assert explain(WorkerGroupError("two failed", {2: other, 1: FAULT}), RESOURCES) is FAULT


@pytest.mark.parametrize("other", [CUT_OFF, FAULT])
def test_a_dead_process_is_a_loss_whatever_the_others_say(other):
    error = explain(WorkerGroupError("two failed", {0: other, 1: ActorDiedError()}), RESOURCES)
    assert isinstance(error, ProcessLostError)
    assert str(error).startswith("worker 1: The actor died unexpectedly")


def test_workers_that_lost_their_peer_are_a_loss_even_before_the_death_is_noticed():
    error = explain(WorkerGroupError("rank 0: connection closed", {0: CUT_OFF}), RESOURCES)
    assert isinstance(error, ProcessLostError)
    assert "rank 0: connection closed" in str(error)


def test_workers_without_room_are_a_failure_that_says_what_to_lower():
    error = explain(ControllerError(WorkerGroupStartupTimeoutError(3)), RESOURCES)
    assert isinstance(error, TrialFailedError)
    assert error.reason.startswith("no room for 3 workers of 2 CPU and 0 GPU each within")
    assert "--max-concurrent, --cpus-per-trial or resources.devices" in error.reason
    assert not error.no_space


def test_any_other_fault_of_ray_train_is_a_loss():
    error = explain(ControllerError(RuntimeError("no\nreason")), RESOURCES)
    assert isinstance(error, ProcessLostError)
    assert str(error) == (
        "Ray Train could not run the trial: Training failed due to controller error: no reason"
    )


def test_a_failure_travels_between_processes_with_reason_traceback_and_full_disk():
    try:
        raise OSError(errno.ENOSPC, "No space left on device")
    except OSError as error:
        sent = TrialFailedError.of(error)
    got = pickle.loads(pickle.dumps(sent))
    assert got.reason == str(got) == "OSError: [Errno 28] No space left on device"
    assert got.no_space
    assert got.trace.endswith("OSError: [Errno 28] No space left on device\n")
    assert TrialFailedError.of(got) is got


@pytest.mark.parametrize("scheme", ["", "file://"])
def test_a_trials_start_removes_what_a_killed_one_left(tmp_path, scheme):
    place = f"{scheme}{tmp_path}"
    (tmp_path / "metrics.csv").touch()
    first = _own_storage(place)
    name = first.removeprefix(f"{place}/")
    (tmp_path / name / "epoch").mkdir(parents=True)
    second = _own_storage(place)
    assert second != first and second.startswith(f"{place}/{WORKERS_FOLDER}")
    assert {path.name for path in tmp_path.iterdir()} == {"metrics.csv"}
