"""Built-in data sets: made-up slides of four technologies, written as shards_v1, read like any other."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from stclip.config import DataConfig
from stclip.data.builtin.tissue import (
    TECHNOLOGIES,
    Biology,
    Technology,
    draw_counts,
    gene_sentences,
    make_biology,
    make_tissue,
)
from stclip.data.shards.spot import Spot
from stclip.data.store.locate import data_root
from stclip.errors import DataError, unknown_name
from stclip.files.regular_files import read_text

if TYPE_CHECKING:
    from stclip.data.shards.splits import Splits

Progress = Callable[[int, int], None]  # steps done, steps in all
MADE_AT = 10**18  # nanoseconds; the time that the shards bear, wherever and whenever they are made
VERSION = 1  # of the generator: raised when the same spec gives other bytes
MICRONS_PER_PIXEL = 0.5  # of the coordinates x, y


@dataclass(frozen=True)
class SyntheticSpec:
    """What a made-up data set is made of; with `seed` it determines every byte."""

    about: str
    train: int  # slides
    val: int
    test: int
    spots: float = 1.0  # spots of a slide, as a multiple of what its technology has
    tile_size: int = 64  # pixels; a tile always shows the same area
    genes: int = 500
    sentence: int = 50  # genes of a sentence
    seed: int = 0

    @property
    def slides(self) -> int:
        """Number of slides in all."""
        return self.train + self.val + self.test


SYNTHETIC: dict[str, SyntheticSpec] = {
    "synthetic_medium": SyntheticSpec("50 made-up slides of four technologies, 4,000 spots", 35, 5, 10),
    "synthetic_small": SyntheticSpec("12 made-up slides, 500 spots, for smoke tests", 8, 2, 2, spots=0.5),
}


def slide_technology(number: int) -> Technology:
    """The technologies take turns, so that every split has all of them."""
    return TECHNOLOGIES[number % len(TECHNOLOGIES)]


def slide_id(number: int) -> str:
    """The name of slide `number` (from 0)."""
    return f"{slide_technology(number).code}{number:02d}"


def make_synthetic(folder: Path, spec: SyntheticSpec, progress: Progress | None = None) -> None:
    """Write a made-up data set into `folder` (made if missing): shards, split files, manifest.

    `progress(slides done, slides in all)` is called after every slide. Each slide depends on the seed and its
    number alone. About 2 ms a spot.
    """
    from stclip.data.shards import write_manifest, write_slide
    from stclip.data.shards.splits import write_splits

    folder.mkdir(parents=True, exist_ok=True)
    biology = spec_biology(spec)
    counted: dict[str, int] = {}
    for number in range(spec.slides):
        counted[slide_id(number)] = write_slide(folder, slide_id(number), slide_spots(spec, number, biology))
        if progress:
            progress(number + 1, spec.slides)
    write_splits(folder, spec_splits(spec))
    technologies = {slide_id(number): slide_technology(number).name for number in range(spec.slides)}
    made_from = {key: value for key, value in asdict(spec).items() if key != "about"}
    extra = {
        "synthetic": {"version": VERSION, **made_from},
        "technology": technologies,
        "microns_per_pixel": MICRONS_PER_PIXEL,
    }
    write_manifest(folder, folder.name, counted, extra)


def spec_splits(spec: SyntheticSpec) -> Splits:
    """The first slides are for training, then val, then test."""
    from stclip.data.shards.splits import Splits

    ids = tuple(slide_id(number) for number in range(spec.slides))
    val, test = spec.train, spec.train + spec.val
    return Splits(train=ids[:val], val=ids[val:test], test=ids[test:])


def spec_biology(spec: SyntheticSpec) -> Biology:
    """The gene programs that all slides of a spec share."""
    return make_biology(spec.genes, _generator(spec.seed, 0))


def slide_spots(spec: SyntheticSpec, number: int, biology: Biology) -> Iterator[Spot]:
    """The spots of slide `number`, in an order and with names that tell nothing about their contents."""
    from stclip.data.builtin.render import make_style, render_tiles

    rng = _generator(spec.seed, 1, number)
    technology = slide_technology(number)
    spots = max(2, round(technology.spots * spec.spots * np.exp(rng.uniform(-0.15, 0.15))))
    tissue = make_tissue(technology, spots, biology, rng)
    tiles = render_tiles(tissue, make_style(rng), spec.tile_size, rng)
    counts = draw_counts(tissue, number % len(TECHNOLOGIES), biology, rng)
    sentences = gene_sentences(counts, spec.sentence, rng)
    for spot, (tile, genes) in enumerate(zip(tiles, sentences, strict=True)):
        x, y = (round(float(at) / MICRONS_PER_PIXEL, 1) for at in tissue.positions[spot])
        sentence = " ".join(f"SYN{gene:04d}" for gene in genes)
        yield Spot(slide_id(number), f"{spot:04d}", x, y, sentence, tile)


def _generator(seed: int, *key: int) -> np.random.Generator:
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=key))


def builtin_spec(name: str) -> SyntheticSpec:
    """A built-in data set by name. Raises DataError that lists the names."""
    if name not in SYNTHETIC:
        raise DataError(unknown_name("built-in data set", name, SYNTHETIC))
    return SYNTHETIC[name]


def ensure_builtin(data: DataConfig, progress: Progress | None = None) -> Path:
    """The folder of `data.dataset`; a built-in data set that is not there yet is made first.

    Safe when several processes ask at once: one makes it, the others wait. The folder appears whole or not at
    all. A data set that is not built in is left to the reader. Raises DataError: no permission to write, or
    the folder holds a built-in data set of another version.
    """
    folder = data_root(data) / data.dataset
    if data.dataset not in SYNTHETIC:
        return folder
    if "\0" in str(folder):
        raise DataError(f"{folder}: a path cannot hold a NUL character; take it out of data.root")
    try:
        if not folder.exists():
            _make_once(folder, SYNTHETIC[data.dataset], progress)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise DataError(
            f"{folder}: cannot make the built-in data set: {reason}; choose another place with data.root"
        ) from None
    _check_version(folder)
    return folder


def _make_once(folder: Path, spec: SyntheticSpec, progress: Progress | None) -> None:
    from filelock import FileLock

    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.with_name(f".{folder.name}.lock")):
        if folder.exists():
            return
        # The manifest takes the folder's name.
        draft = folder.with_name(f".{folder.name}.partial") / folder.name
        shutil.rmtree(draft.parent, ignore_errors=True)
        try:
            make_synthetic(draft, spec, progress)
            for shard in draft.rglob("*.tar"):  # stores are known by these times: the same on all machines
                os.utime(shard, ns=(MADE_AT, MADE_AT))
            draft.rename(folder)
        finally:
            shutil.rmtree(draft.parent, ignore_errors=True)


def _check_version(folder: Path) -> None:
    try:
        manifest = json.loads(read_text(folder / "manifest.json"))
    except (OSError, ValueError, RecursionError):
        return  # the reader says what is wrong, or does without
    about = manifest.get("synthetic") if isinstance(manifest, dict) else None
    made = about.get("version") if isinstance(about, dict) else None
    if made not in (None, VERSION):
        raise DataError(
            f"{folder}: made by version {made} of the generator, this is version {VERSION}; "
            "delete the folder and it is made again"
        )
