"""Gene towers: a batch of gene sentences (gene ids, most expressed first) to a batch of embeddings."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from stclip.config import GeneTowerConfig


class BagTower(nn.Module):
    """A rank-weighted sum of gene embeddings, then an MLP with a linear short cut.

    The weight of a rank starts at 1/log2(rank + 2), as in discounted cumulative gain, and is learned; a sentence's
    weights are divided by their root of summed squares, so that sentences of unequal length come out at one scale.
    While training, each gene is left out with probability `gene_dropout`.
    """

    rank_start: torch.Tensor

    def __init__(self, config: GeneTowerConfig, num_genes: int, max_genes: int, embed_dim: int) -> None:
        """`num_genes`: size of the vocabulary. `max_genes`: longest sentence, T."""
        super().__init__()
        self.gene_dropout = config.gene_dropout
        self.embedding = nn.EmbeddingBag(num_genes + 1, config.width, mode="sum", padding_idx=num_genes)
        nn.init.normal_(self.embedding.weight, std=1.0)
        with torch.no_grad():
            self.embedding.weight[num_genes].zero_()
        self.register_buffer("rank_start", torch.log2(torch.arange(max_genes) + 2.0).reciprocal().log())
        self.rank_weight = nn.Parameter(torch.zeros(max_genes))
        self.norm = nn.LayerNorm(config.width)
        self.linear = nn.Linear(config.width, embed_dim)
        self.mlp = nn.Sequential(
            nn.Linear(config.width, config.width),
            nn.GELU(),
            nn.Dropout(config.dropout),
            nn.Linear(config.width, embed_dim),
        )

    def forward(self, genes: torch.Tensor) -> torch.Tensor:
        """int64 [B, T], padded with -1 -> float [B, D]. An empty sentence gives the embedding of no gene."""
        present = genes >= 0
        if self.training and self.gene_dropout > 0:
            present = present & (torch.rand(genes.shape, device=genes.device) >= self.gene_dropout)
        weights = torch.exp(self.rank_start + self.rank_weight)[: genes.shape[1]] * present
        weights = F.normalize(weights, dim=1)
        ids = torch.where(present, genes, self.embedding.num_embeddings - 1)
        bag = self.norm(self.embedding(ids, per_sample_weights=weights))
        return self.linear(bag) + self.mlp(bag)
