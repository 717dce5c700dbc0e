"""One spot: what it holds, and how its three members (.png, .txt, .json) are decoded and checked."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from stclip.errors import DataError, shorten

TILES = ("png", "jpg", "jpeg")  # what a tile may be; PNG is taken where there are several
TEXTS = ("txt", "json")
# The most that is read of a member. Text takes up to thirty times its bytes once it is split or parsed.
MAX_BYTES = {**dict.fromkeys(TILES, 64 * 2**20), "txt": 4 * 2**20, "json": 2**20}
SEPARATORS = (",", ";", "|")  # of other tools' lists of genes; no symbol holds one
MAX_NAME = 200  # characters of a spot's name: the store gives every name the room of the longest
MAX_TILE_SIDE = 4096  # pixels
LARGEST_PLACE = 1e15  # pixels, in either direction; far from where floats leave out whole numbers
_SKIP_HINT = "put it right, or leave such spots out with data.on_bad_spot: skip"


@dataclass(frozen=True)
class Spot:
    """One spot of a slide."""

    slide: str
    spot: str  # unique within the slide
    x: float  # pixels
    y: float
    sentence: str  # genes, most expressed first, separated by one space
    tile: np.ndarray  # uint8 [H, W, 3], RGB


@dataclass(frozen=True)
class RawSpot:
    """The members of one spot as they lie in the shard; not checked yet."""

    slide: str
    key: str  # member name without folder and extension
    shard: Path
    parts: Mapping[str, bytes]  # by extension; a missing member is not there
    oversized: tuple[str, ...] = ()  # extensions of members that were not read because of their size

    @property
    def tile(self) -> str | None:
        """The extension of the member that is the tile; None where there is none."""
        return next((part for part in TILES if part in self.parts), None)

    @property
    def spot(self) -> str:
        """The key without the slide's own prefix."""
        return self.key.removeprefix(f"{self.slide}_")


def decode(raw: RawSpot) -> Spot:
    """The members of a spot as values, by type: PNG or JPEG to RGB, UTF-8 text, JSON. Nothing is ever unpickled.

    Raises DataError: one line with the shard, the member and what to do.
    """
    for part in raw.oversized:
        raise _bad(raw, part, f"larger than {MAX_BYTES[part] // 2**20} MB")
    if len(raw.key) > MAX_NAME or not raw.key.isprintable():
        raise _bad(raw, "*", f"a spot's name is printable and has at most {MAX_NAME} characters")
    tile = raw.tile
    if tile is None:
        raise _bad(raw, TILES[0], "missing, and no .jpg either")
    for part in TEXTS:
        if part not in raw.parts:
            raise _bad(raw, part, "missing")
    x, y = _decode_place(raw)
    return Spot(raw.slide, raw.spot, x, y, _decode_sentence(raw), _decode_tile(raw, tile))


def decode_text(raw: RawSpot) -> tuple[float, float, str]:
    """x, y and the gene sentence of a spot, its tile left alone. Raises DataError, as `decode` does."""
    for part in TEXTS:
        if part in raw.oversized:
            raise _bad(raw, part, f"larger than {MAX_BYTES[part] // 2**20} MB")
        if part not in raw.parts:
            raise _bad(raw, part, "missing")
    return (*_decode_place(raw), _decode_sentence(raw))


def _bad(raw: RawSpot, part: str, what: str) -> DataError:
    return DataError(f"{raw.shard}: member '{shorten(raw.key, MAX_NAME)}.{part}': {what}; {_SKIP_HINT}")


def _decode_place(raw: RawSpot) -> tuple[float, float]:
    try:
        tree = json.loads(raw.parts["json"])
    except (ValueError, RecursionError) as error:
        raise _bad(raw, "json", f"not valid JSON ({one_line(error)})") from None
    if not isinstance(tree, dict):
        raise _bad(raw, "json", f"must be an object with x and y, got {type(tree).__name__}")
    slide = tree.get("sample_id")
    if slide is not None and str(slide) not in (raw.slide, raw.key, raw.spot):
        raise _bad(
            raw, "json", f"sample_id must be the slide '{raw.slide}' or the spot's key, got {_short(slide)}"
        )
    return _coordinate(raw, tree, "x"), _coordinate(raw, tree, "y")


def _coordinate(raw: RawSpot, tree: dict[str, Any], axis: str) -> float:
    value = tree.get(axis)
    if (
        isinstance(value, int | float)
        and not isinstance(value, bool)
        and abs(value) < LARGEST_PLACE
        and math.isfinite(value)
    ):
        return float(value)
    got = _short(value) if axis in tree else "nothing"
    raise _bad(raw, "json", f"{axis} must be a finite number (pixels), got {got}")


def _decode_sentence(raw: RawSpot) -> str:
    try:
        genes = raw.parts["txt"].decode("utf-8-sig").split()
    except UnicodeDecodeError:
        raise _bad(raw, "txt", "the gene sentence is not UTF-8 text") from None
    if not genes:
        raise _bad(raw, "txt", "the gene sentence is empty")
    other = next((mark for mark in SEPARATORS if 2 * sum(mark in gene for gene in genes) >= len(genes)), None)
    if other is not None:
        raise _bad(
            raw, "txt", f"genes are separated by spaces, got '{other}' as in {_short(' '.join(genes[:3]))}"
        )
    return " ".join(genes)


def _decode_tile(raw: RawSpot, part: str) -> np.ndarray:
    from PIL import Image, UnidentifiedImageError
    from PIL.JpegImagePlugin import JpegImageFile

    data, form = raw.parts[part], "PNG" if part == "png" else "JPEG"
    try:
        # Pillow warns on stderr of a picture that is only large, and reads on; its header may also stand there twice.
        if data.startswith(b"\x89PNG\r\n\x1a\n"):
            _check_size(raw, part, (int.from_bytes(data[16:20]), int.from_bytes(data[20:24])))
        source = BytesIO(data)
        with Image.open(source, formats=("PNG",)) if form == "PNG" else JpegImageFile(source) as image:
            _check_size(raw, part, image.size)  # from the header: nothing is decoded yet
            if image.mode.startswith("I"):  # 16-bit grey: convert() would clip everything to white
                grey = (np.asarray(image) >> 8).astype(np.uint8)
                return np.repeat(grey[:, :, None], 3, axis=2)
            if (
                image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info
            ):  # laid on white, as glass is
                clear = image.convert("RGBA")
                white = Image.new("RGBA", clear.size, "white")
                return np.array(Image.alpha_composite(white, clear).convert("RGB"))
            return np.array(image.convert("RGB"))
    except DataError:
        raise
    except UnidentifiedImageError:
        raise _bad(raw, part, f"broken {form} (not an image in {form} format)") from None
    except (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError) as error:
        raise _bad(raw, part, f"broken {form} ({one_line(error)})") from None


def _check_size(raw: RawSpot, part: str, size: tuple[int, int]) -> None:
    if max(size) > MAX_TILE_SIDE:
        raise _bad(raw, part, f"a tile's side is at most {MAX_TILE_SIDE} pixels, got {size}")


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def one_line(error: Exception) -> str:
    """An exception's message on one short line."""
    return _short(" ".join(str(error).split()) or type(error).__name__)
