"""What a trial reads: every spot of a data set as memory-mapped arrays, built once from the shards."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np

from stclip.config import DataConfig
from stclip.data.shards import read_manifest
from stclip.data.shards.splits import SPLITS, Splits, read_splits
from stclip.data.store.data_key import changed, files_of, key_of
from stclip.data.store.locate import dataset_dir
from stclip.data.store.seal import META, changed_files, read_array, read_meta
from stclip.errors import DataError, unknown_name
from stclip.files.paths import cache_dir

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class SpotStore:
    """N spots of all slides; a spot's id is its row. Rows lie slide by slide: train, then val, then test."""

    path: Path
    dataset_name: str
    slides: tuple[str, ...]
    vocabulary: tuple[str, ...]  # genes of the training slides' sentences, sorted; a gene id is a place in it
    tiles: np.ndarray = field(repr=False)  # uint8 [N, S, S, 3], RGB
    genes: np.ndarray = field(repr=False)  # int32 [N, T], most expressed first, padded with -1
    xy: np.ndarray = field(repr=False)  # float64 [N, 2], pixels
    slide_index: np.ndarray = field(repr=False)  # int32 [N], places in `slides`
    neighbor_ids: np.ndarray = field(repr=False)  # int32 [N, k], rows, nearest first, padded with -1
    neighbor_alphas: np.ndarray = field(repr=False)  # float32 [N, k], rows sum to 1 (0 where padded)
    first_rows: tuple[int, ...] = field(repr=False)  # of every slide, and N at the end
    split_slides: Mapping[str, int] = field(repr=False)  # slides of each split
    skipped: Mapping[str, int] = field(repr=False)  # bad spots that were left out, by slide
    absent_genes: int = 0  # words of val and test sentences that are outside the vocabulary
    geneless_spots: int = 0  # spots whose every gene is outside the vocabulary

    @property
    def keys(self) -> np.ndarray:
        """The spots' own names within their slides, unicode [N]; read when asked for."""
        try:
            return read_array(self.path / "keys.npy")
        except (OSError, ValueError) as error:
            raise _damaged(self.path, str(error)) from None

    def spots(self, split: Literal["train", "val", "test"]) -> np.ndarray:
        """The rows of a split, int64. Raises DataError for an unknown split."""
        if split not in SPLITS:
            raise DataError(unknown_name("split", split, SPLITS))
        first = sum(self.split_slides[name] for name in SPLITS[: SPLITS.index(split)])
        last = first + self.split_slides[split]
        return np.arange(self.first_rows[first], self.first_rows[last], dtype=np.int64)

    def slide_rows(self, slide: str) -> np.ndarray:
        """The rows of a slide, int64. Raises DataError for a slide that is not in the store."""
        if slide not in self.slides:
            raise DataError(unknown_name("slide", slide, self.slides))
        place = self.slides.index(slide)
        return np.arange(self.first_rows[place], self.first_rows[place + 1], dtype=np.int64)


def open_store(data: DataConfig, progress: Progress | None = None, expected: str | None = None) -> SpotStore:
    """The store of a data set; built on first use, beside the shards, by one process while others wait.

    The folder is `<data set>/.store/<key>`, or `<cache>/<key>` when the data set cannot be written to; the
    cache is `$STCLIP_CACHE`, else `~/.cache/stclip`. The key changes with the shards (size and time), the
    split files and every setting that the arrays depend on. `progress(slides done, slides)` follows a build.
    `expected`: the key it must have.
    Raises DataError: the data set is missing or cannot be used; nothing half-written is left. DataChangedError: its key is
    another than was expected, or was another after the store had been built.
    """
    dataset = dataset_dir(data)
    splits = read_splits(dataset)
    key = store_key(dataset, splits, data)
    if expected not in (None, key):
        raise changed(f"data set '{data.dataset}'", "shards, their times or the split files")
    name = _dataset_name(dataset)
    parents = (dataset / ".store", cache_dir())
    for parent in parents:
        if (parent / key / META).is_file():
            return _open(parent / key, name)
    parent = _writable(parents)
    _build_once(parent, key, dataset, splits, data, progress)
    return _open(parent / key, name)


