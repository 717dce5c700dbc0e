"""One trial as the driver resolves it for a worker: plain data, which knows no plan and no space."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from stclip.config import Experiment
from stclip.configio import validate
from stclip.data.data_key import DataKey


@dataclass(frozen=True)
class TrialRequest:
    """What the search asks of one trial, and where its files go."""

    name: str  # spatial-0007
    experiment: dict[str, Any]  # a whole, validated Experiment as plain data
    folder: str  # or address; gets config.yaml, the loggers' files, and error.txt if it fails
    checkpoints: str  # the `ray/` of the results, where earlier runs of the sweep left this trial's
    known_epochs: int  # that earlier runs of the sweep have written down
    test: bool  # whether it reads the test slides when it is trained
    data_key: DataKey | None = None  # what the data must be; None: they are taken as they are

    def config(self) -> Experiment:
        """The typed configuration."""
        return validate(Experiment, self.experiment, f"trial {self.name}")
