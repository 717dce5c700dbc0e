"""Cross entropy with a sparse soft target, its derivative by the logit scale, and the gradients of both.

Written out by hand because it is the hot path: autograd takes about 1.5 times as long for the same numbers.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


def soft_contrast(
    scale: Tensor, columns: Tensor, weights: Tensor, matrices: list[Tensor]
) -> tuple[Tensor, Tensor]:
    """Cross entropy and gap of scores z against a soft target q, over image->gene and gene->image.

    For one direction with p = softmax_j(scale * z_ij), over rows i,

        cross entropy = mean_i -sum_j q_ij log p_ij
        gap           = mean_i sum_j (p_ij - q_ij) z_ij  = d cross entropy / d scale.

    Args:
        scale: [].
        columns: int64 [R, m], where q is not 0; a column that comes twice in a row counts twice.
        weights: [R, m], q there; rows sum to 1. Constants. The same in both directions.
        matrices: contiguous scores z: one [R, R], whose transpose is the other direction; or two [R, N].

    Returns:
        Cross entropy and gap, each [] and the mean of the two directions. Gradients flow to `scale` and
        `matrices`, once (no second derivatives).
    """
    return _SoftContrast.apply(scale, columns, weights, *matrices)


def _dot(a: Tensor, b: Tensor) -> Tensor:
    return torch.dot(a.view(-1), b.view(-1))


def _sides(matrices: tuple[Tensor, ...]) -> list[tuple[Tensor, int]]:
    """Each direction's matrix, and the dimension along which its candidates lie."""
    return [(matrices[0], 1), (matrices[0], 0) if len(matrices) == 1 else (matrices[1], 1)]


def _queries_first(matrix: Tensor, dim: int) -> Tensor:
    return matrix if dim == 1 else matrix.t()


class _SoftContrast(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, scale: Tensor, columns: Tensor, weights: Tensor, *matrices: Tensor
    ) -> tuple[Tensor, Tensor]:
        half = 0.5 / len(columns)
        scaled = [matrix * scale for matrix in matrices]
        entropies, gaps, softmaxes = [], [], []
        for (z, dim), (logits, _) in zip(_sides(matrices), _sides(tuple(scaled)), strict=True):
            p = logits.log_softmax(dim)
            entropies.append(_dot(_queries_first(p, dim).gather(1, columns), weights))
            softmaxes.append(p.exp_())
            gaps.append(_dot(p, z) - _dot(_queries_first(z, dim).gather(1, columns), weights))
        gap = (gaps[0] + gaps[1]) * half
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(scale, columns, weights, gap, *softmaxes, *matrices)
        return (entropies[0] + entropies[1]) * -half, gap

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_entropy: Tensor | None, grad_gap: Tensor | None) -> tuple[Tensor | None, ...]:
        # With h = 1/2R, g and G the incoming gradients and e_i = sum_j p_ij z_ij:
        #   d/dz_ij    = h [(g s + G) (p_ij - q_ij) + G s p_ij (z_ij - e_i)]
        #   d/dscale   = g gap + G h sum_i [sum_j p_ij z_ij^2 - e_i^2]
        scale, columns, weights, gap, *rest = ctx.saved_tensors
        softmaxes, matrices = rest[:2], tuple(rest[2:])
        half = 0.5 / len(columns)
        g = torch.zeros_like(gap) if grad_entropy is None else grad_entropy
        outer = g * scale if grad_gap is None else g * scale + grad_gap
        outer = outer * half
        pull = weights * -outer
        grad_scale = g * gap
        grads: list[Tensor] = []
        for (z, dim), p in zip(_sides(matrices), softmaxes, strict=True):
            if grad_gap is None:
                grad = p * outer
            else:
                inner = grad_gap * half
                pz = p * z
                e = pz.sum(dim, keepdim=True)
                grad_scale = grad_scale + inner * (_dot(pz, z) - _dot(e, e))
                inner = inner * scale
                grad = pz.mul_(inner).addcmul_(p, outer - inner * e)
            _queries_first(grad, dim).scatter_add_(1, columns, pull)
            grads.append(grad)
        if len(matrices) == 1:
            grads = [grads[0].add_(grads[1])]
        return grad_scale, None, None, *grads
