"""Bad data under the store: one line, and nothing half-written."""

from __future__ import annotations

from pathlib import Path

import pytest

from stclip.data.shards import write_slide
from stclip.data.store import open_store
from stclip.errors import DataError
from tests.stclip.data.stores import config, left_behind, rewrite, slide_spots


@pytest.mark.parametrize(
    ("members", "match"),
    [
        ({"V1_0x1.png": b"no picture"}, r"V1_000000\.tar: member 'V1_0x1\.png': broken PNG"),
        ({"V1_0x1.txt": None}, r"member 'V1_0x1\.txt': missing"),
        ({"V1_0x1.json": b"[]"}, r"member 'V1_0x1\.json': must be an object"),
        ({"V1_0x1.txt": b"  "}, "gene sentence is empty"),
    ],
)
def test_bad_spot(tiny_dataset: Path, members: dict[str, bytes | None], match: str) -> None:
    rewrite(tiny_dataset, "V1", members)
    with pytest.raises(DataError, match=match + ".*data.on_bad_spot: skip") as error:
        open_store(config(tiny_dataset))
    assert "\n" not in str(error.value)
    assert left_behind(tiny_dataset) == []

    store = open_store(config(tiny_dataset, on_bad_spot="skip"))
    assert dict(store.skipped) == {"V1": 1}
    assert "0x1" not in store.keys[store.slide_rows("V1")]
    assert len(store.slide_rows("V1")) == 24
    assert store.neighbor_ids.max() == 168


@pytest.mark.parametrize("policy", ["error", "skip"])
def test_truncated_tar(tiny_dataset: Path, policy: str) -> None:
    shard = tiny_dataset / "E1" / "E1_000001.tar"
    shard.write_bytes(shard.read_bytes()[:5000])
    with pytest.raises(DataError, match=r"E1_000001\.tar: the tar is truncated"):
        open_store(config(tiny_dataset, on_bad_spot=policy))
    assert left_behind(tiny_dataset) == []


@pytest.mark.parametrize("policy", ["error", "skip"])
def test_two_spots_with_one_key(tiny_dataset: Path, policy: str) -> None:
    first, second = (tiny_dataset / "T4" / f"T4_00000{i}.tar" for i in (0, 1))
    second.write_bytes(first.read_bytes())
    with pytest.raises(DataError, match=r"T4_000001\.tar: the key 'T4_0x0' is given twice"):
        open_store(config(tiny_dataset, on_bad_spot=policy))
    assert left_behind(tiny_dataset) == []


def test_empty_slide(tiny_dataset: Path) -> None:
    write_slide(tiny_dataset, "T3", [])
    with pytest.raises(DataError, match="T3: the slide is empty"):
        open_store(config(tiny_dataset))
    assert left_behind(tiny_dataset) == []


def test_slide_that_skipping_emptied(tiny_dataset: Path) -> None:
    write_slide(tiny_dataset, "T3", slide_spots(tiny_dataset, "T1")[:0])
    rewrite(tiny_dataset, "T3", {"T3_1.png": b"x", "T3_1.txt": b"G", "T3_1.json": b'{"x": 1, "y": 1}'})
    with pytest.raises(DataError, match="T3: the slide is empty: all of its 1 spots were skipped"):
        open_store(config(tiny_dataset, on_bad_spot="skip"))


def test_slide_of_one_spot_is_fine(tiny_dataset: Path) -> None:
    (only, *_) = slide_spots(tiny_dataset, "T1")
    write_slide(tiny_dataset, "T1", [only])
    store = open_store(config(tiny_dataset))
    assert (store.neighbor_ids[0] == -1).all()
    assert (store.neighbor_alphas[0] == 0).all()


def test_split_faults_come_before_any_build(tiny_dataset: Path) -> None:
    (tiny_dataset / "test_samples.txt").write_text("E1\nT1\n")
    with pytest.raises(DataError, match="'T1' stands in train and in test"):
        open_store(config(tiny_dataset))
    assert not (tiny_dataset / ".store").exists()
