"""Contrastive losses between the image tile and the genes of a spot.

Notation: B spots in the batch of a process, D features, k neighbours a spot, W processes. A matrix of scores
has R rows (queries) and N columns (candidates); in one process R = N = B.

In training mode with W > 1 processes the candidates are the W * B spots of all of them. `local_loss` and
`gather_with_grad` mean what they mean in OpenCLIP (Ilharco et al. 2021). A process computes its own B rows
with `local_loss`, else all W * B rows. After DistributedDataParallel has averaged the gradients over the
processes, the gradient that reaches the features is, against that of one process with all W * B spots,

- `gather_with_grad`: the same, for either `local_loss`;
- neither: the same divided by W;
- `local_loss` alone: that with every candidate held constant (features learn as queries only).

The mean of the loss over the processes and the gradient of the logit scale are the same as in one process in
all four. Every process must bring the same batch size. In evaluation mode nothing is gathered: each process
scores its own batch, whatever its size.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stclip.batch import Batch
from stclip.errors import ConfigError
from stclip.losses.gather import (
    gather,
    gather_keeping_own,
    gather_with_grad,
    mean_over_ranks,
    rank,
    world_size,
)
from stclip.losses.soft_contrast import soft_contrast


class ClipLoss(nn.Module):
    """Symmetric InfoNCE over the spots of the batch (CLIP, Radford et al. 2021, arXiv 2103.00020).

    With z = image_features @ gene_features.T: half the mean over rows i of -log softmax_j(logit_scale * z_ij)
    at j = i, plus the same with the two sides exchanged.

    Args:
        local_loss: with several processes, each computes its own rows only.
        gather_with_grad: with several processes, gradients flow back through gathered features.
    """

    def __init__(self, local_loss: bool, gather_with_grad: bool) -> None:
        super().__init__()
        self.local_loss = local_loss
        self.gather_with_grad = gather_with_grad

    def forward(
        self, image_features: Tensor, gene_features: Tensor, logit_scale: Tensor
    ) -> dict[str, Tensor]:
        """Compute the loss of B spots.

        Args:
            image_features: [B, D], unit vectors.
            gene_features: [B, D], unit vectors; row i is of the same spot as row i of the images.
            logit_scale: [], 1 / temperature.

        Returns:
            `loss` [], to minimise. For logging, without gradient: `contrastive` (the same), `logit_scale`.

        Raises:
            ValueError: the two feature matrices differ in shape.
        """
        reach = _reach(self.training, self.local_loss)
        scores = _scores(image_features, gene_features, reach, self.gather_with_grad)
        own = scores.own_columns()
        image_to_gene, gene_to_image = scores.scaled(logit_scale)
        loss = (F.cross_entropy(image_to_gene, own) + F.cross_entropy(gene_to_image, own)) / 2
        return {"loss": loss, "contrastive": loss.detach(), "logit_scale": logit_scale.detach()}

    def from_batch(
        self, image_features: Tensor, gene_features: Tensor, logit_scale: Tensor, batch: Batch
    ) -> dict[str, Tensor]:
        """`forward`, called as every loss can be called; the batch's neighbours are not used."""
        return self(image_features, gene_features, logit_scale)


