"""What of Ray and Lightning is private, or may change: each test says in a sentence what rests on it."""

import inspect
import logging
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest
from ray import tune
from ray.exceptions import ActorDiedError, OutOfMemoryError, RayActorError
from ray.tune.experiment import Trial
from ray.tune.schedulers import FIFOScheduler

from sweeps.cluster.client_driver import BESIDE_THE_HEAD
from sweeps.cluster.connect import IN_A_JOB, WARM_UP
from sweeps.cluster.job_client import _TALKERS
from sweeps.driver.lost_workers import lost_workers_are_failures
from sweeps.trial.actor import named_trainable
from tests.sweeps.foreign import found, takes


@pytest.fixture
def storage(tmp_path, monkeypatch):
    """Where Tune keeps a trial's files, without a Ray."""
    monkeypatch.setenv("RAY_CHDIR_TO_TRIAL_DIR", "0")
    monkeypatch.setattr("sweeps.trial.actor.setproctitle", lambda title: None)
    base = found("ray.train._internal.storage:StorageContext", "the tests of a trial rest on it")

    class Here(base):
        def _get_session_path(self):
            return str(tmp_path)

    return Here(storage_path=str(tmp_path), experiment_dir_name="run", trial_dir_name="trial")


# -- Ray: the actor of a trial


def test_ray_sets_the_title_of_a_process():
    rests = "sweeps/trial/actor.py rests on it to show a trial's name as its process's title"
    set_title, get_title = (found(f"ray._raylet:{name}", rests) for name in ("setproctitle", "getproctitle"))
    before = get_title()
    try:
        set_title("the-title-of-a-test")
        assert Path("/proc/self/cmdline").read_text().rstrip("\0") == "the-title-of-a-test", (
            f"ray._raylet.setproctitle no longer sets the title: {rests}"
        )
    finally:
        set_title(before)


def test_a_function_becomes_a_class_of_which_step_and_config_are_known(storage, monkeypatch):
    rests = "sweeps/trial/actor.py rests on it to name a trial's actor and process"
    wrap = found("ray.tune.trainable:wrap_function", rests)
    base = found("ray.tune.trainable:FunctionTrainable", rests)
    assert "step" in vars(base), f"FunctionTrainable.step is gone: {rests}"
    function = tune.with_resources(lambda config: tune.report({"a": 1}), {"cpu": 2})
    assert issubclass(wrap(function), base), f"wrap_function no longer makes a FunctionTrainable: {rests}"
    titles = []
    monkeypatch.setattr("sweeps.trial.actor.setproctitle", titles.append)
    trainable = named_trainable(function, reuse_actors=True)
    asked = trainable.default_resource_request({}).required_resources
    assert asked == {"CPU": 2.0}, f"wrap_function loses what a trial asks for: {rests}"
    actor = trainable(config={"name": "clip-0001"}, storage=storage)
    try:
        assert actor.step()["a"] == 1, f"FunctionTrainable.step no longer returns a report: {rests}"
        assert actor.reset({"name": "clip-0002"}, storage=storage), "FunctionTrainable cannot be reset"
        assert repr(actor) == "clip-0002 and later trials", f"reset leaves the old config: {rests}"
        actor.step()
    finally:
        actor.stop()
    assert titles == ["ray::clip-0001", "ray::clip-0002"], f"FunctionTrainable.step is not called: {rests}"


def test_a_stopped_trial_leaves_its_report_by_a_system_exit(storage):
    ends, over = [], threading.Event()

    def function(config):
        try:
            for epoch in range(9):
                tune.report({"epoch": epoch})
        except BaseException as error:
            ends.append(type(error))
            raise
        finally:
            over.set()

    actor = named_trainable(function, reuse_actors=False)(config={"name": "clip-0001"}, storage=storage)
    actor.step()
    actor.stop()  # does not wait for the function's thread
    over.wait(300)
    assert ends == [SystemExit], (
        "tune.report no longer raises SystemExit in a trial that Tune stops: sweeps/trial/worker_group.py and "
        "sweeps/trial/log.py rest on it to end the workers and the log"
    )


