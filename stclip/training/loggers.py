"""Lightning loggers by the names of `stclip.config.registry.LOGGERS`, all writing below one run's folder.

Nothing heavy is imported until a logger is built, so `check_loggers` costs a driver nothing.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable, Sequence
from importlib.util import find_spec
from netrc import NetrcParseError, netrc
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from stclip.config.registry import LOGGERS, lookup
from stclip.errors import ConfigError
from stclip.files.paths import home_folder, sqlite_url
from stclip.files.regular_files import TEXT, check_regular

if TYPE_CHECKING:
    from lightning.pytorch.loggers import Logger
    from lightning.pytorch.loggers.csv_logs import ExperimentWriter

PROJECT = "stclip"  # the experiment (MLflow) or project (Weights & Biases) that runs are filed under
_OPTIONAL = {"mlflow": "mlflow", "wandb": "wandb"}  # logger -> the package it needs beyond the base install


def check_loggers(names: Sequence[str]) -> None:
    """Raise ConfigError for an unknown or repeated logger, or one whose package is not installed."""
    for index, name in enumerate(names):
        lookup("logger", LOGGERS, name)
        if name in names[:index]:
            raise ConfigError(f"logger '{name}' is given twice; name each logger once")
        package = _OPTIONAL.get(name)
        if package and find_spec(package) is None:
            raise ConfigError(
                f"logger '{name}' needs the package '{package}', which is not installed; "
                f"run: pip install -c constraints.txt -e '.[{name}]' (without it: csv, tensorboard)"
            )


def build_loggers(names: Sequence[str], out_dir: Path, run_name: str) -> list[Logger]:
    """One Lightning logger for each name, in that order.

    Args:
        names: keys of `stclip.config.registry.LOGGERS`; empty for no logging.
        out_dir: the run's folder.
        run_name: what the run is called where a logger shows several runs side by side.

    Raises:
        ConfigError: a name is unknown, given twice, or its package is missing.
    """
    check_loggers(names)
    return [LOGGERS[name].load()(out_dir, run_name) for name in names]


def close_loggers(loggers: Iterable[Logger], status: str = "success") -> None:
    """Write out what is buffered and end the runs (`status`: success or failed).

    A process that trains several trials must call it after each: Weights & Biases would otherwise write the
    next trial into the run that is still open.
    """
    from lightning.pytorch.loggers import WandbLogger

    for logger in loggers:
        logger.finalize(status)
        if isinstance(logger, WandbLogger):
            logger.experiment.finish(exit_code=0 if status == "success" else 1)


def csv_logger(out_dir: Path, name: str) -> Logger:
    """`metrics.csv` directly in `out_dir`, a row for each logged step; a resumed run goes on below."""
    from lightning.pytorch.loggers import CSVLogger

    logger = CSVLogger(save_dir=out_dir, name="", version="")
    logger._experiment = _appending_writer(out_dir)
    return logger


def _appending_writer(out_dir: Path) -> ExperimentWriter:
    """Lightning's own writer deletes an earlier metrics.csv, and with it a resumed trial's first epochs."""
    from lightning.pytorch.loggers.csv_logs import ExperimentWriter

    class AppendingWriter(ExperimentWriter):
        def _check_log_dir_exists(self) -> None:
            path = Path(self.metrics_file_path)
            if path.is_file():
                with path.open(newline="", encoding="utf-8") as file:
                    self.metrics_keys = next(csv.reader(file), [])

    return AppendingWriter(log_dir=os.fspath(out_dir))


def tensorboard_logger(out_dir: Path, name: str) -> Logger:
    """TensorBoard event files directly in `out_dir`.

    Written by tensorboardX unless TensorBoard is installed; its tags have no `@`: `val/R@10` is `val/R_10`.
    """
    from lightning.pytorch.loggers import TensorBoardLogger

    logger = TensorBoardLogger(save_dir=out_dir, name="", version="", default_hp_metric=False)
    # Opened now. At the first epoch it would make all folders on its way, also those of a sweep that was moved away since.
    _ = logger.experiment
    return logger


def mlflow_logger(out_dir: Path, name: str) -> Logger:
    """An MLflow run called `name`, at MLFLOW_TRACKING_URI or else in `out_dir/mlflow.db`.

    Raises ConfigError without MLflow.
    """
    check_loggers(["mlflow"])
    from lightning.pytorch.loggers import MLFlowLogger

    out_dir.mkdir(parents=True, exist_ok=True)
    given = os.environ.get("MLFLOW_TRACKING_URI")
    # A database, because MLflow 3.13 and later refuse to track into a plain folder.
    uri = given or sqlite_url(out_dir.resolve() / "mlflow.db")
    artifacts = None if given else (out_dir / "mlruns").resolve().as_uri()
    return MLFlowLogger(experiment_name=PROJECT, run_name=name, tracking_uri=uri, artifact_location=artifacts)


def wandb_logger(out_dir: Path, name: str) -> Logger:
    """A Weights & Biases run called `name`, written to `out_dir/wandb`; sent only when someone is logged in.

    Without a login the run stays offline (send it later with `wandb sync`), so that a trial on a worker never
    waits for a key to be typed. Raises ConfigError without wandb.
    """
    check_loggers(["wandb"])
    from lightning.pytorch.loggers import WandbLogger

    out_dir.mkdir(parents=True, exist_ok=True)
    return WandbLogger(name=name, save_dir=out_dir, project=PROJECT, offline=not wandb_login())


def wandb_login() -> bool:
    """Is there a key, in the environment or in the netrc file that `wandb login` writes? No for a file that cannot be read."""
    if os.environ.get("WANDB_API_KEY"):
        return True
    try:
        host = urlsplit(os.environ.get("WANDB_BASE_URL", "https://api.wandb.ai")).netloc
        path = Path(os.environ.get("NETRC") or home_folder() / ".netrc")
        check_regular(path, TEXT)  # a pipe would be waited for
        return host in netrc(str(path)).hosts
    except (OSError, ValueError, NetrcParseError):
        return False
