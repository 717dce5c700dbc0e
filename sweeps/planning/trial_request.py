"""One trial as the driver resolves it for a worker: plain data, which knows no plan and no space."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from stclip.config import Experiment
from stclip.config.load import validate
from stclip.data.store.data_key import DataKey


@dataclass(frozen=True)
class TrialRequest:
    """What the search asks of one trial, and where its files go."""

    name: str  # spatial-0007
    params: dict[str, Any]  # the searched ones, by dotted key; for the trial's log
    experiment: dict[str, Any]  # a whole, validated Experiment as plain data
    folder: str  # or address; gets config.yaml, the loggers' files, and error.txt if it fails
    checkpoints: str  # the `ray/` of the results, where earlier runs of the sweep left this trial's
    known_epochs: int  # that earlier runs of the sweep have written down
    test: bool  # whether it reads the test slides when it is trained
    data_key: DataKey | None = None  # what the data must be; None: they are taken as they are

    def config(self) -> Experiment:
        """The typed configuration."""
        return validate(Experiment, self.experiment, f"trial {self.name}")

    def plain(self) -> dict[str, Any]:
        """As a mapping of plain values, which Tune carries to the worker."""
        return asdict(self)

    @classmethod
    def from_plain(cls, tree: Mapping[str, Any]) -> TrialRequest:
        """What `plain` made."""
        key = tree["data_key"]
        return cls(**{**tree, "data_key": None if key is None else DataKey(**key)})
