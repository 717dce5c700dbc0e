"""Of what technology and organ each slide is, where manifest.json says so: `technology: {slide: name}`, `organ: {slide: name}`.

The converter of HEST-1k writes both, the others the technology. They are for description only, and manifests of other tools
may use the same words for something else: what is no such mapping, or no name, counts as not said.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from stclip.data.shards.shards import read_manifest
from stclip.errors import DataError

GROUPS = ("technology", "organ")


def read_groups(dataset_dir: Path) -> dict[str, dict[str, str]]:
    """Each of `GROUPS` -> slide -> name, for the slides of which it is said."""
    try:
        manifest = read_manifest(dataset_dir)
    except DataError:  # optional, and nothing of it is needed to train
        manifest = {}
    return {key: _names(manifest.get(key)) for key in GROUPS}


def _names(value: Any) -> dict[str, str]:
    if not isinstance(value, dict):
        return {}
    return {slide: name for slide, name in value.items() if isinstance(name, str) and name}
