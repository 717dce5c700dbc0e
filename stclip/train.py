"""One training run: `fit(config) -> FitResult`, and `python -m stclip.train experiment=NAME key=value ...`."""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout

from stclip.config import Experiment
from stclip.config.load import dump_yaml, load_experiment
from stclip.data.store.data_key import DataKey
from stclip.errors import ConfigError, InputError
from stclip.evaluation.evaluate import by_slide
from stclip.files.guarded_folder import check_no_links, write_below
from stclip.files.paths import PROJECT_ROOT, check_can_be_made, is_file, user_path
from stclip.terminal.output import run_command
from stclip.terminal.strict_warnings import warnings_stay_warnings
from stclip.training.checkpoint_file import CHECKPOINT, read_checkpoint
from stclip.training.launchers import forget_launchers, is_launched, launching
from stclip.training.metrics_csv import keep_epochs

if TYPE_CHECKING:
    from lightning.pytorch.strategies import Strategy

CONFIG = "config.yaml"
LOCK = ".lock"  # while `python -m stclip.train` works on the folder
METRICS = "metrics.json"

USAGE = """\
usage: python -m stclip.train experiment=NAME [key=value ...]

Trains one configuration without any search and reports its test metrics.

  experiment=NAME   a file of configs/experiment/ (without .yaml), or a path to one
  out=DIR           where config.yaml, checkpoint.ckpt, metrics.json go (default: results/train/NAME)
  key=value         any key of the configuration, dotted; values are YAML

examples:
  python -m stclip.train experiment=medium_spatial data.dataset=synthetic_medium trainer.max_epochs=2
  python -m stclip.train experiment=sweep_base loss.name=spatial loss.neighbor_alpha_scale=0.3
  python -m stclip.train experiment=sweep_base model.image.name=cnn out=results/cnn
"""


@dataclass
class FitResult:
    """What a run leaves behind.

    `metrics`: the last epoch's values by their logged names (`train/…`, `val/…`, and `test/…` when tested).
    `seconds`: wall time of each stage. `checkpoint`: the last epoch's, when an output folder was given.
    `test_slides`: when tested, slide id -> its metrics (see `stclip.evaluation.evaluate.Evaluation`).
    """

    metrics: dict[str, float]
    seconds: dict[str, float] = field(default_factory=dict)
    checkpoint: Path | None = None
    test_slides: dict[str, dict[str, float]] = field(default_factory=dict)


