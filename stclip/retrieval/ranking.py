"""Where right answers stand in a gallery ordered by similarity, with exact expectations under ties."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

_MAX_SCORES = 2**24  # similarities held at once: 64 MB of float32


class Places(NamedTuple):
    """Where the best right answers of n queries stand in the order of similarity."""

    ahead: np.ndarray  # int64 [n], candidates more similar than the best right answer
    tied: np.ndarray  # int64 [n], candidates as similar as it, itself included
    right: np.ndarray  # int64 [n], right answers among the tied, 1 or more

    def ranks(self) -> np.ndarray:
        """Expected rank, where there is one right answer."""
        return 1 + self.ahead + (self.tied - 1) / 2

    def hits(self, k: int) -> np.ndarray:
        """Probability that a right answer is among the first k when ties are in random order, float64 [n].

        Of `tied` candidates k - ahead come in. None of the right ones is among those with the hypergeometric
        probability C(tied - right, open) / C(tied, open) = prod_{j < right} (tied - open - j) / (tied - j).
        Right answers further down matter only when all the tied come in, and then there is a hit anyway.
        """
        open_places = np.clip(k - self.ahead, 0, self.tied)
        miss = np.ones(len(self.tied))
        for j in range(int(self.right.max())):
            factor = np.clip(self.tied - open_places - j, 0, None) / np.maximum(self.tied - j, 1)
            miss *= np.where(j < self.right, factor, 1.0)
        return 1 - miss


class Found(NamedTuple):
    """Places of the partner, and of the best right answer of the ring."""

    partner: Places
    ring: Places  # without rings the same as `partner`


def find_partners(queries: Tensor, gallery: Tensor, rings: Tensor | None, chunk: int) -> Found:
    """Compare every query with the whole gallery.

    Args:
        queries: [n, D].
        gallery: [n, D]; row i is the partner of query i. Similarity is the dot product in float32.
        rings: int64 [n, m], rows of the gallery that are right answers, the partner among them, each once;
            padded with -1.
        chunk: queries compared at once; fewer when the gallery is large.
    """
    queries, gallery = queries.detach().float(), gallery.detach().float()
    # Equal candidates are compared once: a matrix product may round equal columns differently and hide ties.
    distinct, which, copies = torch.unique(gallery, dim=0, return_inverse=True, return_counts=True)
    weight = copies.float()  # sums below 2^24 are exact
    size = max(1, min(chunk, _MAX_SCORES // len(distinct)))
    partners, ring_parts = [], []
    for start in range(0, len(queries), size):
        rows = slice(start, start + size)
        with torch.autocast(queries.device.type, enabled=False):
            scores = queries[rows] @ distinct.T
            own = scores.gather(1, which[rows, None])
            partners.append(_stand(scores, weight, own))
            if rings is not None:
                ring = rings[rows]
                values = scores.gather(1, which[ring.clamp(min=0)]).masked_fill(ring < 0, -torch.inf)
                ring_parts.append(_stand(scores, weight, values))
    partner = _places(partners)
    return Found(partner, _places(ring_parts) if ring_parts else partner)


def _stand(scores: Tensor, weight: Tensor, values: Tensor) -> Tensor:
    """Ahead, tied and right [3, n] of each row's best right answer; values [n, m]: scores of those."""
    best = values.amax(1, keepdim=True)
    ahead, tied = (scores > best).float() @ weight, (scores == best).float() @ weight
    return torch.stack([ahead.long(), tied.long(), (values == best).sum(1)])


def _places(parts: list[Tensor]) -> Places:
    return Places(*torch.cat(parts, dim=1).cpu().numpy())
