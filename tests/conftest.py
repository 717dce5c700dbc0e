"""Shared fixtures: tiny data sets made on the fly; which tests run together, and in what order."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from xdist.scheduler import LoadScopeScheduling

from stclip.data.shards import write_manifest, write_slide
from stclip.data.shards.splits import Splits, write_splits
from stclip.data.shards.spot import Spot

# Folders whose tests run in one process, since they share something that takes long to start. Elsewhere a file does.
SHARING = ("tests/whole_sweeps/cluster",)
LONGEST_FIRST = ("tests/whole_sweeps/cluster/", "tests/whole_sweeps/test_resumed.py", "tests/whole_sweeps/")

TINY_SLIDES = {"T1": 20, "T2": 24, "T3": 33, "T4": 40, "V1": 25, "E1": 28}  # spots of each
TINY_SPLITS = Splits(train=("T1", "T2", "T3", "T4"), val=("V1",), test=("E1",))
TILE = 16  # pixels
GENES = 24


def pytest_configure(config: pytest.Config) -> None:
    """Without a marker expression and without a place, the quick tests run: `pytest` alone is what everybody types."""
    if not config.option.markexpr and config.args_source is not pytest.Config.ArgsSource.ARGS:
        config.option.markexpr = "not slow"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest tests first, so that at the end no process waits long for another."""

    def rank(item: pytest.Item) -> int:
        found = (place for place, start in enumerate(LONGEST_FIRST) if item.nodeid.startswith(start))
        return next(found, len(LONGEST_FIRST))

    items.sort(key=rank)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling:
    """Which tests stay together when there are several processes; used instead of xdist's own `--dist`."""
    return _ByFile(config, log)


class _ByFile(LoadScopeScheduling):
    """As `--dist loadfile`, but the files of a folder in SHARING stay together too."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return next((folder for folder in SHARING if file.startswith(f"{folder}/")), file)


def tiny_spots(slide: str, count: int, seed: int) -> list[Spot]:
    """Spots on a square grid; one hidden number a spot moves its tile's colour and the order of its genes."""
    rng = np.random.default_rng(seed)
    side = int(np.ceil(np.sqrt(count)))
    hidden = rng.uniform(-1, 1, count)
    preference = np.linspace(-1, 1, GENES)
    spots = []
    for i, value in enumerate(hidden):
        level = np.array([150 + 80 * value, 120, 150 - 80 * value])
        tile = rng.normal(level, 15, (TILE, TILE, 3)).clip(0, 255).astype(np.uint8)
        expressed = np.argsort(-(3 * value * preference + rng.normal(0, 0.5, GENES)))[:12]
        sentence = " ".join(f"GENE{g:02d}" for g in expressed)
        spots.append(
            Spot(slide, f"{i // side}x{i % side}", 100.0 * (i % side), 100.0 * (i // side), sentence, tile)
        )
    return spots


@pytest.fixture
def tiny_dataset(tmp_path: Path) -> Path:
    """A shards_v1 data set `<tmp_path>/data/tiny`: 4 / 1 / 1 slides of 20 to 40 spots, tiles of 16 pixels."""
    return _write_tiny(tmp_path / "data" / "tiny")


@pytest.fixture(scope="session")
def shared_tiny_dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same data set, once for all tests that only read it."""
    return _write_tiny(tmp_path_factory.mktemp("shared") / "tiny")


def _write_tiny(folder: Path) -> Path:
    for seed, (slide, count) in enumerate(TINY_SLIDES.items()):
        write_slide(folder, slide, tiny_spots(slide, count, seed), spots_per_shard=16)
    write_splits(folder, TINY_SPLITS)
    write_manifest(folder, "tiny", TINY_SLIDES, {})
    return folder
