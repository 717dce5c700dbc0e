"""Where Space Ranger's slides lie below a folder, and what each is called."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from stclip.data.raw.visium_positions import PITCH

BINS = "binned_outputs"  # of Visium HD: the same tissue in squares of several sizes
_SQUARE = re.compile(r"^square_(\d{3})um$")


@dataclass(frozen=True)
class VisiumPlace:
    """The files of one slide."""

    outs: Path  # holds spatial and the counts
    images: tuple[Path, ...]  # folders that the full-resolution image is looked for in
    bin_microns: int | None = None  # of Visium HD: the side of a square
    wrong: str | None = None  # why it cannot be used

    @property
    def pitch(self) -> float:
        """µm from spot to spot."""
        return PITCH if self.bin_microns is None else float(self.bin_microns)


def visium_places(folder: Path, bin_microns: int) -> dict[str, VisiumPlace]:
    """Name -> slide: of the folder where it is one, else of its folders. Of Visium HD the squares of `bin_microns` are taken.

    A slide is called as the folder that holds its `outs`; one of Visium HD has its squares in its name, so that those of two
    slides, or two sizes of one, are never taken for the same.
    """
    found = dict(_slides_at(folder, _sample(folder.resolve()), bin_microns))
    if not found:
        for child in sorted(
            path for path in folder.glob("*") if path.is_dir() and not path.name.startswith(".")
        ):
            found |= dict(_slides_at(child, child.name, bin_microns))
    return found


def _slides_at(folder: Path, name: str, bin_microns: int) -> Iterator[tuple[str, VisiumPlace]]:
    square = _SQUARE.match(folder.resolve().name)
    if square and (folder / "spatial").is_dir():  # one size, given as such
        above = folder.resolve().parents[:3]
        sample = name if name == square[0] else f"{name}_{square[0]}"
        yield sample, VisiumPlace(folder, (folder, *above), int(square[1]))
        return
    for outs in (folder, folder / "outs"):
        bins = outs if outs.resolve().name == BINS else outs / BINS
        squares = {
            int(match[1]): path for path in bins.glob("square_*") if (match := _SQUARE.match(path.name))
        }
        squares = {size: path for size, path in squares.items() if (path / "spatial").is_dir()}
        if squares:
            size = bin_microns if bin_microns in squares or len(squares) > 1 else next(iter(squares))
            there = ", ".join(map(str, sorted(squares)))
            missing = f"{bins} has squares of {there} µm, none of {size}; choose one with --bin-microns"
            own = bins / f"square_{size:03}um"
            wrong = None if size in squares else missing
            yield f"{name}_{own.name}", VisiumPlace(own, _folders(outs), size, wrong)
            return
    for outs in (folder, folder / "outs"):
        if (outs / "spatial").is_dir():
            yield name, VisiumPlace(outs, _folders(outs))
            return


def _folders(outs: Path) -> tuple[Path, ...]:
    """The slide's own folder, then what Space Ranger wrote into."""
    if outs.resolve().name == BINS:
        outs = _above(outs)
    return (_above(outs), outs) if outs.resolve().name == "outs" else (outs, outs / "outs")


def _above(folder: Path) -> Path:
    """The folder above, written as the user wrote it where its name says where that is."""
    return folder.parent if folder.name not in ("", "..") else folder.resolve().parent


def _sample(folder: Path) -> str:
    """What the slide of a folder is called: the sample, where the folder has one of Space Ranger's own names."""
    while folder.name in ("outs", BINS) or _SQUARE.match(folder.name):
        folder = folder.parent
    return folder.name
