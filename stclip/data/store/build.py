"""From shards to the arrays of a SpotStore. Tiles pass through memory a few hundred at a time."""

from __future__ import annotations

import shutil
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from stclip.config import DataConfig
from stclip.data.shards import empty_slide, raw_spots
from stclip.data.shards.splits import SPLITS, Splits
from stclip.data.shards.spot import RawSpot, Spot, decode
from stclip.data.store.neighbors import spot_neighbors
from stclip.data.store.seal import META, sealed
from stclip.data.store.tile_size import resized
from stclip.errors import DataError
from stclip.processors import usable_processors

CHUNK = 32  # spots that one task of the thread pool decodes
CHUNK_BYTES = 8 * 2**20  # a chunk is full when it holds more; some twenty wait in memory


def build_store(
    path: Path, dataset: Path, splits: Splits, data: DataConfig, progress: Callable[[int, int], None]
) -> None:
    """Write the store's folder; it appears under its name when everything is in it. One builder at a time.

    Raises DataError for a spot or slide that cannot be used, OSError when writing fails.
    """
    partial = path.with_name(f"{path.name}.partial")  # a fixed name: what a killed build left is removed here
    shutil.rmtree(partial, ignore_errors=True)
    shutil.rmtree(path, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        _write_arrays(partial, dataset, splits, data, progress)
        partial.rename(path)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


@dataclass
class _Slide:
    """What is kept in memory of a slide's spots until the end: everything but the tiles."""

    keys: list[str] = field(default_factory=list)
    xy: list[tuple[float, float]] = field(default_factory=list)
    words: list[list[int]] = field(default_factory=list)
    skipped: int = 0


def _write_arrays(
    folder: Path, dataset: Path, splits: Splits, data: DataConfig, progress: Callable[[int, int], None]
) -> None:
    names = [slide for split in SPLITS for slide in getattr(splits, split)]
    word_ids: dict[str, int] = {}
    slides: list[_Slide] = []
    workers = min(8, usable_processors())
    with _TileFile(folder / "tiles.npy", data.image_size) as tiles, ThreadPoolExecutor(workers) as pool:
        for name in names:
            slides.append(_read_slide(dataset, name, data, pool, 2 * workers, tiles, word_ids))
            progress(len(slides), len(names))
    first_rows = np.concatenate([[0], np.cumsum([len(s.keys) for s in slides])])
    train_words = {word for slide in slides[: len(splits.train)] for spot in slide.words for word in spot}
    vocabulary = sorted(word for word, number in word_ids.items() if number in train_words)
    genes, absent = _gene_ids(slides, word_ids, vocabulary)
    arrays = _neighbor_arrays(slides, first_rows, data.num_neighbors)
    arrays["genes"] = genes
    arrays["xy"] = np.array([place for slide in slides for place in slide.xy], dtype=np.float64)
    arrays["slide_index"] = np.repeat(np.arange(len(slides), dtype=np.int32), np.diff(first_rows))
    arrays["keys"] = np.array([key for slide in slides for key in slide.keys])
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array, allow_pickle=False)
    meta: dict[str, Any] = {
        "slides": names,
        "vocabulary": vocabulary,
        "first_rows": first_rows.tolist(),
        "split_slides": {split: len(getattr(splits, split)) for split in SPLITS},
        "skipped": {name: slide.skipped for name, slide in zip(names, slides, strict=True) if slide.skipped},
        "absent_genes": absent,
        "geneless_spots": int((genes[:, 0] < 0).sum()),
    }
    (folder / META).write_text(sealed(meta, folder), encoding="utf-8")


def _read_slide(
    dataset: Path,
    name: str,
    data: DataConfig,
    pool: ThreadPoolExecutor,
    ahead: int,
    tiles: _TileFile,
    word_ids: dict[str, int],
) -> _Slide:
    slide = _Slide()

    def decode_chunk(chunk: list[RawSpot]) -> list[Spot | DataError]:
        return [_decode_sized(raw, data.image_size) for raw in chunk]

    for spots in _map_in_order(pool, decode_chunk, _chunks(raw_spots(dataset, name)), ahead):
        good = [spot for spot in spots if isinstance(spot, Spot)]
        for fault in spots:
            if isinstance(fault, DataError):
                if data.on_bad_spot == "error":
                    raise fault
                slide.skipped += 1
        for spot in good:
            slide.keys.append(spot.spot)
            slide.xy.append((spot.x, spot.y))
            genes = spot.sentence.split()[: data.max_genes]
            slide.words.append([word_ids.setdefault(gene, len(word_ids)) for gene in genes])
        tiles.append([spot.tile for spot in good])
    if not slide.keys:
        raise empty_slide(dataset, name, slide.skipped)
    return slide


