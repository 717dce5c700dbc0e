"""The frozen image encoder `stain`: colour, stain, nuclei and texture statistics of a tile."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:  # the class is looked up where torch is not needed, so torch is imported at the first call
    import torch


class StainFeatures:
    """Tiles uint8 [N, H, W, 3] -> float32 [N, F], about 1 ms a 64-pixel tile on one core.

    Nothing is learnt. The values do not change when a tile is flipped or turned by quarters, and are finite
    for every tile (0 where a statistic has no meaning, as the skewness of an even colour). `version` changes
    whenever a value does.
    """

    version: ClassVar[str] = "1"

    def __init__(self, center: float = 1.0) -> None:
        """`center`, in (0, 1]: below 1 the F numbers come twice, of the middle with that share of a tile's side and of the
        whole tile."""
        self.center = center

    def __call__(self, tiles: torch.Tensor, chunk: int = 128) -> torch.Tensor:
        """Statistics of N >= 0 tiles of H, W >= 8 pixels, on the device of `tiles`, `chunk` tiles at a time.

        Raises ValueError for another shape or type.
        """
        import torch

        from stclip.model.stain_statistics import tile_statistics

        if tiles.ndim != 4 or tiles.shape[-1] != 3 or tiles.dtype != torch.uint8 or min(tiles.shape[1:3]) < 8:
            raise ValueError(
                "tiles must be uint8 [N, H, W, 3] with H, W >= 8, "
                f"got {str(tiles.dtype).removeprefix('torch.')} {list(tiles.shape)}"
            )
        with torch.inference_mode():
            parts = [
                torch.stack(
                    [value for view in self._views(part) for value in tile_statistics(view).values()], 1
                )
                for part in tiles.split(chunk)
                if len(part)
            ]
            out = torch.cat(parts) if parts else tiles.new_zeros((0, self.dim), dtype=torch.float32)
        return out.clone()  # an ordinary tensor, which may take part in training

    def _views(self, tiles: torch.Tensor) -> list[torch.Tensor]:
        if self.center == 1.0:
            return [tiles]
        cuts = [(side - max(8, round(side * self.center))) // 2 for side in tiles.shape[1:3]]
        middle = tiles[:, cuts[0] : tiles.shape[1] - cuts[0], cuts[1] : tiles.shape[2] - cuts[1]]
        return [middle, tiles]

    @cached_property
    def names(self) -> tuple[str, ...]:
        """What each of the F numbers is, as `<scale>/<map>/<statistic>`."""
        import torch

        from stclip.model.stain_statistics import tile_statistics

        names = tuple(tile_statistics(torch.zeros((1, 8, 8, 3), dtype=torch.uint8)))
        return (
            names
            if self.center == 1.0
            else tuple(f"{view}/{n}" for view in ("middle", "whole") for n in names)
        )

    @property
    def dim(self) -> int:
        """F."""
        return len(self.names)
