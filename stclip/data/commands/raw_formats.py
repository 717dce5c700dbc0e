"""The formats that slides are brought in from, told apart by what lies in the folder."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from stclip.data.raw.conversion import donor_names, survey
from stclip.data.raw.convert import ConversionSettings, slide_sentences
from stclip.data.raw.hest import HestFolder
from stclip.data.raw.slide import Source
from stclip.data.raw.symbols import SymbolMap
from stclip.data.raw.visium import VisiumFolder
from stclip.data.splitting.duplicates import Section
from stclip.data.splitting.slide_table import SlideRow
from stclip.errors import DataError, InputError
from stclip.files.paths import is_folder


def is_raw(folder: Path) -> bool:
    """Whether slides can be brought in from the folder."""
    return _is_hest(folder) or _is_visium(folder)


def raw_source(
    folder: Path,
    layer: str | None = None,
    genome: str | None = None,
    bin_microns: int = VisiumFolder.bin_microns,
) -> Source:
    """The source that reads `folder`; exchanged coordinates are exchanged back.

    `layer` of .h5ad files holds the counts; of several genomes `genome` is taken, of Visium HD squares of
    `bin_microns`. Raises InputError when it is of no format.
    """
    if _is_hest(folder):
        return HestFolder(folder, swap_xy=True, layer=layer, genome=genome)
    if _is_visium(folder):
        if layer is not None:
            raise InputError(f"--layer {layer}: Space Ranger's matrices have no layers; leave it out")
        return VisiumFolder(folder, genome=genome, bin_microns=bin_microns)
    raise InputError(
        f"{folder}: no folder of slides: HEST-1k's layout has st and patches, Space Ranger's a folder a slide with outs/spatial; "
        "give the folder that holds them"
    )


def _is_hest(folder: Path) -> bool:
    return is_folder(folder / "st") or is_folder(folder / "patches")


def _is_visium(folder: Path) -> bool:
    try:
        return bool(VisiumFolder(folder).slides())
    except DataError:
        return False


def raw_slides(source: Source) -> tuple[list[SlideRow], list[str]]:
    """What the source knows of each of its slides, and a line for each one that cannot be used."""
    facts, errors = survey(source, source.slides())
    donors = donor_names({slide: asdict(found) for slide, found in facts.items()})
    rows = [
        SlideRow(slide, found.spots, donors.get(slide), found.technology) for slide, found in facts.items()
    ]
    return rows, list(errors.values())


def raw_section(source: Source, slide: str) -> Section:
    """Coordinates, sentences of all genes, and names of a slide. Raises DataError when it cannot be used."""
    with source.opened(slide) as raw:
        columns = SymbolMap.of(raw.genes, source.facts(slide).species, raw.where)
        sentences = slide_sentences(raw, columns, ConversionSettings())
        return Section(raw.xy, [" ".join(words) for _, block in sentences for words in block], raw.names)
