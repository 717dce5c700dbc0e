"""Pictures to look a data set over by: a contact sheet of tiles, a map of the spots."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from stclip.data.store.tile_size import resized
from stclip.errors import DataError

TILE = 96  # pixels of a tile on the sheet
PER_ROW = 12  # tiles of a slide
LABEL = 150  # pixels left of a row
MAP = 320  # pixels a side of a slide's map
MAPS_PER_ROW = 4
GAP = 4
PAPER, INK, SPOT = (255, 255, 255), (30, 30, 30), (38, 98, 166)


def contact_sheet(tiles: Mapping[str, Sequence[np.ndarray]], path: Path) -> None:
    """A row of tiles (uint8 [H, W, 3], at most `PER_ROW` are shown) for each slide, with its name; a PNG.

    Raises DataError when it cannot be written.
    """
    width = LABEL + PER_ROW * (TILE + GAP)
    sheet = Image.new("RGB", (width, len(tiles) * (TILE + GAP) + GAP), PAPER)
    draw = ImageDraw.Draw(sheet)
    for row, (slide, shown) in enumerate(tiles.items()):
        top = GAP + row * (TILE + GAP)
        draw.text((GAP, top + TILE // 2 - 6), slide[:22], fill=INK)
        for column, tile in enumerate(shown[:PER_ROW]):
            sheet.paste(Image.fromarray(resized(tile, TILE)), (LABEL + column * (TILE + GAP), top))
    _save(sheet, path)


def spot_maps(places: Mapping[str, np.ndarray], path: Path) -> None:
    """Where the spots of each slide lie, from xy float [N, 2] in pixels, y downwards as in its image; a PNG.

    Raises DataError when it cannot be written.
    """
    rows = -(-len(places) // MAPS_PER_ROW)
    cell = MAP + 24
    columns = min(MAPS_PER_ROW, len(places))
    sheet = Image.new("RGB", (columns * cell, rows * cell), PAPER)
    draw = ImageDraw.Draw(sheet)
    for at, (slide, xy) in enumerate(places.items()):
        left, top = at % MAPS_PER_ROW * cell, at // MAPS_PER_ROW * cell
        draw.text((left + GAP, top + GAP), f"{slide[:30]} ({len(xy)})", fill=INK)
        low = xy.min(0)
        extent = float((xy.max(0) - low).max()) or 1.0
        radius = max(0.7, 0.3 * MAP / np.sqrt(len(xy)) / 1.5)
        for x, y in (xy - low) / extent * (MAP - 2 * radius - 8) + (radius + 4):
            draw.ellipse(
                (left + x - radius, top + 20 + y - radius, left + x + radius, top + 20 + y + radius),
                fill=SPOT,
            )
    _save(sheet, path)


def _save(sheet: Image.Image, path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        sheet.save(path, format="PNG")
    except OSError as error:
        raise DataError(
            f"{path}: cannot be written ({error.strerror or error}); choose another --out"
        ) from None
