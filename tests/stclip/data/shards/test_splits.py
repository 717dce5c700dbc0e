"""Split files: read, written, and refused."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from stclip.data.shards.splits import Splits, read_splits, write_splits
from stclip.errors import DataError


def test_round_trip(tiny_dataset: Path) -> None:
    splits = read_splits(tiny_dataset)
    assert splits == Splits(("T1", "T2", "T3", "T4"), ("V1",), ("E1",))
    write_splits(tiny_dataset, splits)
    assert read_splits(tiny_dataset) == splits
    assert not list(tiny_dataset.glob(".*samples*"))


def test_comments_and_blank_lines(tiny_dataset: Path) -> None:
    text = "\ufeff# donors 1 to 3\r\n\r\nT2  # the dark one\r\n  T1\r\n"
    (tiny_dataset / "train_samples.txt").write_bytes(text.encode())
    assert read_splits(tiny_dataset).train == ("T2", "T1")


@pytest.mark.parametrize(
    ("val", "match"),
    [
        (None, "val_samples.txt: no such file"),
        ("", "val_samples.txt: names no slide"),
        ("# nothing yet\n\n", "val_samples.txt: names no slide"),
        ("V1\nV1\n", "slide 'V1' stands twice in val"),
        ("V1\nT3\n", "slide 'T3' stands in train and in val"),
        ("V1\nGONE\n", "val_samples.txt: .*GONE: no such folder.*'GONE'"),
        ("V1\nHOLLOW\n", "val_samples.txt: .*HOLLOW: no .tar file in this folder"),
        ("../tiny/V1\n", "val_samples.txt: a slide id must be a plain name"),
        ("..\n", "val_samples.txt: a slide id must be a plain name"),
        ("V\xe9".encode("latin-1"), "val_samples.txt: cannot be read as text"),
    ],
)
def test_faults_name_the_file(tiny_dataset: Path, val: str | bytes | None, match: str) -> None:
    (tiny_dataset / "HOLLOW").mkdir()
    path = tiny_dataset / "val_samples.txt"
    if val is None:
        path.unlink()
    else:
        path.write_bytes(val.encode() if isinstance(val, str) else val)
    with pytest.raises(DataError, match=match) as error:
        read_splits(tiny_dataset)
    assert "\n" not in str(error.value)


def test_folder_that_went_away(tiny_dataset: Path) -> None:
    shutil.rmtree(tiny_dataset / "E1")
    with pytest.raises(DataError, match=r"test_samples\.txt: .*E1: no such folder"):
        read_splits(tiny_dataset)


def test_write_refuses_overlap(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="'A' stands in train and in test"):
        write_splits(tmp_path, Splits(("A",), ("B",), ("A",)))
    assert not list(tmp_path.iterdir())
