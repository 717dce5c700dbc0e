"""Where a data set lies, and what is said when it is not there."""

from __future__ import annotations

from pathlib import Path

import pytest

from stclip.config import DataConfig
from stclip.data.store.locate import dataset_dir, list_datasets
from stclip.errors import DataError


def test_found_by_name_and_by_path(tiny_dataset: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tiny_dataset.parent
    assert dataset_dir(DataConfig(dataset="tiny", root=root)) == tiny_dataset
    assert dataset_dir(DataConfig(dataset=str(tiny_dataset))) == tiny_dataset
    monkeypatch.chdir(root)
    assert dataset_dir(DataConfig(dataset="./tiny")).resolve() == tiny_dataset
    assert list_datasets(root) == ["tiny"]
    assert list_datasets(root / "nowhere") == []


@pytest.mark.parametrize(
    ("name", "match"),
    [
        (
            "tny",
            r"data set 'tny' is not at .*/data/tny; did you mean 'tiny'\? \(data sets in .*/data: tiny\)",
        ),
        ("hest_v1_human_medium", r"laid out as data/README\.md says"),
        ("synthetic_medium", r"make it with: python -m stclip\.data synthetic"),
        ("/no/such/place", "is not at /no/such/place"),
        ("", "data set '' is not at"),
    ],
)
def test_missing_data_set(tiny_dataset: Path, name: str, match: str) -> None:
    with pytest.raises(DataError, match=match) as error:
        dataset_dir(DataConfig(dataset=name, root=tiny_dataset.parent))
    assert "\n" not in str(error.value)


def test_no_data_sets_yet(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="none yet"):
        dataset_dir(DataConfig(dataset="mine", root=tmp_path / "processed"))