def store_key(dataset: Path, splits: Splits, data: DataConfig) -> str:
    """A name for the content of a store: equal keys, equal arrays (see `stclip.data.store.data_key`)."""
    return key_of(files_of(dataset, splits), data)


def _build_once(
    parent: Path, key: str, dataset: Path, splits: Splits, data: DataConfig, progress: Progress | None
) -> None:
    from filelock import FileLock

    from stclip.data.store.build import build_store

    seen = progress or (lambda done, total: None)
    seen(0, sum(len(getattr(splits, split)) for split in SPLITS))  # another process may be at it for minutes
    try:
        with FileLock(parent / f"{key}.lock"):
            if not (parent / key / META).is_file():
                try:
                    build_store(parent / key, dataset, splits, data, seen)
                    _check_still(key, parent / key, dataset, data)
                except BaseException:
                    _leave_no_trace(parent, key)
                    raise
    except OSError as error:
        raise DataError(
            f"{parent}: the spot store cannot be written ({error.strerror or error}); "
            "make room there, or set STCLIP_CACHE to a folder with room"
        ) from None


def _check_still(key: str, path: Path, dataset: Path, data: DataConfig) -> None:
    """Raise DataError, and remove the store, when its shards changed while they were read: it may hold old and new ones."""
    if store_key(dataset, read_splits(dataset), data) != key:
        shutil.rmtree(path, ignore_errors=True)
        raise DataError(
            f"data set '{data.dataset}': shards or split files changed while the spot store was built from them; wait until "
            "they are complete, then try again"
        )


def _leave_no_trace(parent: Path, key: str) -> None:
    """After a build that failed: the lock goes while it is held, and the folder if that was all it had."""
    (parent / f"{key}.lock").unlink(missing_ok=True)
    with suppress(OSError):
        parent.rmdir()


def _writable(parents: tuple[Path, ...]) -> Path:
    """The first folder that a file can be made in; it is created where missing."""
    from tempfile import TemporaryFile

    for parent in parents:
        try:
            parent.mkdir(parents=True, exist_ok=True)
            with TemporaryFile(dir=parent):
                return parent
        except OSError:
            continue
    tried = " nor ".join(str(parent) for parent in parents)
    raise DataError(
        f"no permission to write the spot store: neither {tried}; set STCLIP_CACHE to a folder of yours"
    )


def _open(path: Path, dataset_name: str) -> SpotStore:
    try:
        meta = read_meta(path)
        arrays = {
            name: read_array(path / f"{name}.npy")
            for name in ("tiles", "genes", "xy", "slide_index", "neighbor_ids", "neighbor_alphas")
        }
        return SpotStore(
            path=path,
            dataset_name=dataset_name,
            slides=tuple(meta["slides"]),
            vocabulary=tuple(meta["vocabulary"]),
            first_rows=tuple(meta["first_rows"]),
            split_slides=meta["split_slides"],
            skipped=meta["skipped"],
            absent_genes=meta["absent_genes"],
            geneless_spots=meta["geneless_spots"],
            **arrays,
        )
    except (OSError, ValueError, EOFError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise _damaged(path, str(error)) from None


def check_content(store: SpotStore) -> None:
    """Raise DataError when an array of the store is not what was written, which its size alone does not tell.

    Reads every file once: done before a run, not by each of a sweep's trials.
    """
    try:
        changed = changed_files(store.path, read_meta(store.path)["files"])
    except (OSError, ValueError, TypeError) as error:
        raise _damaged(store.path, str(error)) from None
    if changed:
        raise _damaged(store.path, f"the content of {', '.join(changed)} has changed")


def _damaged(path: Path, what: str) -> DataError:
    return DataError(f"{path}: the spot store is damaged ({what}); delete this folder, it is built again")


def _dataset_name(dataset: Path) -> str:
    """`dataset.key` of the manifest; the folder's name where there is none."""
    about = read_manifest(dataset).get("dataset")
    key = about.get("key") if isinstance(about, dict) else None
    return key if isinstance(key, str) and key else dataset.resolve().name
