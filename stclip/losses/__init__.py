"""The losses: `ClipLoss` and `SpatialLoss`, on one process or on several (`gather`).

Imports `stclip.batch` and `stclip.errors`. In come features [B, D] and what a batch says of neighbours; out goes a
mapping whose `loss` is to be minimised.
"""

from stclip.losses.spatial import (
    ClipLoss,
    SpatialLoss,
)

__all__ = [
    "ClipLoss",
    "SpatialLoss",
]