def test_ray_knows_the_folder_of_its_logs():
    rests = "sweeps/trial/log.py rests on it to put a trial's log where the dashboard lists it"
    found("ray._private.worker:_global_node", rests)
    folder = found("ray._private.node:Node.get_logs_dir_path", rests)
    assert list(inspect.signature(folder).parameters) == ["self"], f"get_logs_dir_path takes more: {rests}"


def test_a_hook_of_each_process_is_part_of_a_runtime_environment():
    rests = "sweeps/cluster/connect.py rests on it to import what trials need before they start"
    environment = found("ray.runtime_env:RuntimeEnv", rests)
    takes(environment.__init__, ["worker_process_setup_hook"], rests)
    assert environment(worker_process_setup_hook=WARM_UP)["worker_process_setup_hook"] == WARM_UP, rests
    found(":".join(WARM_UP.rsplit(".", 1)), "sweeps/cluster/connect.py names it as the hook of each process")


# -- Ray: Tune's driver


def manager_and_task(told):
    manager = SimpleNamespace(_failed_actor_ids=set(), _cleanup_actor=lambda tracked_actor: None)
    actor = SimpleNamespace(actor_id=1, _on_error=None)
    task = SimpleNamespace(_tracked_actor=actor, _on_error=lambda actor, error: told.append(error))
    return manager, task


def test_an_actor_killed_for_memory_is_no_lost_actor_to_tune_but_to_us():
    rests = "sweeps/driver/lost_workers.py replaces it so that such an error does not end the sweep"
    place = "ray.air.execution._internal.actor_manager:RayActorManager"
    manager_type = found(place, rests)
    handle = found(f"{place}._actor_task_failed", rests)
    names = list(inspect.signature(handle).parameters)
    assert names == ["self", "tracked_actor_task", "exception"], f"_actor_task_failed takes {names}: {rests}"
    calls = inspect.getsource(manager_type).count("self._actor_task_failed(")
    assert calls == 1, f"RayActorManager calls _actor_task_failed in {calls} places, not in one: {rests}"
    told = []
    manager, task = manager_and_task(told)
    answer = None
    try:
        handle(manager, task, OutOfMemoryError("memory"))
    except Exception as error:
        answer = error
    assert isinstance(answer, RuntimeError) and not told, (
        f"Tune does not raise for it any more ({answer!r}): look whether sweeps/driver/lost_workers.py is still needed"
    )
    with lost_workers_are_failures():
        manager_type._actor_task_failed(manager, task, OutOfMemoryError("memory"))
    assert [type(error) for error in told] == [RayActorError], rests
    assert manager_type._actor_task_failed is handle


def test_a_trial_has_its_actor_its_retries_and_its_errors(storage):
    hang = "sweeps/driver/hang_watch.py rests on it to end a trial that hangs"
    told = "sweeps/driver/scheduler.py rests on it to say why a trial failed"
    trial = Trial("x", stub=True, storage=storage, max_failures=1)
    assert hasattr(trial, "temporary_state"), f"Trial no longer has temporary_state: {hang}"
    assert hasattr(trial.temporary_state, "ray_actor"), f"temporary_state no longer has ray_actor: {hang}"
    assert trial.temporary_state.ray_actor is None, f"a trial without an actor must say None: {hang}"
    assert trial.error_file is None, f"Trial.error_file before an error is not None: {told}"
    Path(trial.local_path).mkdir(parents=True)
    trial.handle_error(ActorDiedError())
    assert "The actor died unexpectedly" in Path(trial.error_file).read_text(), (
        f"Trial.error_file no longer tells the error: {told}"
    )
    assert trial.run_metadata.num_failures == 1, f"run_metadata.num_failures no longer counts errors: {told}"
    assert trial.should_recover(), "a trial with a retry left is not started again"
    trial.max_failures = 0
    assert not trial.should_recover(), f"max_failures = 0 no longer takes a trial's retries: {hang}"


