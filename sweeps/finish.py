"""After the search: the winners' checkpoints, their test metrics, and the baselines."""

from __future__ import annotations

import shlex
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from stclip.config import Experiment
from stclip.configio import dump_yaml
from stclip.data.store import SpotStore
from stclip.errors import InputError
from stclip.train import CHECKPOINT, CONFIG
from sweeps.checkpoints import copy_whole, is_checkpoint_of, is_whole, newest_checkpoint
from sweeps.plan import SweepPlan
from sweeps.records import TrialRecord, best_record
from sweeps.results import ResultsFolder


def test_winners(
    plan: SweepPlan, folder: ResultsFolder, records: Sequence[TrialRecord]
) -> dict[str, dict[str, float]]:
    """Keep each family's best trial below best/<family>/ and read the test slides with it, this once.

    Returns family -> test metrics by their logged names; a family without a winner is left out.
    """
    from stclip.evaluate import evaluate

    tests = {}
    for family in plan.space.families:
        winner = best_record(records, family, plan.space.metric, plan.space.mode)
        if winner is None:
            continue
        suggestion = {"family": family, "number": winner.number, "params": winner.params, "seed": winner.seed}
        request = plan.request(suggestion)
        checkpoint = _winner_checkpoint(folder, family, request.checkpoints, request.config())
        tests[family] = evaluate(request.config(), checkpoint, "test")
    return tests


def _winner_checkpoint(folder: ResultsFolder, family: str, ray_dir: str, config: Experiment) -> Path:
    """best/<family>/checkpoint.ckpt of this trial. Raises InputError when no whole checkpoint of it is left."""
    best = folder.best_dir(family)
    kept = best / CHECKPOINT
    with tempfile.TemporaryDirectory(prefix="stclip-") as into:
        found = newest_checkpoint(ray_dir, config, Path(into))
        if found is not None:
            best.mkdir(parents=True, exist_ok=True)
            copy_whole(found, kept)
            (best / CONFIG).write_text(dump_yaml(config), encoding="utf-8")
            return kept
    if is_whole(kept) and is_checkpoint_of(kept, config):
        return kept
    settings = folder.trials_dir / config.name / CONFIG
    raise InputError(
        f"{ray_dir}: no readable checkpoint of {config.name}, the winner of {family}, is left (cut short or deleted); train it "
        f"again: python -m stclip.train experiment={shlex.quote(str(settings))} out={shlex.quote(str(best))}, then use --resume"
    )


def run_baselines(plan: SweepPlan, store: SpotStore) -> Mapping[str, Mapping[str, Mapping[str, float]]]:
    """What a sweep has to beat: name -> split -> metrics. CCA reads the features the first family's image tower reads;
    towers trained on raw tiles are compared with CCA on the stain statistics."""
    from stclip.baselines import cca_baseline
    from stclip.model.features import frozen_features, scale_features
    from stclip.registry import FROZEN_FEATURES

    config = next(iter(plan.middles().values()))
    name = config.model.image.name if config.model.image.name in FROZEN_FEATURES else "stain"
    raw = frozen_features(store, name)
    features = scale_features(raw, store.slide_index, store.spots("train"), config.features.normalize)
    return {"cca": cca_baseline(store, features)}
