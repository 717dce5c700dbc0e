"""Named statistics of tiles, each a function of the whole batch.

They do not change under flips and quarter turns: windows slide by one pixel, both axes count alike.
"""

from __future__ import annotations

import torch
from torch.nn.functional import adaptive_avg_pool2d, pad

# Optical density of haematoxylin, eosin and a residual in R, G, B:
# Ruifrok & Johnston, "Quantification of histochemical staining by color deconvolution", 2001.
STAIN_MATRIX = ((0.65, 0.70, 0.29), (0.07, 0.99, 0.11), (0.27, 0.57, 0.78))
MAPS = ("red", "green", "blue", "haematoxylin", "eosin", "residual")
_RED, _GREEN, _BLUE, _H, _E, _R = range(len(MAPS))
_TINY = 1e-4  # spreads below this are an even colour: 8-bit tiles move in steps of 1/255
PERCENTILES = (5, 25, 50, 75, 95)
_H_LEVELS = (0.2, 0.4, 0.6, 0.8, 1.0, 1.3)  # optical density of a nucleus: 0.5 to 1.2
_E_LEVELS = (0.15, 0.3, 0.5, 0.8)


def tile_statistics(tiles: torch.Tensor) -> dict[str, torch.Tensor]:
    """All statistics of tiles uint8 [N, H, W, 3] by name, each float32 [N]."""
    full = stain_maps(tiles)
    half = adaptive_avg_pool2d(full, ((full.shape[2] + 1) // 2, (full.shape[3] + 1) // 2))
    out: dict[str, torch.Tensor] = {}
    for scale, maps, lags in (("full", full, (1, 2, 4, 7)), ("half", half, (1, 2, 3))):
        values = _moments(maps) | _gradients(maps) | _nuclei(maps[:, _H]) | _texture(maps, lags)
        if scale == "full":
            values |= _shares(maps) | _mixtures(maps)
        else:
            values |= _percentiles(maps)
        out |= {f"{scale}/{name}": value for name, value in values.items()}
    top, left = (side // 4 for side in full.shape[2:])
    centre = full[:, :, top : full.shape[2] - top, left : full.shape[3] - left]
    return out | {
        f"centre/{name}": value for name, value in _moments(centre).items() if name.endswith("mean")
    }


def stain_maps(tiles: torch.Tensor) -> torch.Tensor:
    """Tiles uint8 [N, H, W, 3] -> float32 [N, 6, H, W]: red, green, blue (0..1) and amounts of three stains.

    Amounts solve: optical density (natural logarithm) = amounts @ STAIN_MATRIX, its rows scaled to length 1.
    """
    rgb = tiles.permute(0, 3, 1, 2).float()
    density = -torch.log((rgb + 1.0) / 256.0)
    matrix = torch.tensor(STAIN_MATRIX, device=tiles.device)
    unmix = torch.linalg.inv(matrix / matrix.norm(dim=1, keepdim=True))
    stains = torch.einsum("nchw,cs->nshw", density, unmix)
    return torch.cat([rgb / 255.0, stains], 1)


def _named(statistic: str, values: torch.Tensor, maps: tuple[int, ...]) -> dict[str, torch.Tensor]:
    return {f"{MAPS[m]}/{statistic}": values[:, column] for column, m in enumerate(maps)}


def _ratio(top: torch.Tensor, bottom: torch.Tensor, least: float) -> torch.Tensor:
    """top / bottom, and 0 where the bottom is below `least`."""
    return torch.where(bottom > least, top / bottom.clamp_min(least), torch.zeros_like(top))


def _spread(x: torch.Tensor) -> torch.Tensor:
    """Standard deviation over the last two axes (torch.std is several times slower)."""
    away = x - x.mean((-2, -1), keepdim=True)
    return (away * away).mean((-2, -1)).sqrt()


def _slide(x: torch.Tensor, window: int, edge: int, axis: int) -> torch.Tensor:
    """Windows sliding along height (1) or width (2) of [N, H, W] or [N, C, H, W], as a new last axis.

    The border pixel is repeated `edge` times beyond the border. Reducing such a view is many times faster on
    a CPU than the pooling operators of torch with stride 1.
    """
    if edge:
        sides = (edge, edge, 0, 0) if axis == 2 else (0, 0, edge, edge)
        x = pad(x, sides, mode="replicate")
    return x.unfold(axis - 3, window, 1)


def _window_mean(x: torch.Tensor, window: int, edge: int = 0) -> torch.Tensor:
    """Means of the square windows of [..., H, W]."""
    return _slide(_slide(x, window, edge, 1).mean(-1), window, edge, 2).mean(-1)


def _moments(maps: torch.Tensor) -> dict[str, torch.Tensor]:
    everything = tuple(range(len(MAPS)))
    mean = maps.mean((2, 3))
    away = maps - mean[:, :, None, None]
    variance = (away * away).mean((2, 3))
    stains = away[:, (_H, _E)]
    third, spread = (stains**3).mean((2, 3)), variance[:, (_H, _E)].sqrt()
    return (
        _named("mean", mean, everything)
        | _named("spread", variance.sqrt(), everything)
        | _named("skewness", _ratio(third, spread**3, _TINY**1.5).clamp(-20, 20), (_H, _E))
    )


def _percentiles(maps: torch.Tensor) -> dict[str, torch.Tensor]:
    chosen = (_RED, _H, _E, _R)
    ordered = maps[:, chosen].flatten(2).sort(-1).values
    out: dict[str, torch.Tensor] = {}
    for percent in PERCENTILES:
        out |= _named(f"p{percent}", ordered[:, :, round(percent / 100 * (ordered.shape[-1] - 1))], chosen)
    return out


def _shares(maps: torch.Tensor) -> dict[str, torch.Tensor]:
    """Area above fixed amounts of a stain, and above the tile's own mean by one spread (nuclei, glass)."""
    h, e, brightness = maps[:, _H], maps[:, _E], maps[:, :3].amin(1)
    out = {f"haematoxylin/above_{t}": _area(h > t) for t in _H_LEVELS}
    out |= {f"eosin/above_{t}": _area(e > t) for t in _E_LEVELS}
    out["red/glass"] = _area(brightness > 0.8)
    for name, values in (("haematoxylin", h), ("eosin", e)):
        mean, spread = values.mean((1, 2), keepdim=True), _spread(values)[:, None, None]
        step = spread.clamp_min(_TINY)
        out[f"{name}/high"] = _area(values > mean + step)
        out[f"{name}/low"] = _area(values < mean - step)
    return out


def _area(mask: torch.Tensor) -> torch.Tensor:
    return mask.float().mean((1, 2))


def _mixtures(maps: torch.Tensor) -> dict[str, torch.Tensor]:
    """Correlation of the stains, and the colour inside and outside nuclei."""
    h, e, r = (maps[:, m] for m in (_H, _E, _R))
    dh, de = h - h.mean((1, 2), keepdim=True), e - e.mean((1, 2), keepdim=True)
    product = (dh * de).mean((1, 2))
    scale = ((dh * dh).mean((1, 2)) * (de * de).mean((1, 2))).sqrt()
    inside = (dh > _spread(dh)[:, None, None].clamp_min(_TINY)).float()
    out = {"haematoxylin/correlation_eosin": _ratio(product, scale, _TINY**2)}
    for name, values in (("haematoxylin", h), ("eosin", e), ("residual", r)):
        for where, mask in (("nuclei", inside), ("between", 1.0 - inside)):
            out[f"{name}/{where}"] = _ratio((values * mask).mean((1, 2)), mask.mean((1, 2)), 1e-6)
    return out


def _gradients(maps: torch.Tensor) -> dict[str, torch.Tensor]:
    """Central differences: their size, and how far they agree on a direction (structure tensor)."""
    chosen = (_RED, _H, _E)
    x = maps[:, chosen]
    gx = 0.5 * (x[:, :, 1:-1, 2:] - x[:, :, 1:-1, :-2])
    gy = 0.5 * (x[:, :, 2:, 1:-1] - x[:, :, :-2, 1:-1])
    xx, yy, xy = gx * gx, gy * gy, gx * gy
    size = (xx + yy).sqrt()
    jxx, jyy, jxy = (part.mean((2, 3)) for part in (xx, yy, xy))
    coherence = _ratio(((jxx - jyy) ** 2 + 4.0 * jxy**2).sqrt(), jxx + jyy, _TINY**2)
    return (
        _named("gradient", size.mean((2, 3)), chosen)
        | _named("gradient_spread", _spread(size), chosen)
        | _named("direction", coherence, chosen)
    )


def _nuclei(h: torch.Tensor) -> dict[str, torch.Tensor]:
    """Counts and strength of local maxima of smoothed haematoxylin [N, H, W], for three sizes of a nucleus.

    A peak is the largest value of its window and stands out from its mean; counts are per 1000 pixels.
    """
    out = {}
    smooth = _window_mean(h, 3, edge=1)
    for window in (3, 5, 9):
        reach = window // 2
        highest = _slide(_slide(smooth, window, reach, 1).amax(-1), window, reach, 2).amax(-1)
        rise = smooth - _window_mean(smooth, window, reach)
        peak = ((smooth >= highest - 1e-6) & (rise > 0.02)).float()
        count = peak.mean((1, 2))
        out[f"haematoxylin/peaks_{window}"] = 1000.0 * count
        out[f"haematoxylin/peak_height_{window}"] = _ratio((smooth * peak).mean((1, 2)), count, 1e-6)
        out[f"haematoxylin/peak_rise_{window}"] = _ratio((rise * peak).mean((1, 2)), count, 1e-6)
    return out


def _texture(maps: torch.Tensor, lags: tuple[int, ...]) -> dict[str, torch.Tensor]:
    """Spread within sliding windows, of the windows' means, and autocorrelation (both axes together)."""
    chosen = (_H, _E)
    x = maps[:, chosen]
    x = x - x.mean((2, 3), keepdim=True)
    variance = (x * x).mean((2, 3))
    out: dict[str, torch.Tensor] = {}
    for window in (3, 7):
        side = min(window, *x.shape[2:])
        mean, square = _window_mean(x, side), _window_mean(x * x, side)
        local = (square - mean * mean).clamp_min(0.0).sqrt()
        out |= _named(f"spread_within_{window}", local.mean((2, 3)), chosen)
        out |= _named(f"spread_between_{window}", _spread(mean), chosen)
    for lag in lags:
        step = min(lag, min(x.shape[2:]) - 1)
        across = (x[..., step:] * x[..., :-step]).mean((2, 3)) + (x[..., step:, :] * x[..., :-step, :]).mean(
            (2, 3)
        )
        out |= _named(f"autocorrelation_{lag}", _ratio(0.5 * across, variance, _TINY**2), chosen)
    return out
