"""A slide's full-resolution image: squares cut out of it without holding more than a band of it in memory, where that can be."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from stclip.errors import DataError
from stclip.extras import extra

TIFF = (".tif", ".tiff", ".btf")
OTHER = (".jpg", ".jpeg", ".png")
AT_ONCE = 32  # squares cut from one band


class SlideImage:
    """An open image, RGB, 8 bits."""

    def __init__(self, path: Path, width: int, height: int, read: Callable[[], Any]) -> None:
        """`read` is called when pixels are first needed: uint8 [height, width, 3 or 4], an array or what is read by slices."""
        self.path, self.width, self.height = path, width, height
        self._read = read

    @classmethod
    @contextmanager
    def opened(cls, path: Path, slide: str) -> Iterator[SlideImage]:
        """TIFF is read in bands (tifffile, zarr), JPEG and PNG whole (Pillow), when a square is first cut.

        Raises DataError: not an RGB image of 8 bits.
        """
        where = f"slide '{slide}': {path}"
        if path.suffix.lower() not in TIFF:
            yield cls(path, *_size_of(path, where), lambda: _whole(path, where))
            return
        tifffile, zarr = (extra(module, "visium", "TIFF images") for module in ("tifffile", "zarr"))
        try:
            file = tifffile.TiffFile(path)
        except (OSError, ValueError, tifffile.TiffFileError) as error:
            raise _unreadable(where, error) from None
        with file:
            try:
                pixels = zarr.open(file.series[0].levels[0].aszarr(), mode="r")
                pixels = (
                    pixels if hasattr(pixels, "shape") else pixels["0"]
                )  # a pyramid of one level is a group
            except (OSError, ValueError, KeyError, IndexError, tifffile.TiffFileError) as error:
                raise _unreadable(where, error) from None
            if len(pixels.shape) != 3 or pixels.shape[2] not in (3, 4) or pixels.dtype != np.uint8:
                raise _not_rgb(where, f"{pixels.dtype} {list(pixels.shape)}")
            yield cls(path, int(pixels.shape[1]), int(pixels.shape[0]), lambda: pixels)

    @cached_property
    def _pixels(self) -> Any:
        return self._read()

    def squares(self, corners: np.ndarray, side: int) -> Iterator[np.ndarray]:
        """uint8 [side, side, 3] with these top left corners, int64 [n, 2] as x, y; white where they leave the image.

        Fast when the corners are sorted by y. Raises DataError when the image turns out to be damaged.
        """
        for at in range(0, len(corners), AT_ONCE):
            some = corners[at : at + AT_ONCE]
            left, top = np.maximum(some.min(0), 0)
            right, bottom = np.minimum(some.max(0) + side, (self.width, self.height))
            try:
                band = np.asarray(self._pixels[top:bottom, left:right])[..., :3]
            except DataError:
                raise
            except Exception as error:  # each codec raises its own
                raise _unreadable(str(self.path), error) from None
            for x, y in some:
                yield _square(band, int(x - left), int(y - top), side)


def find_image(folders: Sequence[Path], slide: str) -> Path:
    """The one image in the first of these folders that has any. Raises DataError: none, or several."""
    for folder in folders:
        found = sorted(
            path for path in folder.glob("*") if path.suffix.lower() in (*TIFF, *OTHER) and path.is_file()
        )
        if len(found) == 1:
            return found[0]
        if found:
            raise DataError(
                f"slide '{slide}': {folder} holds {len(found)} images ({', '.join(path.name for path in found[:3])}); leave the "
                "full-resolution one there alone"
            )
    raise DataError(
        f"slide '{slide}': no full-resolution image in {folders[0]} ({', '.join((*TIFF, *OTHER))}); put the one there that Space "
        "Ranger was given"
    )


def _square(band: np.ndarray, x: int, y: int, side: int) -> np.ndarray:
    inside = band[max(y, 0) : y + side, max(x, 0) : x + side]
    if inside.shape[:2] == (side, side):
        return np.ascontiguousarray(inside)
    square = np.full((side, side, 3), 255, np.uint8)
    top, left = max(-y, 0), max(-x, 0)
    square[top : top + inside.shape[0], left : left + inside.shape[1]] = inside
    return square


def _size_of(path: Path, where: str) -> tuple[int, int]:
    """Width and height, from the header."""
    with _pillow(path, where) as image:
        if image.mode not in ("RGB", "RGBA", "P"):
            raise _not_rgb(where, f"the mode {image.mode}")
        return image.size


def _whole(path: Path, where: str) -> np.ndarray:
    with _pillow(path, where) as image:
        return np.asarray(image.convert("RGB"))


@contextmanager
def _pillow(path: Path, where: str) -> Iterator[Any]:
    from PIL import Image, UnidentifiedImageError

    most = Image.MAX_IMAGE_PIXELS
    Image.MAX_IMAGE_PIXELS = None  # a slide is larger than what Pillow takes for an attack
    try:
        with Image.open(path, formats=("JPEG", "PNG")) as image:
            yield image
    except (OSError, SyntaxError, UnidentifiedImageError) as error:
        raise _unreadable(where, error) from None
    finally:
        Image.MAX_IMAGE_PIXELS = most


def _not_rgb(where: str, got: str) -> DataError:
    return DataError(f"{where}: must be an RGB image of 8 bits, got {got}; export it as such")


def _unreadable(where: str, error: Exception) -> DataError:
    return DataError(
        f"{where}: cannot be read as an image ({' '.join(str(error).split())[:120]}); copy or export it again"
    )
