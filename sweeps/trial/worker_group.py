"""A trial on several devices: its Tune actor starts a group of Ray Train workers, one a device, which train it with DDP.

    the Tune actor (`_train`)                       the workers (`_train_on_worker`)
    takes the report  <------------ TrialLine <---- rank 0 after each epoch, which then waits
    tune.report(...)
    "go on" or "stop" ------------> TrialLine ----> rank 0, which tells the others

Tune so sees the same reports, checkpoints and ends as of a trial on one device (`sweeps.trial.run_trial`), at the same moments:
no epoch starts before Tune has judged the one before. Ray's own link between the two, `TuneReportCallback`, has no way
back, and so neither waits nor stops workers.

Who takes what: the Tune actor only waits, and takes no processor; each worker takes `cpus` and `gpus` of TrialResources.
Ray Train asks for all of a trial's workers at once, so two trials never hold half of what they need each;
`share_among_groups` lets no more trials start than fit.

Only Tune restarts a trial. Ray Train's own retries are off: they would hide a lost worker from the search, and wait
without end for room that is not there.
"""

from __future__ import annotations

import logging
import os
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stclip.config import Experiment
from stclip.data.store.data_key import DataKey
from stclip.files.addresses import is_address
from stclip.train import fit
from stclip.training.checkpoint_file import CHECKPOINT
from sweeps.cluster.connect import TrialResources
from sweeps.trial.folder import trial_folder
from sweeps.trial.log import epoch_line
from sweeps.trial.relay import TrialLine
from sweeps.trial.run_trial import (
    EPOCH,
    ProcessLostError,
    Training,
    TrialFailedError,
    report_to_tune,
    reporter,
    tested_text,
)
from sweeps.trial.storage import ray_storage, remove_storage, subfolders

if TYPE_CHECKING:
    from ray.train.torch import TorchTrainer
    from ray.tune.execution.placement_groups import PlacementGroupFactory

# In the trial's folder, for Ray Train's own files; gone when the trial has ended.
WORKERS_FOLDER = ".workers-"
# How long a trial's workers may wait for room. What was free a moment ago may take this long to be given back.
PLACEMENT_SECONDS = 120
# How long Tune waits for a stopped trial's thread before it gives up its actor, and the workers with it.
STOP_SECONDS = 30
# Read in the Tune actor; what is Ray Train's is handed on to its own processes.
ENVIRONMENT = {
    "RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S": str(PLACEMENT_SECONDS),
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.5",  # how late the end of a worker is noticed; 2 by default
    "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER": "0",  # one process less; a lost node is a lost worker, and Tune restarts
    "TUNE_FUNCTION_THREAD_TIMEOUT_S": str(STOP_SECONDS),
}


def train_on_workers(resources: TrialResources) -> Training:
    """The training of a trial on `resources.devices` workers, as `sweeps.trial.run_trial.train_here` is that on one device."""
    return partial(_train, resources)


def waiting_actor() -> PlacementGroupFactory:
    """What the Tune actor of such a trial takes: next to nothing, since Tune refuses to ask for nothing at all."""
    from ray.tune import PlacementGroupFactory

    return PlacementGroupFactory([{"memory": 1}])  # bytes


def _train(
    resources: TrialResources,
    config: Experiment,
    data_key: DataKey | None,
    folder: str,
    start: Path | None,
    log: logging.Logger,
    test: bool,
) -> str:
    """Raises TrialFailedError for what a worker raised, ProcessLostError when a worker's process died."""
    import ray
    from ray.train.v2.api.exceptions import TrainingFailedError

    os.environ.update(ENVIRONMENT)
    own = _own_storage(folder)
    log.info(
        "trains on %d workers, %s", resources.devices, f"goes on from {start}" if start else "from the start"
    )
    line: Any = ray.remote(num_cpus=0)(TrialLine).remote()
    on_device = config.trainer.model_copy(update={"accelerator": "gpu" if resources.gpus else "cpu"})
    config = config.model_copy(update={"trainer": on_device})
    content = None if start is None else ray.put(start.read_bytes())  # the workers may be on other nodes
    training = _in_thread(
        _trainer(partial(_train_on_worker, config, data_key, folder, content, line, test), resources, own).fit
    )
    try:
        _pass_on(line, training, log)
        training.result()
        return str(ray.get(line.tested.remote()))
    except SystemExit:  # how Tune ends a trial, within `tune.report`
        ray.get(line.answer.remote(False))
        with suppress(Exception):  # whatever it is, nobody asks for it any more
            training.result(STOP_SECONDS)
        raise
    except TrainingFailedError as error:
        raise explain(error, resources) from None
    finally:
        remove_storage(own)


def _own_storage(folder: str) -> str:
    """A new place for each start of a trial, seen by all its workers; what a start that was killed left is removed."""
    for name in subfolders(folder):
        if name.startswith(WORKERS_FOLDER):
            remove_storage(f"{folder}/{name}")
    return f"{folder}/{WORKERS_FOLDER}{uuid.uuid4().hex[:8]}"


def _trainer(worker: Callable[[], None], resources: TrialResources, own: str) -> TorchTrainer:
    from ray.train import RunConfig, ScalingConfig
    from ray.train.torch import TorchTrainer
    from ray.train.v2.api.config import FailureConfig  # mypy takes ray.train's for an older one

    path, filesystem = ray_storage(own)
    return TorchTrainer(
        worker,
        scaling_config=ScalingConfig(
            num_workers=resources.devices,
            use_gpu=resources.gpus > 0,
            resources_per_worker={"CPU": resources.cpus, "GPU": resources.gpus},
        ),
        run_config=RunConfig(
            name="train",
            storage_path=path,
            storage_filesystem=filesystem,
            failure_config=FailureConfig(
                max_failures=0, controller_failure_limit=0, max_preemption_failures=0
            ),
        ),
    )


