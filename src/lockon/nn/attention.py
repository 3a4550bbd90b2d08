"""Multi-head attention."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class MultiHeadAttention(nn.Module):
    """Scaled dot-product attention (Vaswani et al., 2017), with the parameter names of ``nn.MultiheadAttention``.

    Batch first, and ``padding`` is one mask for all queries; nothing else of PyTorch's module is needed here.
    """

    def __init__(self, dim: int, heads: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.in_proj_weight = nn.Parameter(torch.empty(3 * dim, dim))  # query, key, value
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * dim))
        self.out_proj = nn.Linear(dim, dim)
        nn.init.xavier_uniform_(self.in_proj_weight)
        nn.init.zeros_(self.out_proj.bias)

    def forward(self, query: Tensor, key: Tensor, value: Tensor, padding: Tensor | None = None) -> Tensor:
        """(B, Lq, C), (B, Lk, C), (B, Lk, C) and (B, Lk) bool, true = not attended to, give (B, Lq, C)."""
        q, k, v = self.project(query, key, value)
        mask = None if padding is None else ~padding[:, None, None, :]
        dropout = self.dropout if self.training else 0.0
        out = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, dropout_p=dropout)
        return self.out_proj(out.transpose(1, 2).flatten(2))

    def project(self, query: Tensor, key: Tensor, value: Tensor) -> list[Tensor]:
        """What the heads compare and sum up: each (B, L, C) to (B, heads, L, C / heads)."""
        weights, biases = self.in_proj_weight.chunk(3), self.in_proj_bias.chunk(3)
        return [
            F.linear(x, w, b).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for x, w, b in zip((query, key, value), weights, biases, strict=True)
        ]


LEAST = 1e-30  # a weight beneath it changes no digit of a sum of which other weights make up nearly all


def steep_softmax(logits: Tensor) -> Tensor:
    """Softmax over the last dimension of logits that lie far apart, such as products that are not scaled.

    Weights too small to change a sum are 0. Many of them would be denormal numbers otherwise, with which a CPU counts
    so slowly that a product of matrices takes many times as long.
    """
    weights = logits.softmax(-1)
    return weights.where(weights > LEAST, 0.0)


@torch.no_grad()
def start_similar(module: nn.Module) -> None:
    """Makes keys equal to queries in all attention of a module, so that it begins as similarity: a network that is
    trained from nothing then need not find out first that like things belong together."""
    for part in module.modules():
        if isinstance(part, MultiHeadAttention):
            query, key, _ = part.in_proj_weight.chunk(3)
            key.copy_(query)