def test_a_scheduler_can_refuse_results_of_several_epochs_at_once():
    rests = "sweeps/driver/scheduler.py sets _supports_buffered_results so that no epoch is judged late"

    class Refuses(FIFOScheduler):
        _supports_buffered_results = False

    assert hasattr(FIFOScheduler, "_supports_buffered_results"), f"the attribute is gone: {rests}"
    assert FIFOScheduler().supports_buffered_results is True, f"refusing has become the default: {rests}"
    assert Refuses().supports_buffered_results is False, f"the attribute is not read any more: {rests}"


def test_tunes_loggers_are_below_the_name_that_is_silenced():
    logger = found("ray.tune.execution.tune_controller:logger", "sweeps/driver/tune.py silences it")
    assert logger.name.startswith("ray.tune."), (
        f"it is called {logger.name}: sweeps/driver/tune.py silences ray.tune"
    )


# -- Ray: clusters and jobs


@pytest.mark.parametrize("name", _TALKERS)
def test_the_loggers_that_are_silenced_while_a_job_is_sent_are_there(name):
    rests = "sweeps/cluster/job_client.py silences it by this name"
    module = found(f"{name}:__dict__", rests).values()
    names = {value.name for value in module if isinstance(value, logging.Logger)}
    assert name in names, f"{name} logs under {sorted(names)}: {rests}"


def test_a_job_is_known_by_the_variable_that_ray_sets():
    place = "ray._private.runtime_env.constants:RAY_JOB_CONFIG_JSON_ENV_VAR"
    name = found(place, "sweeps/cluster/connect.py rests on it to know that it runs in a job")
    assert name == IN_A_JOB, (
        f"Ray tells a job its configuration in {name}: sweeps/cluster/connect.py asks for {IN_A_JOB}"
    )


def test_loopback_in_capitals_is_left_alone():
    resolve = found(
        "ray._private.services:resolve_ip_for_localhost", "sweeps/cluster/connect.py goes around it"
    )
    assert resolve("LOCALHOST") == "LOCALHOST", (
        "Ray resolves LOCALHOST too now: sweeps/cluster/connect.py (_as_ray_takes_it) rests on its being left alone"
    )


def test_the_head_of_a_cluster_has_a_resource_by_its_name():
    name = found(
        "ray._common.constants:HEAD_NODE_RESOURCE_NAME", "sweeps/cluster/client_driver.py asks for it"
    )
    assert list(BESIDE_THE_HEAD) == [name], (
        f"the head's resource is called {name}: sweeps/cluster/client_driver.py"
    )


# -- Ray Train


def test_ray_trains_retries_can_be_switched_off():
    rests = "sweeps/trial/worker_group.py rests on it, since only Tune may restart a trial"
    config = found("ray.train.v2.api.config:FailureConfig", rests)
    takes(config, ["max_failures", "controller_failure_limit", "max_preemption_failures"], rests)


@pytest.mark.parametrize(
    "place",
    [
        "ray.train.v2._internal.exceptions:WorkerGroupStartupTimeoutError",
        "ray.train.v2.api.exceptions:TrainingFailedError",
        "ray.train:WorkerGroupError",
        "ray.train:ControllerError",
        "torch.distributed:DistError",
    ],
)
def test_the_errors_of_workers_have_their_types(place):
    found(place, "sweeps/trial/worker_group.py rests on it to tell a lost worker from a failed trial")


# -- Lightning


def test_a_callback_that_saves_is_called_after_all_others():
    import lightning.pytorch as pl

    class Saves(pl.callbacks.Checkpoint):
        pass

    first, last = Saves(), pl.Callback()
    trainer = pl.Trainer(
        accelerator="cpu", logger=False, enable_progress_bar=False, callbacks=[first, last],
        enable_checkpointing=True, enable_model_summary=False,
    )  # fmt: skip
    kept = [one for one in trainer.callbacks if one in (first, last)]
    assert kept == [last, first], (
        "Lightning no longer calls Checkpoint callbacks last: sweeps/trial/run_trial.py reports an epoch in one, after its "
        "metrics"
    )
