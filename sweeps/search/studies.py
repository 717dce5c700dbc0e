"""One Optuna study a family, and what is random about it: its sampler and the seeds of its trials.

Nothing here carries state from one trial to the next, so that a resumed sweep draws what the unbroken one would have.
"""

from __future__ import annotations

import json

import optuna
from optuna.samplers import RandomSampler, TPESampler
from optuna.storages import BaseStorage

from stclip.errors import ConfigError
from sweeps.search.halving import halving_pruner
from sweeps.search.space import SearchSpace
from sweeps.seeds import derived_seed


def open_study(space: SearchSpace, family: str, name: str, storage: BaseStorage, seed: int) -> optuna.Study:
    """The family's study of this name in the storage, made when it is not there.

    A study of an older version, which knew no lag, goes on with the lag of `space`: its trials stay as they are.

    Raises ConfigError when it belongs to a sweep with another metric, mode, space, number of epochs, lag or seed.
    """
    study = optuna.create_study(
        study_name=name,
        storage=storage,
        sampler=RandomSampler(seed=seed),  # every trial has its parameters before it is asked for
        pruner=halving_pruner(space.early_stopping, space.lag),
        direction="maximize" if space.mode == "max" else "minimize",
        load_if_exists=True,
    )
    identity = {
        "metric": space.metric,
        "mode": space.mode,
        "epochs": space.epochs,
        "seed": seed,
        "early_stopping": space.early_stopping and space.early_stopping.model_dump(),
        "lag": space.lag,
        "parameters": {key: repr(d) for key, d in sorted(space.distributions(family).items())},
    }
    identity = json.loads(json.dumps(identity))
    written = study.user_attrs.get("sweep")
    held = identity if written is None else {"lag": space.lag, **written}
    if held != identity:
        key = next(key for key in identity if held.get(key) != identity[key])
        raise ConfigError(
            f"the study '{name}' of family '{family}' was started with {key} {held.get(key)}, "
            f"got {identity[key]}; keep space, epochs, lag and seed of the sweep, or use another --name"
        )
    if written != identity:
        study.set_user_attr("sweep", identity)
    return study


def sampler(seed: int, family: str, number: int) -> TPESampler:
    """TPE (Bergstra et al. 2011) for one trial; one that lived longer would carry random state."""
    return TPESampler(seed=derived_seed(seed, "tpe", family, number), n_startup_trials=0, constant_liar=True)


def training_seed(seed: int, number: int, search: int = 1) -> int:
    """The seed of a trial's training, in [0, 2³¹). By number and search only, which pairs the families' trials."""
    return derived_seed(seed, "train", number) if search == 1 else derived_seed(seed, "train", number, search)
