"""One slide of a lab's format to shards_v1: counts to gene sentences, tiles to PNG, a block of spots at a time."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np

from stclip.data.raw.expression import check_counts, gene_sentences
from stclip.data.raw.slide import RawSlide, SlideFacts, Source
from stclip.data.raw.symbols import SymbolMap
from stclip.data.shards import write_slide
from stclip.data.shards.shards import RECORD
from stclip.data.shards.spot import LARGEST_PLACE, Spot
from stclip.data.store.tile_size import resized
from stclip.errors import DataError
from stclip.files.regular_files import read_text

VERSION = 2  # of the conversion: raised when the same input and settings give other shards
BLOCK = 256  # spots in memory at once


@dataclass(frozen=True)
class ConversionSettings:
    """What shards depend on beside the source."""

    top: int = 50  # genes of a sentence
    min_genes: int = 10  # a spot that expresses fewer genes of the panel is left out
    tile_size: int | None = None  # pixels; None: as they are
    panel: tuple[str, ...] | None = None  # harmonised symbols; None: all genes


@dataclass
class SlideRecord:
    """What a conversion says of a slide; conversion.json."""

    key: str  # equal as long as source and settings are the same
    facts: dict[str, Any]
    spots: int = 0  # written
    near_empty: int = 0  # left out for want of expressed genes
    unmatched: int = 0  # with counts but no tile, or a tile but no counts
    genes: int = 0  # of the slide that are in the panel
    others: list[str] = field(default_factory=list)  # columns that stand for no gene
    joined: dict[str, list[str]] = field(default_factory=dict)  # symbol -> columns that were added up
    settings: dict[str, Any] = field(default_factory=dict)


def convert_slide(
    source: Source,
    slide: str,
    facts: SlideFacts,
    out: Path,
    settings: ConversionSettings,
    tell: Callable[[int], None] = lambda spots: None,
) -> SlideRecord:
    """Write a slide's shards and its conversion.json into `out`, whole or not at all; `tell` hears of every block of spots.

    Raises DataError, naming the slide, when it cannot be used; OSError when it cannot be written.
    """
    record = SlideRecord(record_key(source, slide, facts, settings), asdict(facts), settings=_told(settings))
    with source.opened(slide) as raw:
        _check_reachable(raw)
        spots = _spots(raw, slide, facts, settings, record, tell)
        write_slide(out, slide, spots, record=lambda: asdict(record))
    return record


def _check_reachable(raw: RawSlide) -> None:
    """Raise DataError for a place that no image has, and that no reader of the shards would take."""
    far = ~(np.abs(raw.xy) < LARGEST_PLACE).all(axis=1)
    if far.any():
        first = int(far.argmax())
        x, y = raw.xy[first]
        raise DataError(
            f"{raw.where}: spot '{raw.names[first]}' lies at ({x:g}, {y:g}), which no image reaches ({far.sum()} such); put the "
            "coordinates right, or leave the slide out"
        )


def record_key(source: Source, slide: str, facts: SlideFacts, settings: ConversionSettings) -> str:
    """A name for what the shards of a slide are made from; what is only kept in the manifest has no part in it."""
    content = [VERSION, facts.species, source.stamp(slide), asdict(settings)]
    return blake2b(json.dumps(content).encode(), digest_size=12).hexdigest()


def finished(
    source: Source, slide: str, facts: SlideFacts, out: Path, settings: ConversionSettings
) -> SlideRecord | None:
    """The record of a slide that is there already, made from the same source with the same settings; its facts are the given."""
    record = read_record(out, slide)
    if record is None or record.key != record_key(source, slide, facts, settings):
        return None
    return replace(record, facts=asdict(facts))


def read_record(out: Path, slide: str) -> SlideRecord | None:
    """conversion.json of a slide; None where there is none that can be read."""
    try:
        return SlideRecord(**json.loads(read_text(out / slide / RECORD)))
    except (OSError, ValueError, TypeError, RecursionError):
        return None


def slide_sentences(
    raw: RawSlide, columns: SymbolMap, settings: ConversionSettings
) -> Iterator[tuple[int, list[list[str]]]]:
    """The first spot of each block and the sentences of the block's spots.

    Raises DataError: counts that are none, all zero, or no gene of the panel.
    """
    places = columns.places(settings.panel, raw.where)
    symbols = [columns.symbols[place] for place in places]
    some = False
    for start in range(0, len(raw.names), BLOCK):
        stop = min(start + BLOCK, len(raw.names))
        counts = raw.counts(start, stop)
        check_counts(counts, raw.names[start:stop], raw.genes, raw.where, raw.way_out)
        some = some or counts.nnz > 0
        yield start, gene_sentences(columns.merge(counts)[:, places], symbols, settings.top)
    if not some:
        raise DataError(f"{raw.where}: all counts are zero; {raw.way_out}, or leave the slide out")


def _spots(
    raw: RawSlide,
    slide: str,
    facts: SlideFacts,
    settings: ConversionSettings,
    record: SlideRecord,
    tell: Callable[[int], None],
) -> Iterator[Spot]:
    columns = SymbolMap.of(raw.genes, facts.species, raw.where)
    record.genes = len(columns.places(settings.panel, raw.where))
    record.others, record.joined, record.unmatched = list(columns.others), columns.joined, raw.unmatched
    for start, sentences in slide_sentences(raw, columns, settings):
        least = settings.min_genes
        rows = [start + at for at, sentence in enumerate(sentences) if len(sentence) >= least]
        for row, tile in zip(rows, raw.tiles(rows), strict=True):
            x, y = map(float, raw.xy[row])
            sized = resized(tile, settings.tile_size or facts.tile_side)
            yield Spot(slide, raw.names[row], x, y, " ".join(sentences[row - start]), sized)
        record.spots += len(rows)
        record.near_empty += len(sentences) - len(rows)
        tell(len(sentences))
    if not record.spots:
        raise DataError(
            f"{raw.where}: none of its {len(raw.names)} spots expresses {settings.min_genes} genes of the panel; "
            "leave the slide out, or lower --min-genes"
        )


def _told(settings: ConversionSettings) -> dict[str, Any]:
    panel: Sequence[str] | None = settings.panel
    return {**asdict(settings), "panel": None if panel is None else len(panel)}
