"""After the search: the winners' checkpoints, their test metrics, and the baselines."""

from __future__ import annotations

import shlex
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from stclip.configio import dump_yaml
from stclip.data.store import SpotStore
from stclip.errors import InputError
from stclip.train import CHECKPOINT, CONFIG
from sweeps.checkpoints import is_checkpoint_of, is_whole, newest_checkpoint
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
        config = plan.request(suggestion).config()
        checkpoint = _winner_checkpoint(folder, family, winner.name, dump_yaml(config))
        tests[family] = evaluate(config, checkpoint, "test")
    return tests


def _winner_checkpoint(folder: ResultsFolder, family: str, trial: str, config: str) -> Path:
    """best/<family>/checkpoint.ckpt of this trial. Raises InputError when no whole checkpoint of it is left."""
    found = newest_checkpoint(folder.ray_dir, trial)
    if found is not None:
        return _keep(folder, family, found, config)
    kept = folder.best_dir(family)
    if is_whole(kept / CHECKPOINT) and is_checkpoint_of(kept / CHECKPOINT, trial):
        return kept / CHECKPOINT
    settings = folder.trials_dir / trial / CONFIG
    raise InputError(
        f"{folder.ray_dir}: no readable checkpoint of {trial}, the winner of {family}, is left (cut short or deleted); train it "
        f"again: python -m stclip.train experiment={shlex.quote(str(settings))} out={shlex.quote(str(kept))}, then use --resume"
    )


def _keep(folder: ResultsFolder, family: str, checkpoint: Path, config: str) -> Path:
    """Checkpoint and configuration in best/<family>/, put there in one step each."""
    best = folder.best_dir(family)
    best.mkdir(parents=True, exist_ok=True)
    draft = best / f".{CHECKPOINT}.draft"
    shutil.copyfile(checkpoint, draft)
    draft.replace(best / CHECKPOINT)
    (best / CONFIG).write_text(config, encoding="utf-8")
    return best / CHECKPOINT


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
