"""The losses a row at a time, in float64: slow, and plain to read beside their formulas."""

import torch


def slow_clip(image, gene, scale, batch, settings):
    """Half the mean of -log softmax at the partner, from images to genes, and the same from genes to images."""
    total = 0.0
    for rows in (image @ gene.T, gene @ image.T):
        for i in range(len(rows)):
            p = torch.exp(scale * rows[i] - (scale * rows[i]).max())
            total = total - torch.log(p[i] / p.sum()) / len(rows) / 2
    return total


def slow_spatial(image, gene, scale, batch, settings):
    """Cross entropy against the partner and its neighbours, and the square of the gap."""
    q = _soft_targets(batch, settings["neighbor_alpha_scale"])
    if settings["cap_logit_scale"] is not None:
        scale = scale.clamp(max=settings["cap_logit_scale"])
    entropy, gap = 0.0, 0.0
    for rows in (image @ gene.T, gene @ image.T):
        for i in range(len(rows)):
            log_p = (scale * rows[i]).log_softmax(0)
            entropy = entropy - (q[i] * log_p).sum() / len(rows) / 2
            gap = gap + ((log_p.exp() - q[i]) * rows[i]).sum() / len(rows) / 2
    return entropy + settings["temp_reg_weight"] * gap**2


def _soft_targets(batch, alpha_scale):
    """float64 [B, B]: 1 at the partner, and for each neighbour that is in the batch its weight; rows sum to 1."""
    ids = batch["tile_ids"].tolist()
    q = torch.eye(len(ids), dtype=torch.float64)
    for i, (neighbors, alphas) in enumerate(
        zip(batch["neighbor_tile_ids"].tolist(), batch["neighbor_alphas"].tolist(), strict=True)
    ):
        for neighbor, alpha in zip(neighbors, alphas, strict=True):
            if neighbor in ids:
                q[i, ids.index(neighbor)] += max(0.0, alpha_scale * alpha)
    return q / q.sum(1, keepdim=True)
