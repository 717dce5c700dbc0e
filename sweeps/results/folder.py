"""A sweep's folder: what is written where, whole or not at all. (For results at an address: `sweeps.results.mirror`.)

sweep.yaml     everything resolved before the first trial (the keys are listed at `ResultsFolder.create`), sealed
runs/          one small file for each run of the driver (see `sweeps.results.run_log`)
driver.lock    held by the driver that works on the folder
trials.csv     a row per trial of the search
confirm.csv    a row per trial of the confirmation (see `sweeps.search.confirm_search`)
test_slides.csv  what every confirmed model and baseline got on every test slide (see `sweeps.results.slide_rows`)
test_reads.json  every reading of the test slides (see `sweeps.results.readings`)
retrieval.json   one model's ranks on the test slides, and examples with their tiles (see `sweeps.analysis.retrieval_examples`)
summary.json   the families' winners, the baselines and the verdict (see `sweeps.analysis.summary`)
report.md, report.html  written from the files above (see `sweeps.report`)
study.db       one Optuna study a family
best/<family>/ the winner's config.yaml and checkpoint
ray/0001/      Ray's own files of the first run, with the trials' newest checkpoints
"""

from __future__ import annotations

import csv
import json
import math
import os
import re
import shlex
import shutil
import uuid
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from stclip.errors import InputError
from stclip.files.guarded_folder import write_below
from stclip.files.paths import check_can_be_made
from stclip.files.regular_files import read_text
from sweeps.results.records import TrialRecord
from sweeps.results.sealed_yaml import read_unsealed, sealed_text
from sweeps.text import config_columns

RAY = "ray"
# Bytes; of a table or a JSON file of the results, which ten thousand trials do not reach.
LARGEST = 512 * 2**20
# Columns of trials.csv, and what they are called in a trial's `machine` (see `sweeps.trial.machine`).
OF_MACHINE = {"host": "host", "peak_memory_mb": "peak_memory_mb", "peak_device_memory_mb": "peak_device_memory_mb",
              "trained_parameters": "parameters"}  # fmt: skip


