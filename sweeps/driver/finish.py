"""After the last trial: the winners' checkpoints, and what the confirmation and the baselines got on the test slides."""

from __future__ import annotations

import shlex
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from stclip.config import Experiment
from stclip.config.load import dump_yaml
from stclip.errors import InputError
from stclip.files.guarded_folder import copy_below, write_below
from stclip.train import CONFIG
from stclip.training.checkpoint_file import CHECKPOINT, is_whole
from sweeps.analysis.summary import BaselineFound
from sweeps.planning.plan import SweepPlan
from sweeps.results.folder import ResultsFolder
from sweeps.results.records import Chosen, TrialRecord, configuration_of, mean_metrics
from sweeps.results.slide_rows import SlideRow, model_rows
from sweeps.trial.checkpoints import is_checkpoint_of, newest_checkpoint

CCA, UNTRAINED = "cca", "untrained"


def keep_winners(plan: SweepPlan, folder: ResultsFolder, winners: Mapping[str, TrialRecord]) -> None:
    """Keep each family's best trial below best/<family>/: its configuration and its checkpoint.

    Raises InputError when no whole checkpoint of one is left.
    """
    for family, winner in winners.items():
        request = plan.request(winner, test=False)
        _keep_winner(folder, family, request.checkpoints, request.config())


def _keep_winner(folder: ResultsFolder, family: str, ray_dir: str, config: Experiment) -> None:
    best = folder.best_dir(family)
    kept = best / CHECKPOINT
    with tempfile.TemporaryDirectory(prefix="stclip-") as into:
        found = newest_checkpoint(ray_dir, config, Path(into))
        if found is not None:
            below = best.relative_to(folder.path).as_posix()
            copy_below(found, folder.path, f"{below}/{CHECKPOINT}")
            write_below(folder.path, f"{below}/{CONFIG}", dump_yaml(config))
            return
    if is_whole(kept) and is_checkpoint_of(kept, config):
        return
    settings = folder.trials_dir / config.name / CONFIG
    raise InputError(
        f"{ray_dir}: no readable checkpoint of {config.name}, the winner of {family}, is left (cut short or deleted); train it "
        f"again: python -m stclip.train experiment={shlex.quote(str(settings))} out={shlex.quote(str(best))}, then use --resume"
    )


def confirmed_rows(
    confirmed: Sequence[TrialRecord], chosen: Mapping[str, Sequence[Chosen]], donors: Mapping[str, str]
) -> list[SlideRow]:
    """What the confirmation's trials read on the test slides, family by family, best configuration first."""
    rows = []
    for family, configurations in chosen.items():
        for one in configurations:
            own = [r for r in confirmed if r.state == "COMPLETE" and configuration_of(r) == one.record.name]
            for r in sorted(own, key=lambda r: r.number):
                rows += model_rows(
                    "family",
                    family,
                    r.name,
                    r.number,
                    r.seed,
                    r.test_slides,
                    donors,
                    one.record.name,
                    one.weight,
                )
    return rows


@dataclass(frozen=True)
class Baselines:
    """`found`: name -> metrics; `rows`: their part of test_slides.csv."""

    found: dict[str, BaselineFound]
    rows: list[SlideRow]


def run_baselines(plan: SweepPlan, seeds: Sequence[int], donors: Mapping[str, str], test: bool) -> Baselines:
    """What a sweep has to beat, on what its first family reads: CCA in closed form, and the model as each of `seeds` starts it,
    without training. The test slides are read only with `test`."""
    from stclip.evaluation.yardsticks import cca_baseline, untrained

    config = next(iter(plan.middles().values()))
    key = plan.data_key(config)
    cca = cca_baseline(config, test, key)
    rows = model_rows("baseline", CCA, "", 0, None, cca.slides, donors)
    started = untrained(config, seeds, test, key)
    for replicate, (seed, found) in enumerate(zip(seeds, started, strict=True)):
        rows += model_rows("baseline", UNTRAINED, "", replicate, seed, found.slides, donors)
    val = mean_metrics([found.val for found in started])
    tested = mean_metrics([found.test for found in started])
    return Baselines(
        {CCA: BaselineFound(cca.val, cca.test, cca.params), UNTRAINED: BaselineFound(val, tested, {})}, rows
    )
