"""How long a data set's store takes to build and to open.

    python benchmarks/store.py [--data synthetic_medium] [--opens 20]

Builds the store of a copy of the data set, then opens it again and again, the first time in a fresh process. Opening
includes looking at every shard's size and time, which is how a change of the data is noticed.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from stclip.config import DataConfig
from stclip.data.store import open_store
from stclip.data.store.locate import dataset_dir

FRESH = """
import sys, time
from stclip.config import DataConfig
from stclip.data.store import open_store
start = time.perf_counter()
open_store(DataConfig(dataset=sys.argv[1]))
print(time.perf_counter() - start)
"""


def main() -> None:
    """Print seconds to build, milliseconds to open, and what the store takes on disk."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", default="synthetic_medium")
    parser.add_argument("--opens", type=int, default=20)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="st") as folder:
        copy = Path(folder) / "copy"
        shutil.copytree(
            dataset_dir(DataConfig(dataset=options.data)), copy, ignore=shutil.ignore_patterns(".store")
        )
        start = time.perf_counter()
        store = open_store(DataConfig(dataset=str(copy)))
        build = time.perf_counter() - start
        size = sum(file.stat().st_size for file in store.path.rglob("*") if file.is_file())
        fresh = subprocess.run(
            [sys.executable, "-c", FRESH, str(copy)], capture_output=True, text=True, check=True
        )
        opens = []
        for _ in range(options.opens):
            start = time.perf_counter()
            open_store(DataConfig(dataset=str(copy)))
            opens.append(time.perf_counter() - start)
    print(f"{len(store.tiles)} spots on {len(store.slides)} slides, {os.cpu_count()} processors")
    print(f"build {build:.2f} s, {size / 1e6:.0f} MB")
    print(f"open {1000 * statistics.median(opens):.1f} ms (median of {options.opens}), {1000 * float(fresh.stdout):.1f} ms "
          "in a fresh process")  # fmt: skip


if __name__ == "__main__":
    main()
