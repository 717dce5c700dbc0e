"""All slides of a source to one data set: several at a time, gone on with where it was cut off, one manifest."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from stclip.data.raw.convert import VERSION, ConversionSettings, SlideRecord, convert_slide, finished
from stclip.data.raw.slide import SlideFacts, Source
from stclip.data.raw.slide_pool import Failed, run_slides
from stclip.data.shards import write_manifest
from stclip.errors import DataError
from stclip.files.whole_files import write_whole

Progress = Callable[[int, int], None]  # spots done, spots in all
PANEL = "genes.txt"  # of a data set: the panel its sentences were written from, a symbol a line


@dataclass
class Converted:
    """How a conversion ended."""

    records: dict[str, SlideRecord] = field(default_factory=dict)  # of every slide that is there now
    kept: int = 0  # of them, those that were there already
    errors: dict[str, str] = field(default_factory=dict)  # slide -> why it could not be used


def survey(
    source: Source, slides: Sequence[str], species: str | None = None
) -> tuple[dict[str, SlideFacts], dict[str, str]]:
    """Facts of the slides that can be used, and slide -> what is wrong with another.

    Slides of another species than asked for are in neither.
    """
    facts: dict[str, SlideFacts] = {}
    errors: dict[str, str] = {}
    for slide in slides:
        try:
            found = source.facts(slide)
        except DataError as error:
            errors[slide] = str(error)
            continue
        if species is None or (found.species or species) == species:
            facts[slide] = replace(found, species=found.species or species)
    return facts, errors


def odd_sizes(facts: Mapping[str, SlideFacts]) -> dict[str, str]:
    """Slide -> what is wrong with it, for the slides whose tiles have another size than those of most."""
    if not facts:
        return {}
    usual = Counter(found.tile_side for found in facts.values()).most_common(1)[0][0]
    return {
        slide: f"slide '{slide}': its tiles are {found.tile_side} pixels a side, those of most slides {usual}; "
        "leave it out, or bring all to one size with --tile-size"
        for slide, found in facts.items()
        if found.tile_side != usual
    }


def convert(
    source: Source,
    facts: Mapping[str, SlideFacts],
    out: Path,
    settings: ConversionSettings,
    jobs: int,
    progress: Progress,
) -> Converted:
    """Write every slide of `facts` that is not there already, `jobs` at a time, then the manifest.

    A slide that cannot be used leaves no trace and does not keep the others from being written. Raises DataError when another
    conversion is writing there or the folder cannot be written to.
    """
    done = Converted()
    with _sole_writer(out):
        for slide in facts:
            there = finished(source, slide, facts[slide], out, settings)
            if there:
                done.records[slide] = there
        done.kept = len(done.records)
        waiting = [slide for slide in facts if slide not in done.records]
        total = sum(facts[slide].spots for slide in waiting)
        if waiting:
            tasks = {slide: (source, slide, facts[slide], out, settings) for slide in waiting}
            results = run_slides(convert_slide, tasks, jobs, lambda spots: progress(spots, total))
            for slide, result in results.items():
                if isinstance(result, Failed):
                    done.errors[slide] = result.why
                else:
                    done.records[slide] = result
        done.records = {slide: done.records[slide] for slide in facts if slide in done.records}
        if done.records:
            _write_index(out, done.records, settings)
    return done


@contextmanager
def _sole_writer(out: Path) -> Iterator[None]:
    from filelock import FileLock, Timeout

    try:
        out.mkdir(parents=True, exist_ok=True)
        lock = FileLock(out / ".conversion.lock", timeout=0)
        lock.acquire()
    except Timeout:
        raise DataError(
            f"{out}: another conversion is writing there; wait for it, or choose another --out"
        ) from None
    except OSError as error:
        raise DataError(
            f"{out}: cannot be written to ({error.strerror or error}); choose another --out"
        ) from None
    try:
        yield
    finally:
        lock.release()


def _write_index(out: Path, records: Mapping[str, SlideRecord], settings: ConversionSettings) -> None:
    """manifest.json and, with a panel, genes.txt."""
    panel = out / PANEL
    if settings.panel is None:
        panel.unlink(missing_ok=True)
    else:
        write_whole(panel, "".join(f"{gene}\n" for gene in settings.panel))
    columns = ("technology", "organ", "species", "study", "microns_per_pixel", "tile_microns", "image_size")
    known = {
        column: {s: record.facts[column] for s, record in records.items() if record.facts[column] is not None}
        for column in columns
    }
    left_out = {slide: record.near_empty for slide, record in records.items() if record.near_empty}
    told = {**asdict(settings), "panel": None if settings.panel is None else PANEL}
    extra = {
        "conversion": {"version": VERSION, **told, "near_empty": left_out},
        "donor": donor_names({slide: record.facts for slide, record in records.items()}),
        **{column: values for column, values in known.items() if values},
    }
    write_manifest(out, out.resolve().name, {slide: record.spots for slide, record in records.items()}, extra)


def donor_names(facts: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """Slide -> a name of its donor, equal names for equal donors.

    A patient is known by study and name, since another study has a 'Patient 1' too; the study is added to the name only where
    two have it. Slides of a study that names no patients count as of one donor, for want of anything finer; a slide of which
    neither is known is left out.
    """
    keys = {
        slide: (f["donor"] or f["patient"], None if f["donor"] else f["study"]) for slide, f in facts.items()
    }
    studies: dict[str | None, set[str | None]] = {}
    for name, study in keys.values():
        studies.setdefault(name, set()).add(study)

    def label(slide: str) -> str | None:
        name, study = keys[slide]
        if name is None:
            return study
        return name if len(studies[name]) == 1 or study is None else f"{name} ({study})"

    return {slide: named for slide in facts if (named := label(slide)) is not None}
