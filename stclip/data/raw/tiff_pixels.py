"""The pixels of a TIFF, a rectangle at a time: only the tiles or strips that it touches are read and decoded."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from stclip.errors import DataError
from stclip.extras import extra

PREMULTIPLIED, ALPHA = 1, 2  # what a fourth sample may be
# What colours may be (TIFF 6); there are programs that call three interleaved samples grey.
GREY, RGB, YCBCR = (
    1,
    2,
    6,
)
TURNED = (6, 7, 33003, 33005, 34712)  # JPEG and its kin: their decoders turn YCbCr into RGB


@dataclass(frozen=True)
class TiffPixels:
    """An open image, RGB, 8 bits, with or without transparency."""

    width: int
    height: int
    alpha: int | None  # PREMULTIPLIED or ALPHA: what the fourth sample is
    _page: Any  # tifffile's
    _samples: int
    _planar: bool  # red, green and blue lie apart
    _mapped: np.ndarray | None  # the whole page, where its bytes lie in the file as they are

    @classmethod
    @contextmanager
    def opened(cls, path: Path, where: str) -> Iterator[TiffPixels]:
        """The largest image of the file, which may hold a thumbnail, a label and smaller levels beside it.

        Raises DataError: no TIFF, not RGB of 8 bits, or compressed by what cannot be read here.
        """
        tifffile = extra("tifffile", "visium", "TIFF images")
        with _silent(tifffile.logger()), ExitStack() as stack:
            try:
                file = stack.enter_context(tifffile.TiffFile(path))
            except Exception as error:  # tifffile raises what its parts raise
                raise unreadable(where, error) from None
            try:
                found = _largest(file)
                wrong = _cannot_be_decoded(tifffile.TIFF, found._page) if found else _what_it_is(file)
            except Exception as error:
                raise unreadable(where, error) from None
            if wrong or not found:
                raise DataError(f"{where}: {wrong}")
            yield found

    def band(self, top: int, bottom: int, left: int, right: int) -> np.ndarray:
        """uint8 [bottom - top, right - left, samples]. Raises what tifffile and its codecs raise for damaged data."""
        if self._mapped is not None:
            return np.array(self._mapped[top:bottom, left:right])
        page, (height, width) = self._page, self._chunk()
        across, down = -(-self.width // width), -(-self.height // height)
        out = np.full((bottom - top, right - left, self._samples), 255, np.uint8)  # a chunk may be left out
        indices = [
            (plane * down + row) * across + column
            for plane in range(self._samples if self._planar else 1)
            for row in range(top // height, -(-bottom // height))
            for column in range(left // width, -(-right // width))
        ]
        places, lengths = page.dataoffsets, page.databytecounts
        for index in indices:
            page.parent.filehandle.seek(places[index])
            data = page.parent.filehandle.read(lengths[index])
            if len(data) != lengths[index]:
                raise EOFError("it ends before its last pixels")
            chunk, (plane, _, y, x, _), _ = page.decode(
                data or None, index, jpegtables=page.jpegtables, jpegheader=page.jpegheader
            )
            if chunk is not None:
                own = out[..., plane : plane + 1] if self._planar else out
                _paste(own, chunk[0], y - top, x - left)
        return out

    def _chunk(self) -> tuple[int, int]:
        page = self._page
        if page.is_tiled:
            return page.tilelength, page.tilewidth
        return min(page.rowsperstrip, self.height), self.width


@contextmanager
def _silent(logger: logging.Logger) -> Iterator[None]:
    """Without tifffile's remarks on tags that make no sense: what matters of them is in the error."""
    before = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        logger.setLevel(before)


def unreadable(where: str, error: Exception) -> DataError:
    """The error for an image that is damaged, or none, or whose codec turns out to be missing."""
    if isinstance(error, ImportError):  # tifffile imports some codecs only when they are needed
        return DataError(f"{where}: {needs_codecs('what cannot be read here')}")
    what = " ".join(str(error).split())[:120] or type(error).__name__
    return DataError(f"{where}: cannot be read as an image ({what}); copy or export it again")


def needs_codecs(compression: str) -> str:
    """What to say of a compression whose codec is not there."""
    return f"is compressed by {compression}, which needs the package imagecodecs; run: pip install 'stclip[visium]'"


def not_rgb(got: str) -> str:
    """What is wrong with an image of another kind."""
    return f"must be an RGB image of 8 bits, got {got}; export it as such"


def _largest(file: Any) -> TiffPixels | None:
    found = [pixels for series in file.series if (pixels := _rgb(series.levels[0])) is not None]
    return max(found, key=lambda pixels: pixels.width * pixels.height, default=None)


def _rgb(level: Any) -> TiffPixels | None:
    """The image of a series, where it is one page of RGB."""
    planar = level.axes == "SYX"
    if level.axes not in ("YXS", "SYX") or level.dtype != np.uint8 or len(level.pages) != 1:
        return None
    samples = level.shape[0] if planar else level.shape[2]
    height, width = level.shape[1:] if planar else level.shape[:2]
    if samples not in (3, 4):
        return None
    page = level.pages[0].aspage()
    kinds = (GREY, RGB, YCBCR) if int(page.compression) in TURNED else (GREY, RGB)
    if int(page.photometric) not in kinds or (planar and page.photometric != RGB):
        return None
    extras = [int(kind) for kind in page.extrasamples]
    alpha = extras[0] if samples == 4 and extras and extras[0] in (PREMULTIPLIED, ALPHA) else None
    mapped = None
    if page.is_memmappable and not planar:
        mapped = np.memmap(
            page.parent.filehandle.path, np.uint8, "r", page.dataoffsets[0], tuple(map(int, level.shape))
        )
    return TiffPixels(int(width), int(height), alpha, page, int(samples), planar, mapped)


def _what_it_is(file: Any) -> str:
    first = file.series[0].levels[0]
    if first.axes.startswith("C") and first.shape[0] in (3, 4):
        return not_rgb(f"{first.shape[0]} channels of grey, {first.dtype} {list(first.shape)}")
    colours = first.keyframe.photometric
    shown = "" if int(colours) in (0, GREY, RGB) else f"the colours {getattr(colours, 'name', colours)}, "
    return not_rgb(f"{shown}{first.dtype} {list(first.shape)}")


def _cannot_be_decoded(kinds: Any, page: Any) -> str | None:
    try:
        kinds.DECOMPRESSORS[page.compression]
        kinds.UNPREDICTORS[page.predictor]
    except (KeyError, ImportError):
        name = getattr(page.compression, "name", page.compression)
        return needs_codecs(str(name))
    return None


def _paste(out: np.ndarray, chunk: np.ndarray, y: int, x: int) -> None:
    """Put `chunk` into `out` with its top left corner at y, x; what lies outside is left away."""
    top, left = max(0, y), max(0, x)
    part = chunk[top - y : out.shape[0] - y, left - x : out.shape[1] - x]
    out[top : top + part.shape[0], left : left + part.shape[1]] = part
