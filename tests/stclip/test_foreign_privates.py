"""What of Lightning and torch is private, or may change: each test says in a sentence what rests on it."""

import csv
import inspect
import os
import warnings
from importlib import import_module
from pathlib import Path

import pytest
import torch
from lightning.pytorch.loggers import CSVLogger
from lightning.pytorch.loggers.csv_logs import ExperimentWriter

from stclip.training.callbacks import QUIET_LOGGERS, QUIET_WARNINGS, quiet_lightning


def test_a_csv_logger_can_be_given_its_writer(tmp_path):
    rests = "stclip/training/loggers.py (csv_logger) gives it a writer that keeps a resumed run's rows"
    logger = CSVLogger(save_dir=tmp_path, name="", version="")
    assert hasattr(logger, "_experiment"), f"CSVLogger no longer has _experiment: {rests}"
    writer = ExperimentWriter(log_dir=os.fspath(tmp_path))
    logger._experiment = writer
    assert logger.experiment is writer, f"CSVLogger.experiment no longer returns _experiment: {rests}"


def test_a_csv_writer_looks_at_its_folder_once_by_a_method_that_can_be_replaced(tmp_path):
    rests = (
        "stclip/training/loggers.py (AppendingWriter) replaces it, as Lightning's own deletes earlier rows"
    )
    assert hasattr(ExperimentWriter, "_check_log_dir_exists"), (
        f"ExperimentWriter._check_log_dir_exists is gone: {rests}"
    )
    called = []

    class Writer(ExperimentWriter):
        def _check_log_dir_exists(self):
            called.append((self.metrics_file_path, self.metrics_keys))
            self.metrics_keys = ["a", "step"]

    writer = Writer(log_dir=os.fspath(tmp_path))
    assert called == [(os.fspath(tmp_path / "metrics.csv"), [])], (
        f"it is not called once, with metrics_file_path and metrics_keys known: {rests}"
    )
    (tmp_path / "metrics.csv").write_text("a,step\n1,1\n")
    writer.log_metrics({"a": 2}, step=2)
    writer.save()
    with (tmp_path / "metrics.csv").open(newline="") as file:
        rows = list(csv.reader(file))
    assert rows == [["a", "step"], ["1", "1"], ["2", "2"]], f"metrics_keys are no longer kept: {rests}"


@pytest.mark.parametrize("name", QUIET_LOGGERS)
def test_the_loggers_of_lightning_that_are_silenced_are_there(name):
    rests = "stclip/training/callbacks.py (quiet_lightning) silences it by this name"
    try:
        module = import_module(name)
    except ImportError:
        pytest.fail(f"there is no {name} any more: {rests}")
    assert "getLogger(__name__)" in inspect.getsource(module), (
        f"{name} no longer logs by its own name: {rests}"
    )


@pytest.mark.parametrize("message", QUIET_WARNINGS)
def test_the_warnings_that_are_silenced_are_still_given(message):
    words = message.replace(".*", "")
    pattern = words.replace("isinstance.treespec", "isinstance(treespec")
    folders = [
        Path(inspect.getfile(import_module(name))).parent for name in ("lightning.pytorch", "torch.utils")
    ]
    assert any(pattern in path.read_text() for folder in folders for path in folder.rglob("*.py")), (
        f"nobody warns '{words}' any more: stclip/training/callbacks.py (quiet_lightning) silences it"
    )
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        quiet_lightning()
        warnings.warn(f"Something {pattern} something", UserWarning, stacklevel=1)
    assert not seen


def test_lightning_tells_which_process_this_is():
    from lightning.pytorch.utilities import rank_zero_only

    assert rank_zero_only.rank == 0, (
        "rank_zero_only no longer has the rank: stclip/train.py rests on it so that one process writes files"
    )


def test_torch_can_tell_whether_there_are_other_processes():
    for name in ("is_available", "is_initialized", "get_rank", "get_world_size"):
        assert hasattr(torch.distributed, name), (
            f"torch.distributed no longer has {name}: stclip/losses/gather.py rests on it"
        )
