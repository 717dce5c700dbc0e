"""test_slides.csv: what every confirmed model, and every baseline, got on every test slide. All statistics come from it.

kind        family or baseline
who         the family's name; cca, untrained
name        the trial's name; empty for a baseline
configuration  the search's trial that was trained again; empty for a baseline
weight      of this configuration in its family's value; 1 for a baseline
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
from stclip.files.guarded_folder import write_below
from stclip.files.regular_files import read_text
from sweeps.results.folder import LARGEST
from sweeps.text import RECALLS

Kind = Literal["family", "baseline"]
METRICS = (*RECALLS, *(f"chance_{name}" for name in RECALLS), "median_rank")
FACTS = ("kind", "who", "name", "configuration", "weight", "replicate", "seed", "slide", "donor", "spots")
RINGS = tuple(f"{kind}{name}" for kind in ("ring_", "chance_ring_") for name in RECALLS)
COLUMNS = (*FACTS, *METRICS, *RINGS)


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
    configuration: str = ""
    weight: float = 1.0


@dataclass(frozen=True)
class SlideValues:
    """One metric of one family or baseline: `values` [M configurations, S replicates, L slides], NaN where a training is
    missing; `weights` [M] of the configurations; and what the axes are."""

    values: np.ndarray
    weights: np.ndarray
    configurations: tuple[str, ...]
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
    configuration: str = "",
    weight: float = 1.0,
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
            configuration=configuration,
            weight=weight,
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
        facts = [row.kind, row.who, row.name, row.configuration, row.weight]
        facts += [row.replicate, seed, row.slide, row.donor, row.spots]
        rings = (row.metrics.get(metric, "") for metric in RINGS)
        writer.writerow([*facts, *(row.metrics[metric] for metric in METRICS), *rings])
    write_below(path.parent, path.name, out.getvalue())


def read_slide_rows(path: Path) -> list[SlideRow]:
    """The rows of a table; none when there is no such file. Raises InputError for a file that is no such table."""
    try:
        table = StringIO(read_text(path, LARGEST), newline="")
        return [_row(cells) for cells in csv.DictReader(table)]
    except FileNotFoundError:
        return []
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
        # Tables of sweeps that confirmed their winners alone lack these.
        configuration=cells.get("configuration") or "",
        weight=float(cells.get("weight") or 1.0),
    )


def _metrics(found: Mapping[str, float | str]) -> dict[str, float]:
    """As numbers. Raises KeyError for one of `METRICS` that is missing; `RINGS` may be."""
    known = {metric: float(found[metric]) for metric in METRICS}
    return known | {metric: float(found[metric]) for metric in RINGS if found.get(metric) not in (None, "")}


def slide_values(rows: Sequence[SlideRow], kind: Kind, who: str, metric: str) -> SlideValues:
    """A metric of a family or baseline: configurations by replicates by slides, in the order of the table.

    Raises ValueError when a training lacks some of the slides.
    """
    own = [row for row in rows if (row.kind, row.who) == (kind, who)]
    weights = {row.configuration: row.weight for row in own}
    replicates = tuple(sorted({row.replicate for row in own}))
    slides = tuple(dict.fromkeys(row.slide for row in own))
    places = {name: place for place, name in enumerate(weights)}
    values = np.full((len(weights), len(replicates), len(slides)), np.nan)
    for row in own:
        at = places[row.configuration], replicates.index(row.replicate), slides.index(row.slide)
        values[at] = row.metrics[metric]
    partly = np.isnan(values).any(2) & ~np.isnan(values).all(2)
    if partly.any():
        c, r = np.argwhere(partly)[0]
        slide = slides[int(np.flatnonzero(np.isnan(values[c, r]))[0])]
        raise ValueError(f"{who} has no {metric} of replicate {replicates[r]} on slide {slide}")
    return SlideValues(values, np.array([*weights.values()]), tuple(weights), replicates, slides)


def clusters_of(rows: Sequence[SlideRow], slides: Sequence[str]) -> np.ndarray:
    """int64 [L], what each slide counts as: slides of one donor are one cluster; without donors each is its own."""
    donors = {row.slide: row.donor or f"slide {row.slide}" for row in rows}
    names = [donors[slide] for slide in slides]
    order = {name: place for place, name in enumerate(dict.fromkeys(names))}
    return np.array([order[name] for name in names], dtype=np.int64)
