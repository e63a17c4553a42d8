"""Attention by hand: three lines, several heads, masks, and the keys and values that are kept (the cache).

Shapes: N sequences of T words, D numbers for a word, H heads with D / H numbers each; S words are looked at.
"""

from __future__ import annotations

import math
from typing import Any, Callable

import torch
from torch import nn
from torch.nn import functional as F

from labs.transformer.positions import Turn, turned

# PyTorch's own attention never holds all (T, S) scores in memory; 1.5.0 has none.
FUSED: Callable[..., torch.Tensor] | None = getattr(F, "scaled_dot_product_attention", None)
Kept = list  # what an attention has read so far: empty, or keys and values (N, H, S, D / H)


def attend(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
    """For each row of q the mean of the rows of v, weighed by how well the rows of k fit: softmax(q kᵀ / √d) v.

    (..., T, d) and twice (..., S, d). `mask` fits (..., T, S): a bool one is True where a row may see another, a float
    one is added to the scores. Source: Vaswani and others, Attention Is All You Need (2017), section 3.2.1.
    """
    scores = q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])
    if mask is not None:
        scores = scores + mask if mask.is_floating_point() else scores.masked_fill(~mask, -math.inf)
    return torch.softmax(scores, dim=-1) @ v


def attend_fast(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
    """`attend`, fused where this PyTorch has it. The sums run in another order, so the last bits differ."""
    return attend(q, k, v, mask) if FUSED is None else FUSED(q, k, v, attn_mask=mask)


def past(t: int, before: int = 0, device: Any = None) -> torch.Tensor:
    """Who may see whom among `t` words that follow `before` others: bool (t, before + t), no word sees a later one."""
    return torch.ones(t, before + t, dtype=torch.bool, device=device).tril(before)


def words_of(lengths: torch.Tensor, t: int) -> torch.Tensor:
    """Where sequences of these `lengths` (N,) have words and no padding: bool (N, 1, 1, t), for every head and row."""
    return (torch.arange(t, device=lengths.device) < lengths[:, None])[:, None, None]


def normed(x: torch.Tensor) -> torch.Tensor:
    """The last axis to a mean square of 1. Source: Zhang and Sennrich, Root Mean Square Layer Normalization (2019)."""
    return x * (x.square().mean(dim=-1, keepdim=True) + 1e-6).rsqrt()


class MultiHeadAttention(nn.Module):
    """H attentions side by side, each on D / H of the numbers; what they find is mixed by one more layer."""

    def __init__(self, size: int, heads: int, modern: bool = False) -> None:
        """`modern`, to itself alone: no biases, queries and keys of one length (QK norm), an output from 0."""
        super().__init__()
        self.heads, self.modern = heads, modern
        self.into, self.out = nn.Linear(size, 3 * size, bias=not modern), nn.Linear(size, size, bias=not modern)
        if modern:
            nn.init.zeros_(self.out.weight)
        self.attend: Any = attend_fast

    def forward(self, x: torch.Tensor, source: torch.Tensor | None = None, mask: torch.Tensor | None = None,
                turn: Turn | None = None, kept: Kept[torch.Tensor] | None = None) -> torch.Tensor:  # fmt: skip
        """x (N, T, D) asks itself, or the `source` (N, S, D): (N, T, D).

        `turn` turns queries and keys by their places. `kept` is what was read before: to itself the new words are
        added, a source is read once.
        """
        size = x.shape[2]
        if source is None:
            q, k, v = self._split(self.into(x), 3)
            q, k = self._placed(q, turn), self._placed(k, turn)
            if kept:
                k, v = torch.cat([kept[0], k], dim=2), torch.cat([kept[1], v], dim=2)
        else:
            weight, bias = self.into.weight, self.into.bias
            (q,) = self._split(F.linear(x, weight[:size], bias[:size]), 1)
            k, v = kept or self._split(F.linear(source, weight[size:], bias[size:]), 2)
        if kept is not None:
            kept[:] = [k, v]
        found = self.attend(q, k, v, mask)  # (N, H, T, D / H)
        mixed: torch.Tensor = self.out(found.transpose(1, 2).reshape(x.shape))
        return mixed

    def _split(self, x: torch.Tensor, parts: int) -> Any:
        """(N, T, parts D) to `parts` times (N, H, T, D / H)."""
        return x.reshape(x.shape[0], x.shape[1], parts, self.heads, -1).permute(2, 0, 3, 1, 4)

    def _placed(self, x: torch.Tensor, turn: Turn | None) -> torch.Tensor:
        if self.modern:
            x = normed(x)  # so that q k / √d is a cosine times √d, however large the weights become
        return x if turn is None else turned(x, turn)
