"""What the tests of the spot store share."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

from stclip.config import DataConfig
from stclip.data.shards import read_slide
from stclip.data.shards.shards import Spot


def config(folder: Path, image_size: int = 16, **more: object) -> DataConfig:
    return DataConfig.model_validate({"dataset": str(folder), "image_size": image_size, **more})


def slide_spots(folder: Path, slide: str) -> list[Spot]:
    return list(read_slide(folder, slide, on_bad_spot="error", skipped=[]))


def rewrite(folder: Path, slide: str, members: dict[str, bytes | None]) -> None:
    """Write a slide's first shard again with some members replaced, or left out where None."""
    path = folder / slide / f"{slide}_000000.tar"
    with tarfile.open(path) as tar:
        content = {m.name: tar.extractfile(m).read() for m in tar}  # type: ignore[union-attr]
    with tarfile.open(path, "w") as tar:
        for name, data in {**content, **members}.items():
            if data is not None:
                info = tarfile.TarInfo(name)
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))


def left_behind(folder: Path) -> list[str]:
    """What a failed build leaves, but for the lock (which says nothing)."""
    return [p.name for p in (folder / ".store").glob("*") if p.suffix != ".lock"]
