"""The encoder's parts by hand: attention in three lines, several heads, GELU, LayerNorm, and a layer of them.

Shapes: N texts of one length T, D numbers for a word, H heads with D / H numbers each.
"""

from __future__ import annotations

import math
from typing import Any, Callable

import torch
from torch import nn
from torch.nn import functional as F

# PyTorch's own attention never holds the (T, T) scores in memory; 1.5.0 has none.
FUSED: Callable[..., torch.Tensor] | None = getattr(F, "scaled_dot_product_attention", None)


def attend(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, allowed: torch.Tensor | None = None) -> torch.Tensor:
    """For each row of q the mean of the rows of v, weighed by how well the rows of k fit: softmax(q kᵀ / √d) v.

    (..., T, d) each; `allowed` is bool, where True lets a row see another, and fits (..., T, T).
    Source: Vaswani and others, Attention Is All You Need (2017), section 3.2.1.
    """
    scores = q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])
    if allowed is not None:
        scores = scores.masked_fill(~allowed, -math.inf)
    return torch.softmax(scores, dim=-1) @ v


def attend_fast(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, allowed: torch.Tensor | None = None) -> torch.Tensor:
    """`attend`, fused where this PyTorch has it. The sums run in another order, so the last bits differ."""
    return attend(q, k, v, allowed) if FUSED is None else FUSED(q, k, v, attn_mask=allowed)


def gelu(x: torch.Tensor) -> torch.Tensor:
    """x times the chance that a normal number is below x. Source: Hendrycks and Gimpel (2016)."""
    return x * 0.5 * (1 + torch.erf(x / math.sqrt(2)))


class LayerNorm(nn.Module):
    """Each word's numbers to mean 0 and variance 1, then scaled and moved by what is learned.

    Source: Ba, Kiros and Hinton, Layer Normalization (2016).
    """

    def __init__(self, size: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.ones(size)), nn.Parameter(torch.zeros(size))
        self.eps = eps

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(..., D) to (..., D)."""
        centred = x - x.mean(dim=-1, keepdim=True)
        variance = (centred**2).mean(dim=-1, keepdim=True)  # of the words at hand: divided by D, not by D - 1
        return centred / torch.sqrt(variance + self.eps) * self.weight + self.bias


class MultiHeadAttention(nn.Module):
    """H attentions side by side, each on D / H of the numbers; what they find is mixed by one more layer."""

    def __init__(self, size: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.into, self.out = nn.Linear(size, 3 * size), nn.Linear(size, size)
        self.attend: Any = attend_fast

    def forward(self, x: torch.Tensor, allowed: torch.Tensor | None = None) -> torch.Tensor:
        """(N, T, D) to (N, T, D); `allowed` as in `attend`."""
        n, t, size = x.shape
        q, k, v = self.into(x).reshape(n, t, 3, self.heads, size // self.heads).permute(2, 0, 3, 1, 4)
        found = self.attend(q, k, v, allowed)  # (N, H, T, D / H)
        mixed: torch.Tensor = self.out(found.transpose(1, 2).reshape(n, t, size))
        return mixed


class Layer(nn.Module):
    """Attention, then two linear layers for each word; each is added to what came in and then normalised (post-norm).

    GELU and LayerNorm are torch's here, which are the two above (see the claims) in one pass over memory.
    """

    def __init__(self, size: int, heads: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.attention, self.norm1 = MultiHeadAttention(size, heads), nn.LayerNorm(size)
        self.wide, self.narrow, self.norm2 = nn.Linear(size, 4 * size), nn.Linear(4 * size, size), nn.LayerNorm(size)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: torch.Tensor, allowed: torch.Tensor | None = None) -> torch.Tensor:
        """(N, T, D) to (N, T, D)."""
        x = self.norm1(x + self.dropout(self.attention(x, allowed)))
        made: torch.Tensor = self.norm2(x + self.dropout(self.narrow(F.gelu(self.wide(x)))))
        return made
