"""A loss as somebody outside would write it: one file, with its section, and one line in the registry."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field
from torch import Tensor, nn

from stclip.batch import Batch
from stclip.config import LossSection


class ToySection(LossSection):
    """ToyLoss; `pull` is how strongly partners attract each other."""

    name: Literal["toy"] = "toy"
    pull: Annotated[float, Field(gt=0, le=10)] = 1.0


class ToyLoss(nn.Module):
    """Partners attract each other, nothing pushes others apart: the mean of 1 - cosine, times logit_scale and `pull`."""

    def __init__(self, pull: float) -> None:
        super().__init__()
        self.pull = pull

    def from_batch(
        self, image_features: Tensor, gene_features: Tensor, logit_scale: Tensor, batch: Batch
    ) -> dict[str, Tensor]:
        """Features [B, D] of unit length and a scale [] -> `loss` []."""
        cosines = (image_features.to(logit_scale.dtype) * gene_features.to(logit_scale.dtype)).sum(1)
        return {"loss": self.pull * logit_scale * (1 - cosines).mean()}