def _in_thread(work: Callable[[], Any]) -> Future[Any]:
    """Run it beside this thread; unlike an executor's, this one never keeps the process from ending."""
    done: Future[Any] = Future()

    def run() -> None:
        try:
            done.set_result(work())
        except BaseException as error:  # for whoever asks for the result
            done.set_exception(error)

    threading.Thread(target=run, name="ray-train", daemon=True).start()
    return done


def _pass_on(line: Any, training: Future[Any], log: logging.Logger) -> None:
    """Log and report to Tune what comes, until the training has ended."""
    import ray

    before = time.monotonic()
    waiting = line.next_report.remote()
    while not training.done():
        if ray.wait([waiting], timeout=0.2)[0]:
            metrics, checkpoint = ray.get(waiting)
            log.info(epoch_line(int(metrics[EPOCH]), metrics, time.monotonic() - before))
            with _as_folder(checkpoint) as folder:
                go_on = report_to_tune(metrics, folder)  # copies the checkpoint into Tune's own folder
            before = time.monotonic()
            ray.get(line.answer.remote(go_on))
            waiting = line.next_report.remote()


@contextmanager
def _as_folder(checkpoint: bytes | None) -> Iterator[Path | None]:
    """The folder of a checkpoint, for as long as the block lasts; None for none."""
    if checkpoint is None:
        yield None
        return
    with tempfile.TemporaryDirectory(prefix="stclip-") as folder:
        (Path(folder) / CHECKPOINT).write_bytes(checkpoint)
        yield Path(folder)


def explain(error: Exception, resources: TrialResources) -> TrialFailedError | ProcessLostError:
    """What a failed run of Ray Train means for the trial: a failure with its reason, or a loss that a restart makes good.

    A worker that dies breaks the others' connection. Their errors (ProcessLostError) may be noticed before the death
    itself, which is why they count as a loss too; beside a worker that raised for a reason of its own they say nothing.
    """
    from ray.train import ControllerError, WorkerGroupError
    from ray.train.v2._internal.exceptions import WorkerGroupStartupTimeoutError

    if isinstance(error, WorkerGroupError):
        failures = dict(sorted(error.worker_failures.items()))
        own = [f for f in failures.values() if isinstance(f, TrialFailedError)]
        known = (TrialFailedError, ProcessLostError)
        gone = [f"worker {rank}: {f}" for rank, f in failures.items() if not isinstance(f, known)]
        if own and not gone:
            return own[0]
        return ProcessLostError(" ".join((gone or [str(error)])[0].split())[:1000])
    if isinstance(error, ControllerError) and isinstance(
        error.controller_failure, WorkerGroupStartupTimeoutError
    ):
        reason = (
            f"no room for {resources.devices} workers of {resources.cpus:g} CPU and {resources.gpus:g} GPU each within "
            f"{PLACEMENT_SECONDS} s; something else holds the cluster, or no node has that much: lower "
            "--max-concurrent, --cpus-per-trial or resources.devices"
        )
        return TrialFailedError(reason, f"{reason}\n", no_space=False)
    return ProcessLostError(f"Ray Train could not run the trial: {' '.join(str(error).split())}"[:1000])


def _train_on_worker(
    config: Experiment, data_key: DataKey | None, folder: str, start: Any, line: Any, test: bool
) -> None:
    """In each worker: train its share. Ray Train has made the process group. `start`: a reference to a checkpoint's bytes."""
    import ray
    from ray.train.lightning import RayDDPStrategy, RayLightningEnvironment

    try:
        with (
            _worker_folder(folder) as (here, send),
            _as_folder(None if start is None else ray.get(start)) as first,
        ):
            result = fit(
                config,
                here,
                callbacks=[reporter(partial(_report, line, send))],
                resume_from=first / CHECKPOINT if first else None,
                save=False,
                strategy=RayDDPStrategy(),
                plugins=[RayLightningEnvironment()],
                test=test,
                data_key=data_key,
            )
            if test and _rank() == 0:
                ray.get(line.keep.remote(tested_text(result)))
    except Exception as error:
        if _is_lost_peer(error):
            raise ProcessLostError(str(error)) from None
        raise TrialFailedError.of(error) from None


@contextmanager
def _worker_folder(folder: str) -> Iterator[tuple[Path, Callable[[], None]]]:
    """`trial_folder` for rank 0, which writes all files; the others get a place that stays empty."""
    if _rank() == 0 or not is_address(folder):
        with trial_folder(folder, lambda reason: print(reason, file=sys.stderr)) as both:
            yield both
    else:
        with tempfile.TemporaryDirectory(prefix="stclip-") as nowhere:
            yield Path(nowhere), lambda: None


def _report(line: Any, send: Callable[[], None], metrics: dict[str, Any], checkpoint: Path | None) -> bool:
    import ray

    if _rank() != 0:
        return False  # rank 0's answer counts
    if checkpoint is not None:
        send()
    content = None if checkpoint is None else (checkpoint / CHECKPOINT).read_bytes()
    return bool(ray.get(line.report.remote((metrics, content))))


def _rank() -> int:
    from ray import train

    return int(train.get_context().get_world_rank())


def _is_lost_peer(error: Exception) -> bool:
    """Is it what a collective operation raises when another process is gone? gloo has no type of its own for it."""
    from ray.exceptions import RayActorError
    from torch.distributed import DistError

    return isinstance(error, DistError | RayActorError) or (
        isinstance(error, RuntimeError) and any(name in str(error).lower() for name in ("gloo", "nccl"))
    )
