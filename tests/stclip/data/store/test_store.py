"""The store: what it holds, and when it is built."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import FrozenInstanceError
from pathlib import Path

import numpy as np
import pytest
from filelock import FileLock, Timeout
from PIL import Image

from stclip.data.shards import write_slide
from stclip.data.shards.shards import Spot
from stclip.data.shards.splits import read_splits
from stclip.data.store import SpotStore, open_store
from stclip.data.store.neighbors import spot_neighbors
from stclip.errors import DataError
from tests.stclip.data.stores import config, left_behind, slide_spots

# What it holds


def test_arrays_equal_the_shards(tiny_dataset: Path) -> None:
    store = open_store(config(tiny_dataset))
    splits = read_splits(tiny_dataset)
    assert store.dataset_name == "tiny"
    assert store.slides == splits.train + splits.val + splits.test
    for place, slide in enumerate(store.slides):
        rows, spots = store.slide_rows(slide), slide_spots(tiny_dataset, slide)
        assert len(rows) == len(spots)
        np.testing.assert_array_equal(store.slide_index[rows], place)
        np.testing.assert_array_equal(store.tiles[rows], np.stack([s.tile for s in spots]))
        np.testing.assert_array_equal(store.xy[rows], [(s.x, s.y) for s in spots])
        assert store.keys[rows].tolist() == [s.spot for s in spots]
        sentences = [" ".join(store.vocabulary[g] for g in store.genes[row] if g >= 0) for row in rows]
        assert sentences == [s.sentence for s in spots]
    types = {name: getattr(store, name).dtype.name for name in ("tiles", "genes", "xy", "slide_index")}
    assert types == {"tiles": "uint8", "genes": "int32", "xy": "float64", "slide_index": "int32"}


def test_neighbours_are_rows_of_the_store(tiny_dataset: Path) -> None:
    store = open_store(config(tiny_dataset, num_neighbors=30))  # T1 has 20 spots: padded
    assert (store.neighbor_ids.dtype, store.neighbor_alphas.dtype) == (np.int32, np.float32)
    for slide in store.slides:
        rows = store.slide_rows(slide)
        ids, alphas = spot_neighbors(store.xy[rows], 30)
        np.testing.assert_array_equal(store.neighbor_ids[rows], np.where(ids >= 0, ids + rows[0], -1))
        np.testing.assert_array_equal(store.neighbor_alphas[rows], alphas)
    assert (store.neighbor_ids[store.slide_rows("T1")][:, 19:] == -1).all()


def test_splits_are_rows_slide_by_slide(tiny_dataset: Path) -> None:
    store = open_store(config(tiny_dataset))
    splits = read_splits(tiny_dataset)
    for split, slides in (("train", splits.train), ("val", splits.val), ("test", splits.test)):
        rows = store.spots(split)  # type: ignore[arg-type]
        assert rows.dtype == np.int64
        np.testing.assert_array_equal(rows, np.concatenate([store.slide_rows(s) for s in slides]))
    assert len(store.xy) == sum(len(store.spots(s)) for s in ("train", "val", "test"))
    with pytest.raises(DataError, match="unknown split 'valid'; did you mean 'val'"):
        store.spots("valid")  # type: ignore[arg-type]
    with pytest.raises(DataError, match="unknown slide 'T9'; did you mean"):
        store.slide_rows("T9")


def test_store_is_read_only(tiny_dataset: Path) -> None:
    store = open_store(config(tiny_dataset))
    assert isinstance(store.tiles, np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        store.tiles[0] = 0
    with pytest.raises(FrozenInstanceError):
        store.dataset_name = "other"  # type: ignore[misc]


def sentences_data(tiny_dataset: Path, of: dict[str, list[str]], max_genes: int = 3) -> SpotStore:
    """The tiny data set with the sentences of some slides replaced (the last one goes on for the rest)."""
    for slide, texts in of.items():
        spots = slide_spots(tiny_dataset, slide)
        texts = texts + texts[-1:] * (len(spots) - len(texts))
        new = [Spot(s.slide, s.spot, s.x, s.y, t, s.tile) for s, t in zip(spots, texts, strict=True)]
        write_slide(tiny_dataset, slide, new)
    return open_store(config(tiny_dataset, max_genes=max_genes))


def test_vocabulary_is_that_of_the_training_slides(tiny_dataset: Path) -> None:
    train = {slide: ["B A", "C"] for slide in ("T1", "T2", "T3", "T4")}
    store = sentences_data(tiny_dataset, {**train, "V1": ["NEW C OTHER A", "NEW", "A"], "E1": ["B"]})
    assert store.vocabulary == ("A", "B", "C")
    np.testing.assert_array_equal(store.genes[store.slide_rows("T1")][:2], [[1, 0, -1], [2, -1, -1]])
    # "A" is the fourth gene and max_genes is 3; "C" closes up to where "NEW" stood.
    np.testing.assert_array_equal(
        store.genes[store.slide_rows("V1")][:3], [[2, -1, -1], [-1, -1, -1], [0, -1, -1]]
    )
    assert (store.absent_genes, store.geneless_spots) == (3, 1)


def test_genes_keep_their_order_where_others_drop_out(tiny_dataset: Path) -> None:
    known = [f"GENE{g:02d}" for g in np.random.default_rng(0).permutation(24)]  # words of the training slides
    mixed = " ".join(word for gene in known for word in (gene, f"NEW-{gene}"))
    store = sentences_data(tiny_dataset, {"E1": [mixed]}, max_genes=48)
    genes = store.genes[store.slide_rows("E1")[0]]
    assert [store.vocabulary[g] for g in genes[:24]] == known
    assert (genes[24:] == -1).all()


def test_max_genes_cuts_the_sentence(tiny_dataset: Path) -> None:
    short, long = (open_store(config(tiny_dataset, max_genes=n)) for n in (4, 50))
    assert (short.genes.shape[1], long.genes.shape[1]) == (4, 12)  # 12 genes a sentence are there
    names = np.array(long.vocabulary)
    np.testing.assert_array_equal(np.array(short.vocabulary)[short.genes], names[long.genes[:, :4]])


def test_manifest_is_not_needed(tiny_dataset: Path) -> None:
    (tiny_dataset / "manifest.json").unlink()
    assert open_store(config(tiny_dataset)).dataset_name == "tiny"
    (tiny_dataset / "manifest.json").write_text('{"dataset": {"key": "published"}}')
    assert open_store(config(tiny_dataset)).dataset_name == "published"
    (tiny_dataset / "manifest.json").write_text("{")
    with pytest.raises(DataError, match=r"manifest.json: not valid JSON .*remove the file"):
        open_store(config(tiny_dataset))


@pytest.mark.parametrize(("size", "how"), [(8, Image.Resampling.BOX), (24, Image.Resampling.BILINEAR)])
def test_tiles_are_resized(tiny_dataset: Path, size: int, how: Image.Resampling) -> None:
    store = open_store(config(tiny_dataset, image_size=size))
    assert store.tiles.shape[1:] == (size, size, 3)
    tile = slide_spots(tiny_dataset, "T2")[5].tile
    expected = np.asarray(Image.fromarray(tile).resize((size, size), how))
    np.testing.assert_array_equal(store.tiles[store.slide_rows("T2")[5]], expected)


def test_tiles_of_many_sizes(tiny_dataset: Path) -> None:
    rng = np.random.default_rng(0)
    sides = [(16, 16), (40, 31), (5, 90), (1, 1)]
    tiles = [rng.integers(0, 256, (h, w, 3), dtype=np.uint8) for h, w in sides]
    write_slide(tiny_dataset, "T1", [Spot("T1", str(i), i, i, "GENE01", t) for i, t in enumerate(tiles)])
    store = open_store(config(tiny_dataset))
    np.testing.assert_array_equal(store.tiles[0], tiles[0])
    assert store.tiles[store.slide_rows("T1")].shape == (4, 16, 16, 3)


# When it is built


def test_waiting_for_another_process_that_builds_shows(tiny_dataset: Path) -> None:
    """What is told first is told before the lock is asked for, which may take minutes."""
    key = open_store(config(tiny_dataset)).path.name
    shutil.rmtree(tiny_dataset / ".store" / key)
    free = []

    def progress(done: int, total: int) -> None:
        try:
            with FileLock(tiny_dataset / ".store" / f"{key}.lock", timeout=0):
                free.append((done, total))
        except Timeout:
            pass

    store = open_store(config(tiny_dataset), progress)
    assert free == [(0, len(store.slides))]


def test_built_once_and_told_slide_by_slide(tiny_dataset: Path) -> None:
    calls: list[tuple[int, int]] = []
    first = open_store(config(tiny_dataset), lambda done, total: calls.append((done, total)))
    assert calls == [(done, 6) for done in range(7)]
    again = open_store(config(tiny_dataset), lambda done, total: calls.append((done, total)))
    assert len(calls) == 7
    assert first.path == again.path
    np.testing.assert_array_equal(first.tiles, again.tiles)


def test_settings_and_content_choose_the_store(tiny_dataset: Path) -> None:
    base = open_store(config(tiny_dataset)).path
    others = [
        config(tiny_dataset, image_size=8),
        config(tiny_dataset, max_genes=5),
        config(tiny_dataset, num_neighbors=4),
        config(tiny_dataset, on_bad_spot="skip"),
    ]
    assert len({base, *(open_store(c).path for c in others)}) == 5
    assert open_store(config(tiny_dataset, batch_size=7, batching="random")).path == base

    shard = tiny_dataset / "T1" / "T1_000000.tar"
    os.utime(shard, ns=(1, 1))
    touched = open_store(config(tiny_dataset)).path
    assert touched != base
    (tiny_dataset / "train_samples.txt").write_text("T1\nT2\n")
    (tiny_dataset / "val_samples.txt").write_text("V1\nT3\nT4\n")
    resplit = open_store(config(tiny_dataset))
    assert resplit.path not in (base, touched)
    assert resplit.slides == ("T1", "T2", "V1", "T3", "T4", "E1")


def test_only_one_builds_while_others_wait(tiny_dataset: Path) -> None:
    builds: list[int] = []

    def opened(_: int) -> Path:
        return open_store(config(tiny_dataset), lambda done, total: builds.append(done)).path

    with ThreadPoolExecutor(4) as pool:
        paths = set(pool.map(opened, range(4)))
    assert len(paths) == 1
    assert [done for done in builds if done] == list(range(1, 7))  # 0 is told by those that wait, too


def test_remains_of_a_killed_build_do_not_count(tiny_dataset: Path) -> None:
    path = open_store(config(tiny_dataset)).path
    partial = path.with_name(f"{path.name}.partial")
    path.rename(partial)
    (partial / "meta.json").write_text("{}")
    store = open_store(config(tiny_dataset))
    assert store.path == path
    assert not partial.exists()
    np.testing.assert_array_equal(store.tiles[0], slide_spots(tiny_dataset, "T1")[0].tile)


def test_build_that_is_killed_leaves_no_store(tiny_dataset: Path) -> None:
    code = (
        "import os, signal, sys\n"
        "from stclip.config import DataConfig\n"
        "from stclip.data.store import open_store\n"
        "kill = lambda done, total: done == 3 and os.kill(os.getpid(), signal.SIGKILL)\n"
        "open_store(DataConfig(dataset=sys.argv[1], image_size=16), kill)\n"
    )
    killed = subprocess.run([sys.executable, "-c", code, str(tiny_dataset)], check=False)
    assert killed.returncode == -9
    assert [Path(name).suffix for name in left_behind(tiny_dataset)] == [".partial"]
    store = open_store(config(tiny_dataset))
    assert len(store.tiles) == 170
    assert left_behind(tiny_dataset) == [store.path.name]


def test_data_set_that_cannot_be_written_to_uses_the_cache(
    tiny_dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STCLIP_CACHE", str(tmp_path / "cache"))
    (tiny_dataset / ".store").write_text("a file where the folder should be")
    store = open_store(config(tiny_dataset))
    assert store.path.parent == tmp_path / "cache"
    assert open_store(config(tiny_dataset)).path == store.path


def test_nowhere_to_write(tiny_dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("STCLIP_CACHE", str(tmp_path / "file" / "cache"))
    (tiny_dataset / ".store").write_text("")
    with pytest.raises(DataError, match=r"no permission to write the spot store: .*set STCLIP_CACHE"):
        open_store(config(tiny_dataset))


def test_damaged_store_says_what_to_delete(tiny_dataset: Path) -> None:
    path = open_store(config(tiny_dataset)).path
    (path / "genes.npy").write_bytes(b"nothing")
    with pytest.raises(DataError, match=rf"{path.name}: the spot store is damaged .*delete this folder"):
        open_store(config(tiny_dataset))


def test_opening_imports_nothing_heavy(tiny_dataset: Path) -> None:
    open_store(config(tiny_dataset))
    code = (
        "import sys\n"
        "from stclip.config import DataConfig\n"
        "from stclip.data.store import open_store\n"
        "open_store(DataConfig(dataset=sys.argv[1], image_size=16))\n"
        "print({'webdataset', 'scipy', 'torch', 'PIL'} & set(sys.modules))\n"
    )
    command = [sys.executable, "-c", code, str(tiny_dataset)]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip() == "set()"


def test_meta_is_plain_json(tiny_dataset: Path) -> None:
    store = open_store(config(tiny_dataset))
    assert json.loads((store.path / "meta.json").read_text())["slides"] == list(store.slides)
    suffixes = {p.suffix for p in store.path.iterdir()}
    assert suffixes == {".json", ".npy"}
