"""test_slides.csv: what every confirmed model, and every baseline, got on every test slide. All statistics come from it.

kind        family or baseline
who         the family's name; cca, untrained
name        the trial's name; empty for a baseline
replicate   0, 1, ...; equal ones of two families are a pair (the same training seed)
seed        of the training; empty for cca, which has none
slide, donor, spots, R@1, R@5, R@10, chance_R@1, chance_R@5, chance_R@10, median_rank
ring_R@1, ... ring_R@10, chance_ring_R@1, ... chance_ring_R@10: a neighbour counts as a hit. Empty for a model that was read
            by a version without them; a table of such a version has no such columns, and is read all the same
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Literal, cast

import numpy as np

from stclip.errors import InputError
from sweeps.results import write_atomic
from sweeps.words import RECALLS

Kind = Literal["family", "baseline"]
METRICS = (*RECALLS, *(f"chance_{name}" for name in RECALLS), "median_rank")
RINGS = tuple(f"{kind}{name}" for kind in ("ring_", "chance_ring_") for name in RECALLS)
COLUMNS = ("kind", "who", "name", "replicate", "seed", "slide", "donor", "spots", *METRICS, *RINGS)


@dataclass(frozen=True)
class SlideRow:
    """One model on one test slide; `metrics` has the names of `METRICS` and, where they are known, of `RINGS`."""

    kind: Kind
    who: str
    name: str
    replicate: int
    seed: int | None
    slide: str
    donor: str  # "" where donors are not known
    spots: int
    metrics: Mapping[str, float]


@dataclass(frozen=True)
class SlideValues:
    """One metric of one family or baseline: `values` [S replicates, L slides], and what its rows and columns are."""

    values: np.ndarray
    replicates: tuple[int, ...]
    slides: tuple[str, ...]


def model_rows(
    kind: Kind,
    who: str,
    name: str,
    replicate: int,
    seed: int | None,
    slides: Mapping[str, Mapping[str, float]],
    donors: Mapping[str, str],
) -> list[SlideRow]:
    """The rows of one model. `slides`: slide -> its metrics (see `stclip.retrieval.slide_metrics`)."""
    return [
        SlideRow(
            kind=kind,
            who=who,
            name=name,
            replicate=replicate,
            seed=seed,
            slide=slide,
            donor=donors.get(slide, ""),
            spots=int(found["spots"]),
            metrics=_metrics(found),
        )
        for slide, found in slides.items()
    ]


def write_slide_rows(path: Path, rows: Iterable[SlideRow]) -> None:
    """Replace the table."""
    out = StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    for row in rows:
        seed = "" if row.seed is None else row.seed
        facts = [row.kind, row.who, row.name, row.replicate, seed, row.slide, row.donor, row.spots]
        rings = (row.metrics.get(metric, "") for metric in RINGS)
        writer.writerow([*facts, *(row.metrics[metric] for metric in METRICS), *rings])
    write_atomic(path, out.getvalue())


def read_slide_rows(path: Path) -> list[SlideRow]:
    """The rows of a table; none when there is no such file. Raises InputError for a file that is no such table."""
    if not path.is_file():
        return []
    try:
        with path.open(newline="", encoding="utf-8") as file:
            return [_row(cells) for cells in csv.DictReader(file)]
    except (KeyError, TypeError, ValueError, OSError, csv.Error) as error:
        raise InputError(
            f"{path}: is not as a sweep writes it ({type(error).__name__}: {error}); write it again with --resume"
        ) from None


def _row(cells: Mapping[str, str]) -> SlideRow:
    if cells["kind"] not in ("family", "baseline"):
        raise ValueError(f"kind is family or baseline, got '{cells['kind']}'")
    return SlideRow(
        kind=cast(Kind, cells["kind"]),
        who=cells["who"],
        name=cells["name"],
        replicate=int(cells["replicate"]),
        seed=int(cells["seed"]) if cells["seed"] else None,
        slide=cells["slide"],
        donor=cells["donor"],
        spots=int(cells["spots"]),
        metrics=_metrics(cells),
    )


def _metrics(found: Mapping[str, float | str]) -> dict[str, float]:
    """As numbers. Raises KeyError for one of `METRICS` that is missing; `RINGS` may be."""
    known = {metric: float(found[metric]) for metric in METRICS}
    return known | {metric: float(found[metric]) for metric in RINGS if found.get(metric) not in (None, "")}


def slide_values(rows: Sequence[SlideRow], kind: Kind, who: str, metric: str) -> SlideValues:
    """A metric of a family or baseline: replicates by slides, in the order of the table.

    Raises ValueError when a cell is missing.
    """
    own = {(r.replicate, r.slide): r.metrics[metric] for r in rows if (r.kind, r.who) == (kind, who)}
    replicates = tuple(dict.fromkeys(replicate for replicate, _ in own))
    slides = tuple(dict.fromkeys(slide for _, slide in own))
    missing = [(r, slide) for r in replicates for slide in slides if (r, slide) not in own]
    if missing:
        raise ValueError(f"{who} has no {metric} of replicate {missing[0][0]} on slide {missing[0][1]}")
    values = np.array([[own[r, slide] for slide in slides] for r in replicates], dtype=np.float64)
    return SlideValues(values.reshape(len(replicates), len(slides)), replicates, slides)


def clusters_of(rows: Sequence[SlideRow], slides: Sequence[str]) -> np.ndarray:
    """int64 [L], what each slide counts as: slides of one donor are one cluster; without donors each is its own."""
    donors = {row.slide: row.donor or f"slide {row.slide}" for row in rows}
    names = [donors[slide] for slide in slides]
    order = {name: place for place, name in enumerate(dict.fromkeys(names))}
    return np.array([order[name] for name in names], dtype=np.int64)