class SpatialLoss(nn.Module):
    """Contrastive loss whose target is shared with the spot's neighbours in the tissue.

    With z = image_features @ gene_features.T and s = min(logit_scale, cap_logit_scale), whose gradient passes
    to logit_scale even at the cap, the target of row i, for image->gene and gene->image alike, is

        q_ij ~ 1[i = j] + max(0, neighbor_alpha_scale * alpha_ij), summing to 1 over the candidates j.

    With p_ij = softmax_j(s z_ij), and "both" for half the sum of image->gene and gene->image,

        contrastive = both mean_i -sum_j q_ij log p_ij
        gap         = both mean_i sum_j (p_ij - q_ij) z_ij
        loss        = contrastive + temp_reg_weight * gap^2.

    The gap is the derivative of `contrastive` by s: its square pulls the temperature to where the model is as
    sure as it is right. With both weights 0 and logit_scale below the cap, this is ClipLoss. Nothing of size
    R * N is built for q, which has at most k + 1 entries a row.

    Args:
        neighbor_alpha_scale: weight of all neighbours together (alphas sum to 1) against 1 for the partner.
        temp_reg_weight: weight of gap^2, at least 0; at 0 it costs nothing.
        cap_logit_scale: largest s, above 0; None for no cap.
        local_loss: with several processes, each computes its own rows only.
        gather_with_grad: with several processes, gradients flow back through gathered features.

    Raises:
        ConfigError: a negative temp_reg_weight, a cap_logit_scale that is not positive.
    """

    def __init__(
        self,
        neighbor_alpha_scale: float,
        temp_reg_weight: float,
        cap_logit_scale: float | None,
        local_loss: bool,
        gather_with_grad: bool,
    ) -> None:
        super().__init__()
        if temp_reg_weight < 0:
            raise ConfigError(
                f"temp_reg_weight must be at least 0, got {temp_reg_weight}; use 0 to switch it off"
            )
        if cap_logit_scale is not None and cap_logit_scale <= 0:
            raise ConfigError(f"cap_logit_scale must be above 0, got {cap_logit_scale}; use None for no cap")
        self.neighbor_alpha_scale = neighbor_alpha_scale
        self.temp_reg_weight = temp_reg_weight
        self.cap_logit_scale = cap_logit_scale
        self.local_loss = local_loss
        self.gather_with_grad = gather_with_grad

    def forward(
        self,
        image_features: Tensor,
        gene_features: Tensor,
        logit_scale: Tensor,
        tile_ids: Tensor,
        neighbor_tile_ids: Tensor,
        neighbor_alphas: Tensor,
    ) -> dict[str, Tensor]:
        """Compute the loss of B spots.

        Args:
            image_features: [B, D], unit vectors.
            gene_features: [B, D], unit vectors; row i is of the same spot as row i of the images.
            logit_scale: [], 1 / temperature.
            tile_ids: int64 [B], spot ids, 0 or above, each once. Of an id that comes twice among the
                candidates, the first gets the neighbour weight.
            neighbor_tile_ids: int64 [B, k], spot ids of each spot's neighbours, padded with -1. Ids that are
                not among the candidates are ignored. Weights of an id that comes twice in a row add up; the
                spot's own id adds to the partner's 1.
            neighbor_alphas: [B, k], weights of the neighbours; constants.

        Returns:
            `loss` [], to minimise. For logging, without gradient: `contrastive`, `gap`, `logit_scale` (s)
            and, with temp_reg_weight above 0, `temp_reg` (temp_reg_weight * gap^2).

        Raises:
            ValueError: shapes that do not fit together.
        """
        _check_neighbors(image_features, tile_ids, neighbor_tile_ids, neighbor_alphas)
        reach = _reach(self.training, self.local_loss)
        scale = _cap(logit_scale, self.cap_logit_scale)
        scores = _scores(image_features, gene_features, reach, self.gather_with_grad)
        columns = scores.own_columns()[:, None]
        weights = torch.ones_like(columns, dtype=scores.matrices[0].dtype)
        if self.neighbor_alpha_scale != 0:
            ids, neighbors, alphas = _all_rows(tile_ids, neighbor_tile_ids, neighbor_alphas, reach)
            columns, weights = _soft_target(
                columns, ids, neighbors, self.neighbor_alpha_scale * alphas.to(weights.dtype)
            )

        contrastive, gap = soft_contrast(scale, columns, weights, scores.matrices)
        terms = {"contrastive": contrastive.detach(), "gap": gap.detach(), "logit_scale": scale.detach()}
        if self.temp_reg_weight == 0:
            return {"loss": contrastive} | terms
        if reach.all_candidates and not reach.all_rows:
            # The square of the mean over all rows, wherever they are; gradients come from the own rows.
            gap = gap + (mean_over_ranks(gap) - gap.detach())
        temp_reg = self.temp_reg_weight * gap.square()
        return {"loss": contrastive + temp_reg} | terms | {"temp_reg": temp_reg.detach(), "gap": gap.detach()}

    def from_batch(
        self, image_features: Tensor, gene_features: Tensor, logit_scale: Tensor, batch: Batch
    ) -> dict[str, Tensor]:
        """`forward` with ids and neighbours taken from the batch."""
        return self(
            image_features,
            gene_features,
            logit_scale,
            batch["tile_ids"],
            batch["neighbor_tile_ids"],
            batch["neighbor_alphas"],
        )


class _Reach(NamedTuple):
    """Whose spots a process scores."""

    all_candidates: bool  # columns: those of all processes, or its own
    all_rows: bool  # rows: those of all processes, or its own