class StageClock:
    """Adds up wall time by stage name."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Count the block's wall time under `name`."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start


def fit(
    config: Experiment,
    out_dir: Path | None = None,
    *,
    callbacks: Sequence[Any] = (),
    resume_from: Path | None = None,
    progress: bool = False,
    test: bool = False,
    save: bool = True,
    strategy: Strategy | str = "auto",
    plugins: Sequence[Any] = (),
    data_key: DataKey | None = None,
) -> FitResult:
    """Train one configuration; validate after every epoch.

    Args:
        config: the whole experiment.
        out_dir: gets config.yaml, the loggers' files, checkpoint.ckpt and metrics.json; nothing is written without it. The
            folder that it lies in is there already: of a sweep that was moved away nothing is made again in the old place.
        callbacks: further Lightning callbacks; they see the newest metrics in `module.metrics`.
        resume_from: a checkpoint of the same configuration to go on from.
        progress: show Lightning's progress bar.
        test: read the test slides at the end. Leave it off while anything is still being chosen.
        save: write checkpoint.ckpt and metrics.json at the end; a sweep's callback saves on its own.
        strategy, plugins: Lightning's, for a process that others have put into a process group: each process calls
            `fit` with the same configuration, and its environment plugin says which rank it is. Left as they are,
            Lightning starts a process for each of `trainer.devices` itself.
        data_key: what the data must be, for a run that is to be compared with others; None takes them as they are.

    What launchers left in the environment (Slurm's, torchrun's, …) is then removed from it: it decides nothing.

    Only the process of rank 0 writes files. The metrics are the same in all of them: what is trained on is shared
    out, what is evaluated is the whole split in each.

    Raises:
        DataError: the data set cannot be used, or is not the expected one.
        InputError: `resume_from` is no checkpoint of this configuration.
        FloatingPointError: the loss became NaN or infinite.
        LinkError: `out_dir` holds a link (see `stclip.files.guarded_folder`).
    """
    import torch

    alone = strategy == "auto" and not plugins
    if alone:
        forget_launchers()
    clock = StageClock()
    with clock.stage("import"):
        import lightning.pytorch as pl
        from lightning.pytorch.plugins.environments import LightningEnvironment
        from lightning.pytorch.utilities import rank_zero_only

        from stclip.data.batches.datamodule import SpotDataModule
        from stclip.losses.gather import rank
        from stclip.training.callbacks import CarryModelFacts, quiet_lightning
        from stclip.training.loggers import build_loggers, close_loggers
    if config.trainer.threads:
        torch.set_num_threads(config.trainer.threads)
    quiet_lightning()
    done = _epochs_of(resume_from) if resume_from else 0
    with clock.stage("data"):
        data = SpotDataModule(config, data_key)
        store = data.opened()
    # A process group that is there knows the rank; before Lightning makes one, its environment does.
    if out_dir is not None and rank() == 0 and getattr(rank_zero_only, "rank", 0) == 0:
        out_dir.mkdir(exist_ok=True)
        check_no_links(out_dir)  # the loggers' own writers follow them
        write_below(out_dir, CONFIG, dump_yaml(config))
        # The logger appends to what is there.
        keep_epochs(out_dir / "metrics.csv", done)
    with clock.stage("model"):
        from stclip.training.module import SpatialClipModule

        module = SpatialClipModule(config, data.input_dim, len(store.vocabulary))
        facts = CarryModelFacts(config, data)
        trainer = pl.Trainer(
            max_epochs=config.trainer.max_epochs,
            accelerator=config.trainer.accelerator,
            devices=config.trainer.devices,
            strategy=strategy,
            plugins=[LightningEnvironment()] if alone else list(plugins),  # else it looks for a launcher
            precision=config.trainer.precision,
            gradient_clip_val=config.optimizer.gradient_clip,
            logger=build_loggers(config.trainer.loggers, out_dir, config.name)
            if out_dir is not None
            else False,
            callbacks=[facts, *callbacks],
            default_root_dir=out_dir,
            # Saved by whoever needs it: at the end here, by a callback in a sweep.
            enable_checkpointing=any(isinstance(c, pl.callbacks.Checkpoint) for c in callbacks),
            enable_progress_bar=progress,
            enable_model_summary=False,
            num_sanity_val_steps=0,
            log_every_n_steps=1_000_000,  # everything is logged by epoch
            use_distributed_sampler=False,  # the batch samplers slice by rank themselves
            inference_mode=True,
        )
    status, slides = "failed", {}
    try:
        with clock.stage("train"), launching(), facts.restoring(resume_from):
            trainer.fit(module, datamodule=data, ckpt_path=resume_from, weights_only=True)
        if test:
            with clock.stage("test"):
                trainer.test(module, datamodule=data, verbose=False, weights_only=True)
            slides = by_slide(module.slides, store)
        metrics = dict(module.metrics)
        status = "success"
    finally:
        close_loggers(trainer.loggers, status)
    checkpoint = None
    if out_dir is not None and save:
        checkpoint = out_dir / CHECKPOINT
        # With the optimizer; left out, Lightning says so.
        trainer.save_checkpoint(checkpoint, weights_only=False)
        if trainer.is_global_zero:
            write_below(out_dir, METRICS, json.dumps(metrics, indent=2, sort_keys=True) + "\n")
    return FitResult(metrics, clock.seconds, checkpoint, slides)


def _epochs_of(checkpoint: Path) -> int:
    from stclip.training.checkpoint_content import progress_of

    return progress_of(read_checkpoint(checkpoint, weights=False), checkpoint).epochs


def parse_arguments(arguments: Sequence[str]) -> tuple[Experiment, Path]:
    """`experiment=NAME out=DIR a.b=c ...` -> the configuration and the output folder. Raises ConfigError."""
    chosen: dict[str, str] = {}
    overrides = []
    for argument in arguments:
        key, equals, value = argument.partition("=")
        if not equals:
            raise ConfigError(
                f"arguments look like key=value, got '{argument}'; see python -m stclip.train --help"
            )
        if key in ("experiment", "out"):
            if key in chosen:
                raise ConfigError(f"{key}= is given twice: '{chosen[key]}' and '{value}'")
            chosen[key] = value
        else:
            overrides.append(argument)
    if "experiment" not in chosen:
        names = sorted(p.stem for p in (PROJECT_ROOT / "configs" / "experiment").glob("*.yaml"))
        raise ConfigError(f"experiment=NAME is missing; known experiments: {', '.join(names)}")
    config = load_experiment(chosen["experiment"], overrides)
    return config, _out_dir(chosen.get("out"), config.name)


def _out_dir(given: str | None, name: str) -> Path:
    """Where a run's files go. Raises ConfigError for a place that cannot take them, InputError where a sweep lives."""
    if given == "":
        raise ConfigError("out= is empty; name a folder, or leave it out for results/train/NAME")
    if given is None and not (re.fullmatch(r"[\w.+-]{1,100}", name) and name.strip(".")):
        raise ConfigError(f"name '{name}' cannot name a folder below results/train; give out=DIR")
    folder = user_path(given) if given else PROJECT_ROOT / "results" / "train" / name
    way_out = "give another folder with out=DIR"
    if is_file(folder / "sweep.yaml"):
        raise InputError(f"out folder {folder}: holds a sweep; {way_out}")
    try:
        check_can_be_made(folder)
    except OSError as error:
        raise InputError(
            f"out folder {folder}: cannot be written ({error.strerror or type(error).__name__}); {way_out}"
        ) from None
    return folder


