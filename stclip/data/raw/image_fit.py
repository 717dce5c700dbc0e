"""Whether an image is the one that a slide's coordinates belong to, by the small copy of it that Space Ranger keeps."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from stclip.data.raw.slide_image import SlideImage
from stclip.errors import DataError

COPIES = ("hires", "lowres")  # up to 2,000 and 600 pixels a side
PLACES = 40  # around spots, all over the slide
SIDE = 24  # pixels of the small copy that are compared at a place
LEAST_CONTRAST = 3.0  # standard deviation of grey levels below which a place says nothing
LEAST_PLACES = 5  # that say something
LEAST_CORRELATION = 0.5  # median over the places: of one image above .9, of others about 0


def small_copy(spatial: Path, scales: Mapping[str, float]) -> tuple[Path, float] | None:
    """The larger of the small copies in Space Ranger's `spatial`, and its pixels for one of the image; None without one."""
    for size in COPIES:
        path, scale = spatial / f"tissue_{size}_image.png", scales.get(f"tissue_{size}_scalef", 0.0)
        if path.is_file() and 0 < scale <= 1:
            return path, scale
    return None


def check_image(image: SlideImage, hires: Path, scale: float, xy: np.ndarray, slide: str) -> None:
    """Raise DataError when the surroundings of spots look otherwise in `image` than in the small copy `hires`.

    `xy` are the spots' places in `image`, float64 [N, 2]; times `scale` they are those in `hires`. Where there is
    too little contrast to tell, nothing is said.
    """
    small = _grey(_read(hires, slide))
    found = [value for at in _some(xy) if (value := _correlation(image, small, scale, at)) is not None]
    if len(found) < LEAST_PLACES or float(np.median(found)) >= LEAST_CORRELATION:
        return
    raise DataError(
        f"slide '{slide}': {image.path} is not the image that the positions belong to: around {len(found)} spots it correlates "
        f"with {hires.name} by {float(np.median(found)):.2f} only; give the one that Space Ranger was given, neither cropped, "
        "turned nor scaled"
    )


def _read(path: Path, slide: str) -> np.ndarray:
    with SlideImage.opened(path, slide) as image:
        return image.band(0, image.height, 0, image.width)


def _some(xy: np.ndarray) -> np.ndarray:
    return xy[np.unique(np.linspace(0, len(xy) - 1, PLACES).astype(int))]


def _correlation(image: SlideImage, small: np.ndarray, scale: float, at: np.ndarray) -> float | None:
    """Of the two images' grey levels in the square around a place; None where it leaves the image or shows nothing."""
    left, top = np.round(at * scale - SIDE / 2).astype(int)
    here = small[max(top, 0) : top + SIDE, max(left, 0) : left + SIDE]
    if here.shape != (SIDE, SIDE) or here.std() < LEAST_CONTRAST:
        return None
    edges = [np.round((first + np.arange(SIDE + 1)) / scale).astype(int) for first in (top, left)]
    if edges[0][-1] > image.height or edges[1][-1] > image.width:
        return None
    band = image.band(int(edges[0][0]), int(edges[0][-1]), int(edges[1][0]), int(edges[1][-1]))
    rows, columns = (
        np.minimum(edge - edge[0], size - 1)[:-1] for edge, size in zip(edges, band.shape, strict=False)
    )
    sums = np.add.reduceat(np.add.reduceat(_grey(band), rows, axis=0), columns, axis=1)
    means = sums / np.outer(np.diff([*rows, band.shape[0]]), np.diff([*columns, band.shape[1]]))
    if means.std() < LEAST_CONTRAST:
        return 0.0  # the copy shows tissue here, the image nothing
    return float(np.corrcoef(means.ravel(), here.ravel())[0, 1])


def _grey(pixels: np.ndarray) -> np.ndarray:
    return np.asarray(pixels, dtype=np.float32).mean(axis=2)
