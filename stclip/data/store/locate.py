"""Where a data set lies on this machine."""

from __future__ import annotations

from difflib import get_close_matches
from pathlib import Path

from stclip.config import DataConfig
from stclip.data.store.fetch import fetched_dataset
from stclip.errors import DataError
from stclip.files.addresses import is_address
from stclip.files.paths import PROJECT_ROOT, is_file, is_folder, user_path

BUILTIN = "synthetic_medium"


def data_root(data: DataConfig) -> Path:
    """The folder that data sets are looked up in by name."""
    return user_path(data.root) if data.root is not None else PROJECT_ROOT / "data" / "processed"


def list_datasets(root: Path) -> list[str]:
    """Names of the folders below `root` that hold a split file, sorted."""
    return sorted(path.parent.name for path in root.glob("*/train_samples.txt"))


def dataset_dir(data: DataConfig) -> Path:
    """The folder of `data.dataset`: a name below the root, a path, or this node's copy of what is at an address.

    Raises DataError when it is missing: where it belongs, what is there instead, how to make it.
    """
    if is_address(data.dataset):
        return fetched_dataset(data.dataset)
    root = data_root(data)
    named, path = root / data.dataset, user_path(data.dataset)
    if data.dataset.strip(" ."):  # neither nothing nor the root itself
        if is_folder(named):
            return named
        if is_folder(path):
            return path
        for place in (named, path):
            if is_file(place):
                raise DataError(
                    f"data set {place}: is a file; give the folder that holds the slides and split files"
                )
    known = list_datasets(root)
    near = get_close_matches(data.dataset, known, n=1, cutoff=0.5)
    hint = f"; did you mean '{near[0]}'?" if near else ""
    there = ", ".join(known) or "none yet"
    place = path if path.is_absolute() else named
    raise DataError(
        f"data set '{data.dataset}' is not at {place}{hint} (data sets in {root}: {there}); "
        + _how_to_make(data.dataset)
    )


def _how_to_make(name: str) -> str:
    if name == BUILTIN:
        return "make it with: python -m stclip.data synthetic"
    return "put its shards and split files there, laid out as data/README.md says, or give its path"
