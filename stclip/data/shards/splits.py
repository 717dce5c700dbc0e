"""Which slides train, which validate, which test: three text files beside the slides, one slide id a line."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from stclip.data.shards.shards import slide_shards
from stclip.errors import DataError
from stclip.files.paths import plain_name
from stclip.files.whole_files import is_there, read_own_text, write_whole

SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class Splits:
    """Slide ids, in the order of the files; no slide is in two of them."""

    train: tuple[str, ...]
    val: tuple[str, ...]
    test: tuple[str, ...]


def split_file(dataset_dir: Path, split: str) -> Path:
    """Where the slide ids of a split are listed."""
    return dataset_dir / f"{split}_samples.txt"


def read_splits(dataset_dir: Path) -> Splits:
    """The three split files; blank lines and `#` comments are skipped.

    Raises DataError: a file is missing or names no slide, a slide stands twice, or has no shard on disk.
    """
    if not any(is_there(split_file(dataset_dir, name)) for name in SPLITS):
        raise DataError(
            f"{dataset_dir}: not a data set: train_samples.txt, val_samples.txt and test_samples.txt are not there; "
            "data/README.md shows how one is laid out"
        )
    splits = Splits(*(read_slides(dataset_dir, name) for name in SPLITS))
    _check_disjoint(splits, dataset_dir)
    for name in SPLITS:
        for slide in getattr(splits, name):
            try:
                slide_shards(dataset_dir, slide)
            except DataError as error:
                raise DataError(f"{split_file(dataset_dir, name)}: {error}") from None
    return splits


def write_splits(dataset_dir: Path, splits: Splits) -> None:
    """Write the three split files, each whole or not at all. Raises DataError when a slide stands twice."""
    _check_disjoint(splits, dataset_dir)
    for name in SPLITS:
        write_whole(split_file(dataset_dir, name), "".join(f"{slide}\n" for slide in getattr(splits, name)))


def read_slides(dataset_dir: Path, split: str) -> tuple[str, ...]:
    """The slide ids of one split file. Raises DataError: it is missing, no text, empty, or an id is no plain name."""
    path = split_file(dataset_dir, split)
    try:
        lines = read_own_text(path, "utf-8-sig").splitlines()
    except FileNotFoundError:
        raise DataError(f"{path}: no such file; write one slide id a line into it") from None
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(
            f"{path}: cannot be read as text ({error}); write one slide id a line into it"
        ) from None
    slides = entries(lines)
    if not slides:
        raise DataError(f"{path}: names no slide; write one slide id a line into it")
    for slide in slides:
        plain_name(slide, f"{path}: a slide id")
    return tuple(slides)


def entries(lines: Iterable[str]) -> list[str]:
    """What lines hold, without outer blanks, `#` comments and empty lines."""
    return [entry for line in lines if (entry := line.partition("#")[0].strip())]


def _check_disjoint(splits: Splits, dataset_dir: Path) -> None:
    first_in: dict[str, str] = {}
    for name in SPLITS:
        for slide in getattr(splits, name):
            if slide in first_in:
                where = (
                    f"in {first_in[slide]} and in {name}" if first_in[slide] != name else f"twice in {name}"
                )
                file = split_file(dataset_dir, name)
                raise DataError(f"{file}: slide '{slide}' stands {where}; leave it in one place only")
            first_in[slide] = name