@dataclass(frozen=True)
class ResultsFolder:
    """The paths of one sweep's results, and what is written into its files (by `stclip.files.guarded_folder`)."""

    path: Path

    @property
    def sweep_yaml(self) -> Path:
        return self.path / "sweep.yaml"

    @property
    def trials_csv(self) -> Path:
        return self.path / "trials.csv"

    @property
    def confirm_csv(self) -> Path:
        return self.path / "confirm.csv"

    @property
    def test_slides_csv(self) -> Path:
        return self.path / "test_slides.csv"

    @property
    def test_reads_json(self) -> Path:
        return self.path / "test_reads.json"

    @property
    def retrieval_json(self) -> Path:
        return self.path / "retrieval.json"

    @property
    def summary_json(self) -> Path:
        return self.path / "summary.json"

    @property
    def report_md(self) -> Path:
        return self.path / "report.md"

    @property
    def report_html(self) -> Path:
        return self.path / "report.html"

    @property
    def study_db(self) -> Path:
        return self.path / "study.db"

    @property
    def ray_dir(self) -> Path:
        return self.path / RAY

    @property
    def runs_dir(self) -> Path:
        return self.path / "runs"

    @property
    def trials_dir(self) -> Path:
        return self.path / "trials"

    def best_dir(self, family: str) -> Path:
        """`best/<family>`. Raises InputError for a family that cannot be a folder's name."""
        if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.+-]*", family):
            raise InputError(
                f"family '{family}' cannot name a folder: use letters, digits, '_', '-', '+' and '.', "
                "starting with a letter, a digit or '_'"
            )
        return self.path / "best" / family

    def create(self, sweep: Mapping[str, Any]) -> None:
        """Make the folder with its sweep.yaml, in one step: either both are there afterwards, or neither.

        `sweep` is free in form; the report reads these keys and does without those that are missing: `name`,
        `command` and `started` (text), `seed`, `space` (a `SearchSpace`, or its mapping), `budget`,
        `data` (mapping: dataset, fingerprint, ...) and `versions` (mapping).

        Raises:
            InputError: the folder holds another sweep or other files, or the place cannot be written to.
        """
        self.check_free()
        final = self.path.resolve()
        draft = final.with_name(f".{final.name}.{uuid.uuid4().hex[:8]}")
        try:
            draft.mkdir(parents=True)
            (draft / "sweep.yaml").write_text(sealed_text(plain(sweep)), encoding="utf-8")
            # Refused by the system when `final` holds anything: two sweeps cannot both win.
            draft.replace(final)
        except OSError as error:
            self.check_free()
            raise self._not_writable(error.strerror or type(error).__name__) from None
        finally:
            with suppress(OSError):
                shutil.rmtree(draft)

    def check_free(self) -> None:
        """Raise InputError unless `create` can make the folder: it is absent or empty, its place writable."""
        try:
            self._check_free()
        except OSError as error:
            raise self._not_writable(error.strerror or type(error).__name__) from None

    def _check_free(self) -> None:
        way_out = "choose another name with --name, or another place with --results"
        if self.sweep_yaml.exists():
            state = "a sweep"
            if not self.is_complete():
                state = "an unfinished sweep"
                way_out = f"go on with it by: python sweeps/run.py --resume {shlex.quote(str(self.path))}, or {way_out}"
            raise InputError(f"results folder {self.path}: already holds {state}; {way_out}")
        if self.path.exists() and not self.path.is_dir():
            raise InputError(f"results folder {self.path}: is a file; {way_out}")
        if self.path.is_dir() and os.access(self.path, os.R_OK) and any(self.path.iterdir()):
            raise InputError(f"results folder {self.path}: is not empty and holds no sweep; {way_out}")
        check_can_be_made(self.path.parent)  # where `create` makes its draft

    def is_complete(self) -> bool:
        """Has the sweep run to the end of its budget, as its summary says?"""
        try:
            return self.read_summary().get("status") == "complete"
        except InputError:
            return False

    def _not_writable(self, reason: str) -> InputError:
        return InputError(
            f"results folder {self.path}: cannot be written ({reason}); "
            "choose a writable place with --results"
        )

    def write_sweep_yaml(self, sweep: Mapping[str, Any]) -> None:
        """Replace sweep.yaml (see `create`)."""
        write_below(self.path, self.sweep_yaml.name, sealed_text(plain(sweep)))

    def write_trials_csv(
        self, records: Sequence[TrialRecord], parameters: Sequence[str] = (), table: str = "trials.csv"
    ) -> None:
        """Replace trials.csv, or another table like it: a row per trial, in the order of family and number.

        Columns: family, trial, name, state, `config_<parameter>`, every metric by its logged name, epochs,
        seconds, seed, those of `OF_MACHINE`, error. `parameters` are dotted keys to give a column even before a trial has them.
        """
        write_below(self.path, table, _csv_text(records, parameters))

    def write_summary(self, summary: Mapping[str, Any]) -> None:
        """Replace summary.json (made by `sweeps.analysis.summary.build_summary`)."""
        write_below(
            self.path, self.summary_json.name, json.dumps(plain(summary), indent=2, allow_nan=False) + "\n"
        )

    def write_retrieval(self, found: Mapping[str, Any]) -> None:
        """Replace retrieval.json (made by `sweeps.analysis.retrieval_examples.retrieval_of`); empty where the test slides were
        not read."""
        write_below(self.path, self.retrieval_json.name, json.dumps(plain(found), allow_nan=False) + "\n")

    def write_report(self, markdown: str, page: str) -> None:
        """Replace report.md and report.html."""
        write_below(self.path, self.report_md.name, markdown)
        write_below(self.path, self.report_html.name, page)

    def read_sweep(self) -> dict[str, Any]:
        """What sweep.yaml holds, for a report. Raises InputError when the folder holds no sweep."""
        return read_unsealed(self.sweep_yaml)

    def read_summary(self) -> dict[str, Any]:
        """What summary.json holds. Raises InputError when it is missing or not JSON."""
        try:
            summary = json.loads(read_text(self.summary_json, LARGEST))
        except FileNotFoundError:
            raise InputError(f"{self.path}: no summary.json: the sweep has not got that far") from None
        except (OSError, ValueError, RecursionError) as error:
            raise InputError(f"{self.summary_json}: cannot be read: {error}") from None
        if not isinstance(summary, dict):
            raise InputError(f"{self.summary_json}: must be a mapping, got {type(summary).__name__}")
        return summary

    def read_trials(self) -> list[dict[str, str]]:
        """The rows of trials.csv as text; none when there is no such file. Raises InputError for one that is no table."""
        try:
            return list(csv.DictReader(StringIO(read_text(self.trials_csv, LARGEST), newline="")))
        except FileNotFoundError:
            return []
        except (OSError, ValueError, csv.Error) as error:
            raise InputError(
                f"{self.trials_csv}: cannot be read as a table ({error}); delete it, and --resume writes it again from study.db"
            ) from None

    def known_trials(self) -> set[str]:
        """The names of the trials of which the folder has traces beside study.db. Raises InputError for a broken trials.csv."""
        # Whole rows only: the last column is there.
        names = {
            row["name"] for row in self.read_trials() if row.get("error") is not None and row.get("name")
        }
        return names | {path.name for path in self.trials_dir.glob("*/") if not path.name.startswith(".")}


def _csv_text(records: Sequence[TrialRecord], parameters: Sequence[str]) -> str:
    columns = config_columns([*parameters, *(key for record in records for key in record.params)])
    metrics = sorted({name for record in records for name in record.metrics})
    out = StringIO()
    writer = csv.writer(out, lineterminator="\n")
    header = ["family", "trial", "name", "state", *columns.values(), *metrics]
    several = any(r.search > 1 for r in records)
    search = ["search"] if several else []
    writer.writerow([*header, "epochs", "seconds", "seed", *search, *OF_MACHINE, "error"])
    for r in sorted(records, key=lambda r: (r.family, r.search, r.number)):
        config = [_cell(r.params.get(key)) for key in columns]
        values = [_cell(r.metrics.get(name)) for name in metrics]
        tail = [
            r.epochs,
            f"{r.seconds:.3f}",
            r.seed,
            *([r.search] if several else []),
            *(_cell(r.machine.get(key)) for key in OF_MACHINE.values()),
        ]
        error = " ".join((r.error or "").split())
        writer.writerow([r.family, r.number, r.name, r.state, *config, *values, *tail, error])
    return out.getvalue()


def _cell(value: Any) -> Any:
    return (
        "" if value is None else json.dumps(plain(value)) if isinstance(value, list | tuple | dict) else value
    )


def plain(value: Any) -> Any:
    """`value` in the types that JSON and YAML share: paths become text, tuples lists, NaN None."""
    if isinstance(value, BaseModel):
        return plain(value.model_dump(mode="json"))
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(item) for item in value]
    if value is None or isinstance(value, bool | str):
        return value
    if hasattr(value, "item"):  # a number of numpy or torch
        return plain(value.item())
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    return str(value)