@contextmanager
def _sole_writer(folder: Path) -> Iterator[None]:
    """Hold a run's folder: a launcher may start this command several times, and each would write all files.

    Raises InputError when another process has it.
    """
    if is_launched():
        yield
        return
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / LOCK, timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise InputError(
            f"out folder {folder}: another process trains into it; start one process only (trainer.devices=N starts the others "
            "of a training), or give another folder with out=DIR"
        ) from None
    except NotImplementedError:  # the file system has no locks
        pass
    try:
        yield
    finally:
        lock.release()
        (folder / LOCK).unlink(missing_ok=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status: 0 trained, 2 bad input (one line on stderr)."""
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    if not arguments or "-h" in arguments or "--help" in arguments:
        print(USAGE)
        return 0 if arguments else 2
    forget_launchers()
    warnings_stay_warnings()
    try:
        config, out_dir = parse_arguments(arguments)
        from stclip.training.loggers import check_loggers
        from stclip.training.prepare import check_hardware, check_installation, prepare_data, skipped_note

        check_installation()
        check_hardware(config)
        check_loggers(config.trainer.loggers)
        if note := skipped_note(prepare_data(config)):
            print(f"data {config.data.dataset}: {note}")
        with _sole_writer(out_dir):
            result = fit(config, out_dir, progress=sys.stdout.isatty(), test=True)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    from lightning.pytorch.utilities import rank_zero_only

    from stclip.training.result_table import print_result

    rank_zero_only(print_result)(
        config, result.metrics, result.seconds, f"{out_dir}/ ({CONFIG}, {CHECKPOINT}, {METRICS})"
    )
    return 0


if __name__ == "__main__":
    run_command(main)