def _decode_sized(raw: RawSpot, image_size: int) -> Spot | DataError:
    """A fault is returned, not raised: whether it ends the build is the caller's to say."""
    try:
        spot = decode(raw)
    except DataError as error:
        return error
    return replace(spot, tile=resized(spot.tile, image_size))


def _chunks(spots: Iterable[RawSpot]) -> Iterator[list[RawSpot]]:
    chunk: list[RawSpot] = []
    size = 0
    for spot in spots:
        chunk.append(spot)
        size += sum(map(len, spot.parts.values()))
        if len(chunk) == CHUNK or size > CHUNK_BYTES:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk


def _map_in_order(
    pool: ThreadPoolExecutor,
    work: Callable[[list[RawSpot]], list[Spot | DataError]],
    chunks: Iterable[list[RawSpot]],
    ahead: int,
) -> Iterator[list[Spot | DataError]]:
    """`pool.map` that reads only `ahead` chunks in advance. PIL lets other threads run while it decodes."""
    running: deque[Future[list[Spot | DataError]]] = deque()
    for chunk in chunks:
        running.append(pool.submit(work, chunk))
        if len(running) > ahead:
            yield running.popleft().result()
    while running:
        yield running.popleft().result()


def _gene_ids(
    slides: list[_Slide], word_ids: dict[str, int], vocabulary: list[str]
) -> tuple[np.ndarray, int]:
    """Gene ids int32 [N, T] without the words that the vocabulary does not have; how many these are."""
    sentences = [spot for slide in slides for spot in slide.words]
    words = np.full((len(sentences), max(map(len, sentences))), -1, dtype=np.int32)
    for row, sentence in enumerate(sentences):
        words[row, : len(sentence)] = sentence
    place = np.full(len(word_ids) + 1, -1, dtype=np.int32)  # the last entry answers for the padding -1
    place[[word_ids[gene] for gene in vocabulary]] = np.arange(len(vocabulary))
    genes = place[words]
    absent = int(((words >= 0) & (genes < 0)).sum())
    close_up = np.argsort(genes < 0, axis=1, kind="stable")
    return np.take_along_axis(genes, close_up, axis=1), absent


def _neighbor_arrays(slides: list[_Slide], first_rows: np.ndarray, k: int) -> dict[str, np.ndarray]:
    ids, alphas = [], []
    for slide, first in zip(slides, first_rows, strict=False):
        within, weights = spot_neighbors(np.array(slide.xy), k)
        ids.append(np.where(within >= 0, within + np.int32(first), np.int32(-1)))
        alphas.append(weights)
    return {"neighbor_ids": np.concatenate(ids), "neighbor_alphas": np.concatenate(alphas)}


class _TileFile:
    """A .npy file uint8 [N, S, S, 3] that grows: N is written into the header at the end."""

    def __init__(self, path: Path, size: int) -> None:
        self.size = size
        self.count = 0
        self._file = path.open("wb")
        self._data_start = self._write_header()

    def _write_header(self) -> int:
        about: dict[str, Any] = {
            "descr": "|u1",
            "fortran_order": False,
            "shape": (self.count, self.size, self.size, 3),
        }
        self._file.seek(0)
        np.lib.format.write_array_header_1_0(self._file, about)  # pads for a first axis of any length
        return self._file.tell()

    def append(self, tiles: list[np.ndarray]) -> None:
        for tile in tiles:
            self._file.write(np.ascontiguousarray(tile).data)
        self.count += len(tiles)

    def __enter__(self) -> _TileFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None and self._write_header() != self._data_start:
            raise AssertionError("the .npy header grew")
        self._file.close()
