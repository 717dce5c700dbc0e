"""A slide's full-resolution image: squares cut out of it without holding more than a band of it in memory, where that can be."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from stclip.data.raw.tiff_pixels import ALPHA, PREMULTIPLIED, TiffPixels, not_rgb, unreadable
from stclip.errors import DataError

TIFF = (".tif", ".tiff", ".btf", ".svs", ".qptiff")
OTHER = (".jpg", ".jpeg", ".png")
UNREAD = (".ndpi", ".scn", ".mrxs", ".czi", ".bif", ".vsi", ".dcm", ".jp2", ".zarr")  # scanners' own forms
AT_ONCE = 32  # squares cut from one band


class Pixels(Protocol):
    """Where the pixels of an image come from."""

    @property
    def width(self) -> int:
        """Pixels."""

    @property
    def height(self) -> int:
        """Pixels."""

    @property
    def alpha(self) -> int | None:
        """PREMULTIPLIED or ALPHA: what the fourth sample is."""

    def band(self, top: int, bottom: int, left: int, right: int) -> np.ndarray:
        """uint8 [bottom - top, right - left, 3 or 4]."""


class SlideImage:
    """An open image, RGB, 8 bits; where it is transparent it is white, as outside of it."""

    def __init__(self, path: Path, pixels: Pixels, where: str) -> None:
        self.path, self.width, self.height = path, pixels.width, pixels.height
        self._pixels, self._where = pixels, where

    @classmethod
    @contextmanager
    def opened(cls, path: Path, slide: str) -> Iterator[SlideImage]:
        """TIFF is read in bands (tifffile), JPEG and PNG whole (Pillow), when a square is first cut.

        Raises DataError: not an RGB image of 8 bits, or in a compression that cannot be read here.
        """
        where = f"slide '{slide}': {path}"
        if path.suffix.lower() in TIFF:
            with TiffPixels.opened(path, where) as pixels:
                yield cls(path, pixels, where)
        else:
            yield cls(path, _WholePixels(path, where), where)

    def band(self, top: int, bottom: int, left: int, right: int) -> np.ndarray:
        """uint8 [bottom - top, right - left, 3], all of it inside. Raises DataError when the image turns out to be damaged."""
        try:
            return on_white(self._pixels.band(top, bottom, left, right), self._pixels.alpha)
        except DataError:
            raise
        except Exception as error:  # each codec raises its own
            raise unreadable(self._where, error) from None

    def squares(self, corners: np.ndarray, side: int) -> Iterator[np.ndarray]:
        """uint8 [side, side, 3] with these top left corners, int64 [n, 2] as x, y; white where they leave the image.

        Fast when the corners are sorted by y. Raises DataError when the image turns out to be damaged.
        """
        for at in range(0, len(corners), AT_ONCE):
            some = corners[at : at + AT_ONCE]
            size = (self.width, self.height)
            left, top = np.clip(some.min(0), 0, size)
            right, bottom = np.maximum(np.minimum(some.max(0) + side, size), (left, top))
            band = self.band(int(top), int(bottom), int(left), int(right))
            for x, y in some:
                yield _square(band, int(x - left), int(y - top), side)


class _WholePixels:
    """A JPEG or PNG, decoded when pixels are first needed."""

    def __init__(self, path: Path, where: str) -> None:
        self._path, self._where = path, where
        with _pillow(path, where) as image:  # its header
            if image.mode not in ("RGB", "RGBA", "P", "PA"):
                raise DataError(f"{where}: {not_rgb(f'the mode {image.mode}')}")
            self.width, self.height = image.size
            clear = image.mode in ("RGBA", "PA") or "transparency" in image.info
        self.alpha = ALPHA if clear else None

    @cached_property
    def _values(self) -> np.ndarray:
        with _pillow(self._path, self._where) as image:
            return np.asarray(image.convert("RGB" if self.alpha is None else "RGBA"))

    def band(self, top: int, bottom: int, left: int, right: int) -> np.ndarray:
        return self._values[top:bottom, left:right]


def on_white(pixels: np.ndarray, alpha: int | None) -> np.ndarray:
    """uint8 [H, W, 3 or 4] as uint8 [H, W, 3], laid on white; `alpha` says what the fourth sample is, None: nothing."""
    colours = pixels[..., :3]
    if alpha is None:
        return colours
    share = pixels[..., 3:].astype(np.uint16)
    if alpha == PREMULTIPLIED:
        return np.minimum(colours + (255 - share), 255).astype(np.uint8)
    return ((colours * share + 255 * (255 - share) + 127) // 255).astype(np.uint8)


def find_image(folders: Sequence[Path], slide: str) -> Path:
    """The one image in the first of these folders that has any. Raises DataError: none, or several."""
    for folder in folders:
        found = sorted(
            path
            for path in folder.glob("*")
            if path.suffix.lower() in (*TIFF, *OTHER)
            and not path.name.startswith(".")  # `._slide.tif`: what macOS writes beside a file
            and path.is_file()
        )
        if len(found) == 1:
            return found[0]
        if found:
            raise DataError(
                f"slide '{slide}': {folder} holds {len(found)} images ({', '.join(path.name for path in found[:3])}); leave the "
                "full-resolution one there alone"
            )
    others = [
        path for folder in folders for path in sorted(folder.glob("*")) if path.suffix.lower() in UNREAD
    ]
    if others:
        raise DataError(
            f"slide '{slide}': {others[0]}: images of this form are not read; export it as TIFF in full resolution, as QuPath, "
            "bfconvert or vips do"
        )
    raise DataError(
        f"slide '{slide}': no full-resolution image in {folders[0]} ({', '.join((*TIFF, *OTHER))}); put the one there that Space "
        "Ranger was given"
    )


def _square(band: np.ndarray, x: int, y: int, side: int) -> np.ndarray:
    inside = band[max(y, 0) : max(y + side, 0), max(x, 0) : max(x + side, 0)]
    if inside.shape[:2] == (side, side):
        return np.ascontiguousarray(inside)
    square = np.full((side, side, 3), 255, np.uint8)
    top, left = max(-y, 0), max(-x, 0)
    square[top : top + inside.shape[0], left : left + inside.shape[1]] = inside
    return square


@contextmanager
def _pillow(path: Path, where: str) -> Iterator[Any]:
    from PIL import Image, UnidentifiedImageError

    most = Image.MAX_IMAGE_PIXELS
    Image.MAX_IMAGE_PIXELS = None  # a slide is larger than what Pillow takes for an attack
    try:
        with Image.open(path, formats=("JPEG", "PNG")) as image:
            yield image
    except (OSError, SyntaxError, UnidentifiedImageError) as error:
        raise unreadable(where, error) from None
    finally:
        Image.MAX_IMAGE_PIXELS = most
