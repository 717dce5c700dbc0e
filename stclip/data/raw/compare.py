"""A converted slide against the lab's files: are its sentences and coordinates what these say?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from stclip.data.raw.convert import ConversionSettings, read_record, slide_sentences
from stclip.data.raw.slide import Source
from stclip.data.raw.symbols import SymbolMap
from stclip.data.shards import raw_spots
from stclip.data.shards.spot import decode_text
from stclip.errors import DataError

CLOSE = 1e-6  # pixels


@dataclass
class Compared:
    """What differs on one slide."""

    spots: int = 0  # in the shards
    sentences: list[str] = field(default_factory=list)  # spots whose sentence differs
    coordinates: list[str] = field(default_factory=list)  # spots that lie elsewhere
    missing: list[str] = field(default_factory=list)  # of the source, not in the shards
    strange: list[str] = field(default_factory=list)  # in the shards, not of the source

    @property
    def mismatches(self) -> int:
        """Spots that differ in anything."""
        return len({*self.sentences, *self.coordinates}) + len(self.missing) + len(self.strange)


def compare_slide(
    source: Source,
    slide: str,
    dataset_dir: Path,
    panel: tuple[str, ...] | None,
    tell: Callable[[int], None] = lambda spots: None,
) -> Compared:
    """Sentences and coordinates computed anew from the source, by the settings that conversion.json keeps.

    Raises DataError: the slide was not brought in by stclip, or its source cannot be used.
    """
    record = read_record(dataset_dir, slide)
    if record is None:
        raise DataError(
            f"slide '{slide}': was not brought in by stclip (no conversion.json): its settings are not known; leave out --against"
        )
    kept = record.settings
    settings = ConversionSettings(int(kept["top"]), int(kept["min_genes"]), kept["tile_size"], panel)
    there = {raw.spot: decode_text(raw) for raw in raw_spots(dataset_dir, slide)}
    found = Compared(spots=len(there))
    expected: set[str] = set()
    with source.opened(slide) as raw_slide:
        columns = SymbolMap.of(raw_slide.genes, record.facts["species"], raw_slide.where)
        for start, sentences in slide_sentences(raw_slide, columns, settings):
            for row, sentence in enumerate(sentences, start):
                if len(sentence) < settings.min_genes:
                    continue
                name = raw_slide.names[row]
                expected.add(name)
                if name not in there:
                    found.missing.append(name)
                    continue
                x, y, words = there[name]
                if words != " ".join(sentence):
                    found.sentences.append(name)
                if max(abs(x - raw_slide.xy[row, 0]), abs(y - raw_slide.xy[row, 1])) > CLOSE:
                    found.coordinates.append(name)
            tell(len(sentences))
    found.strange = sorted(there.keys() - expected)
    return found
