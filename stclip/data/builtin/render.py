"""Tiles of made-up tissue: nuclei, fibres, fat, blood and background, stained, blurred and photographed.

Everything is drawn as amounts of two dyes; light then passes through them (Beer-Lambert), as in
Ruifrok & Johnston, "Quantification of histochemical staining by color deconvolution", 2001.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from stclip.data.builtin.tissue import CELL_TYPES, Tissue

TILE_UM = 64.0  # side of the square that a tile shows

# A row a cell type: nuclei in a full tile, radius (µm), length / width, haematoxylin of a nucleus,
# eosin of the surroundings, fibres, fibre wavelength (µm).
_LOOKS = {
    "tumour": (30.0, 4.6, 1.3, 0.70, 0.30, 0.05, 9.0),
    "lymphocyte": (70.0, 2.5, 1.1, 1.15, 0.16, 0.05, 9.0),
    "fibroblast": (14.0, 2.8, 2.8, 0.85, 0.48, 0.35, 8.0),
    "muscle": (10.0, 2.6, 3.5, 0.70, 0.70, 0.16, 5.0),
    "epithelium": (40.0, 3.3, 1.6, 0.95, 0.36, 0.05, 9.0),
    "fat": (4.0, 2.2, 2.0, 0.90, 0.10, 0.05, 9.0),
    "necrosis": (12.0, 1.7, 1.2, 1.10, 0.55, 0.05, 9.0),
    "vessel": (8.0, 2.4, 2.2, 0.90, 0.40, 0.10, 7.0),
}
_NUCLEI, _RADIUS, _LENGTH, _DARKNESS, _EOSIN, _FIBRES, _WAVELENGTH = np.array(
    [_LOOKS[n] for n in CELL_TYPES]
).T
# Optical density of haematoxylin and eosin in R, G, B.
_STAINS = np.array([[0.65, 0.70, 0.29], [0.07, 0.99, 0.11]])


@dataclass(frozen=True)
class SlideStyle:
    """What staining and scanning do to every tile of one slide."""

    stains: np.ndarray  # [2, 3] optical density per unit of dye
    light: np.ndarray  # [3] brightness of empty glass, 0..1
    blur_um: float
    noise: float  # of the camera, in grey levels


def make_style(rng: np.random.Generator) -> SlideStyle:
    """A slide's own shift of stain, light and focus."""
    gain = np.exp(rng.normal(0.0, 0.12, (2, 1)))
    return SlideStyle(
        stains=_STAINS * gain * np.exp(rng.normal(0.0, 0.08, (2, 3))),
        light=rng.uniform(0.90, 0.98, 3),
        blur_um=rng.uniform(0.4, 1.3),
        noise=rng.uniform(1.0, 2.0),
    )


def render_tiles(tissue: Tissue, style: SlideStyle, size: int, rng: np.random.Generator) -> np.ndarray:
    """The tiles of a slide's n spots, uint8 [n, size, size, 3]; where things lie in a tile is random."""
    nuclei = _nuclei(tissue, size, rng)
    fat, blood = _blobs(tissue, size, rng)
    eosin = _background(tissue, size, rng)
    eosin = (eosin + 0.55 * np.minimum(blood, 1.0)) * (1.0 - fat)
    haematoxylin = (0.06 + 0.05 * _cloud(len(eosin), size, 6, rng)) * (1.0 - fat)
    secretion = 0.10 * np.tanh(tissue.states[:, 1])[:, None, None]
    haematoxylin = np.clip(haematoxylin + (1.0 - fat) * (0.10 + secretion), 0.0, None)
    # Overlapping nuclei darken less than twice.
    haematoxylin = haematoxylin + 1.6 * (1.0 - np.exp(-nuclei / 1.6))
    eosin = np.clip(eosin * (1.0 - 0.6 * np.minimum(nuclei, 1.0)), 0.0, None)
    density = np.stack([haematoxylin, eosin], -1).astype(np.float32) @ style.stains.astype(np.float32)
    light = style.light.astype(np.float32) * np.exp(-density)
    light = _blur(light, style.blur_um * size / TILE_UM)
    grey = 255.0 * light + style.noise * rng.standard_normal(light.shape, dtype=np.float32)
    return np.asarray(np.clip(np.rint(grey), 0, 255).astype(np.uint8))


def _nuclei(tissue: Tissue, size: int, rng: np.random.Generator) -> np.ndarray:
    """Haematoxylin of the nuclei, [n, size, size]; the growth state makes them larger and darker."""
    drawn = rng.poisson(tissue.composition * _NUCLEI)
    spot, kind = (np.repeat(index.ravel(), drawn.ravel()) for index in np.indices(drawn.shape))
    growth = np.tanh(tissue.states[spot, 0])
    count = len(spot)
    radius = _RADIUS[kind] * np.exp(rng.normal(0.0, 0.15, count) + 0.16 * growth)
    length = np.maximum(_LENGTH[kind] * np.exp(rng.normal(0.0, 0.15, count)), 1.0)
    dark = _DARKNESS[kind] * np.exp(rng.normal(0.0, 0.15, count) + 0.14 * growth)
    bundle = rng.uniform(0.0, np.pi, len(drawn))  # long nuclei of a tile lie along its fibres
    angle = bundle[spot] + rng.normal(0.0, 0.35, count)
    return draw_ellipses(
        spot, radius * np.sqrt(length), radius / np.sqrt(length), angle, dark, len(drawn), size, rng
    )