class _Scores(NamedTuple):
    """Dot products: a square matrix, whose transpose is gene->image; or one [R, N] for each direction."""

    matrices: list[Tensor]
    first: int  # column of the partner of row 0

    def own_columns(self) -> Tensor:
        """Int64 [R]: the column of each row's partner."""
        rows = len(self.matrices[0])
        return torch.arange(self.first, self.first + rows, device=self.matrices[0].device)

    def scaled(self, scale: Tensor) -> tuple[Tensor, Tensor]:
        """Logits image->gene and gene->image, queries in rows."""
        logits = [scale * matrix for matrix in self.matrices]
        return logits[0], (logits[1] if len(logits) == 2 else logits[0].t())


def _reach(training: bool, local_loss: bool) -> _Reach:
    gathered = training and world_size() > 1
    return _Reach(gathered, gathered and not local_loss)


def _scores(image: Tensor, gene: Tensor, reach: _Reach, with_grad: bool) -> _Scores:
    if image.ndim != 2 or image.shape != gene.shape:
        raise ValueError(
            "image_features and gene_features must both be [B, D], "
            f"got {list(image.shape)} and {list(gene.shape)}; row i of both is spot i"
        )
    dtype = torch.promote_types(torch.promote_types(image.dtype, gene.dtype), torch.float32)
    image, gene = image.to(dtype), gene.to(dtype)
    # Half-precision scores would be off by up to 0.15 after a logit scale of 40.
    with torch.autocast(image.device.type, enabled=False):
        if not reach.all_candidates:
            return _Scores([image @ gene.T], 0)
        features = torch.cat([image, gene], dim=1)  # one exchange instead of two
        if with_grad:
            features = gather_with_grad(features)
        else:
            features = gather_keeping_own(features) if reach.all_rows else gather(features)
        all_image, all_gene = features.chunk(2, dim=1)
        if reach.all_rows:
            return _Scores([all_image @ all_gene.T], 0)
        return _Scores([image @ all_gene.T, gene @ all_image.T], rank() * len(image))


def _cap(logit_scale: Tensor, cap: float | None) -> Tensor:
    """Straight-through clamp: exactly min(logit_scale, cap), with the gradient of logit_scale."""
    if cap is None:
        return logit_scale
    return logit_scale.detach().clamp(max=cap) + (logit_scale - logit_scale.detach())


def _check_neighbors(features: Tensor, ids: Tensor, neighbors: Tensor, alphas: Tensor) -> None:
    spots = features.shape[:1]
    if (
        ids.shape != spots
        or neighbors.ndim != 2
        or neighbors.shape[:1] != spots
        or alphas.shape != neighbors.shape
    ):
        raise ValueError(
            f"{list(features.shape)} features need tile_ids [B], neighbor ids and alphas [B, k], "
            f"got {list(ids.shape)}, {list(neighbors.shape)} and {list(alphas.shape)}"
        )


def _all_rows(ids: Tensor, neighbors: Tensor, alphas: Tensor, reach: _Reach) -> tuple[Tensor, Tensor, Tensor]:
    """Ids of the candidates [N]; neighbours and their weights of the rows [R, k]."""
    if reach.all_candidates:
        ids = gather(ids)
    if reach.all_rows:
        neighbors, alphas = gather(neighbors), gather(alphas)
    return ids, neighbors, alphas


@torch.no_grad()
def _soft_target(own: Tensor, ids: Tensor, neighbors: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """Columns and weights [R, 1 + k] of the target of R rows among N candidates; weights sum to 1.

    own [R, 1]: the column of each row's partner. ids [N]: spot ids of the candidates. neighbors [R, k], with
    weights [R, k] against 1 for the partner. Ids are looked up in the sorted candidates: O((N + R k) log N).
    """
    sorted_ids, columns = ids.sort(stable=True)
    place = torch.searchsorted(sorted_ids, neighbors).clamp_(max=len(ids) - 1)
    found = sorted_ids[place] == neighbors  # never true of -1: spot ids are 0 or above
    weights = torch.where(found, weights, 0.0).relu_()  # not weights * found: padding may hold anything
    weights = F.pad(weights, (1, 0), value=1.0)
    return torch.cat([own, columns[place]], dim=1), weights / weights.sum(1, keepdim=True)