def _blobs(tissue: Tissue, size: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Share of empty fat vacuoles (0..1) and amount of red blood cells, each [n, size, size]."""
    out = []
    for kind, number, radius in (("fat", 16.0, 9.0), ("vessel", 40.0, 2.6)):
        drawn = rng.poisson(number * tissue.composition[:, CELL_TYPES.index(kind)])
        spot = np.repeat(np.arange(len(drawn)), drawn)
        r = radius * np.exp(rng.normal(0.0, 0.15, len(spot)))
        angle = rng.uniform(0.0, np.pi, len(spot))
        out.append(draw_ellipses(spot, r * 1.1, r / 1.1, angle, np.ones(len(spot)), len(drawn), size, rng))
    return np.minimum(out[0], 1.0), out[1]


def draw_ellipses(
    tile: np.ndarray,
    major_um: np.ndarray,
    minor_um: np.ndarray,
    angle: np.ndarray,
    amount: np.ndarray,
    tiles: int,
    size: int,
    rng: np.random.Generator,
) -> np.ndarray:
    """Sum of anti-aliased filled ellipses at random places, float32 [tiles, size, size].

    All other arrays are [m], an entry for each ellipse: its tile, half axes (µm), direction (radians) and
    amount of dye (above 0). Ellipses are cut off at the tile's edge as real nuclei are.
    """
    scale = size / TILE_UM
    major, minor = major_um * scale, minor_um * scale
    reach = int(np.ceil(major.max(initial=1.0))) + 2
    wide = size + 2 * reach
    centre = rng.uniform(reach, reach + size, (2, len(tile)))
    corner = np.floor(centre).astype(np.int64) - reach
    offset = np.arange(2 * reach + 1)
    canvas = np.zeros(tiles * (wide + 1) * (wide + 1), np.float32)
    for part in range(0, len(tile), 4096):  # small pieces stay in the cache
        at = slice(part, part + 4096)
        x = (corner[0, at, None] + offset - centre[0, at, None]).astype(np.float32)[:, None, :]
        y = (corner[1, at, None] + offset - centre[1, at, None]).astype(np.float32)[:, :, None]
        cos, sin = (f(angle[at]).astype(np.float32)[:, None, None] for f in (np.cos, np.sin))
        a, b = (r[at].astype(np.float32)[:, None, None] for r in (major, minor))
        u, v = (x * cos + y * sin) / a, (y * cos - x * sin) / b
        radius = np.sqrt(u * u + v * v)
        # Pixels per unit of `radius`, to first order.
        edge = radius / np.sqrt((u / a) ** 2 + (v / b) ** 2 + 1e-12)
        cover = np.clip(0.5 - (radius - 1.0) * edge, 0.0, 1.0) * amount[at].astype(np.float32)[:, None, None]
        row = tile[at, None, None] * (wide + 1) + corner[1, at, None, None] + offset[:, None]
        index = row * (wide + 1) + corner[0, at, None, None] + offset
        inside = cover > 0
        low = int(index.min())
        sums = np.bincount(index[inside] - low, weights=cover[inside])
        canvas[low : low + len(sums)] += sums
    return canvas.reshape(tiles, wide + 1, wide + 1)[:, reach : reach + size, reach : reach + size]


def _background(tissue: Tissue, size: int, rng: np.random.Generator) -> np.ndarray:
    """Eosin of cytoplasm and fibres, [n, size, size]."""
    n, scale = len(tissue.composition), TILE_UM / size
    level = (tissue.composition @ _EOSIN)[:, None, None]
    strength = (tissue.composition @ _FIBRES)[:, None, None]
    wavelength = np.exp((tissue.composition * _FIBRES) @ np.log(_WAVELENGTH) / strength[:, 0, 0])[
        :, None, None
    ]
    angle = rng.uniform(0.0, np.pi, (n, 1, 1))
    y, x = np.mgrid[:size, :size] * scale
    along = x * np.cos(angle) + y * np.sin(angle) + 5.0 * _cloud(n, size, 5, rng)
    fibres = np.sin(2.0 * np.pi * along / wavelength + rng.uniform(0.0, 2.0 * np.pi, (n, 1, 1)))
    grain = tissue.composition[:, CELL_TYPES.index("necrosis")][:, None, None] * _cloud(
        n, size, size // 3, rng
    )
    return np.asarray(level * (1.0 + 0.15 * _cloud(n, size, 5, rng)) + strength * fibres + 0.35 * grain)


def _cloud(n: int, size: int, knots: int, rng: np.random.Generator) -> np.ndarray:
    """Smooth noise of about unit variance from a grid of knots x knots values, float32 [n, size, size]."""
    place = np.linspace(0.0, knots - 1.0, size)
    weight = np.exp(-1.5 * (place[:, None] - np.arange(knots)) ** 2)
    weight /= np.linalg.norm(weight, axis=1, keepdims=True)
    weight = weight.astype(np.float32)
    return np.asarray(weight @ rng.standard_normal((n, knots, knots), dtype=np.float32) @ weight.T)


def _blur(images: np.ndarray, sigma: float) -> np.ndarray:
    """Gaussian blur of [n, S, S, 3] with `sigma` in pixels; the border pixel goes on beyond the edge."""
    size = images.shape[1]
    reach = int(np.ceil(3 * sigma))
    offsets = np.arange(-reach, reach + 1)
    kernel = np.exp(-0.5 * (offsets / sigma) ** 2)
    matrix = np.zeros((size, size), np.float32)
    for offset, weight in zip(offsets, kernel / kernel.sum(), strict=True):
        np.add.at(matrix, (np.arange(size), np.clip(np.arange(size) + offset, 0, size - 1)), weight)
    planes = images.transpose(0, 3, 1, 2)
    return np.ascontiguousarray((matrix @ planes @ matrix.T).transpose(0, 2, 3, 1))
