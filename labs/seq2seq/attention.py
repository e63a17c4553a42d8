"""Attention by hand: scores, weights, contexts. The lab trains with these lines; claims.py holds them against loops.

Shapes: T places of the answer, S words of the source, N sentences of one source length, H hidden units. A query is the
decoder's state at a place of the answer; the memory is the encoder's state at each word of the source.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn


def dot_scores(queries: torch.Tensor, memory: torch.Tensor) -> torch.Tensor:
    """How well each state of the source fits each query: their scalar product.

    (T, N, H) and (S, N, H) to (N, T, S). Source: Luong and others (2015), "dot".
    """
    return queries.transpose(0, 1) @ memory.permute(1, 2, 0)


def additive_scores(queries: torch.Tensor, memory: torch.Tensor, w: torch.Tensor, u: torch.Tensor,
                    v: torch.Tensor) -> torch.Tensor:  # fmt: skip
    """v tanh(W q + U m), a network of one hidden layer in place of the scalar product: (N, T, S).

    W and U are (A, H), v is (A). Source: Bahdanau and others (2014).
    """
    asked = (queries @ w.t()).transpose(0, 1)[:, :, None]  # (N, T, 1, A)
    there = (memory @ u.t()).transpose(0, 1)[:, None]  # (N, 1, S, A)
    return torch.tanh(asked + there) @ v


def contexts(weights: torch.Tensor, memory: torch.Tensor) -> torch.Tensor:
    """The mean of the memory by weights (N, T, S), another one at each place of the answer: (T, N, H)."""
    return (weights @ memory.transpose(0, 1)).transpose(0, 1)


class Attention(nn.Module):
    """Queries (T, N, H) and memory (S, N, H) to contexts (T, N, H) and weights (N, T, S), which sum to 1 over S."""

    def __init__(self, kind: str, hidden: int) -> None:
        """`kind`: dot or additive."""
        super().__init__()
        self.kind = kind
        if kind == "additive":
            self.w, self.u = (nn.Parameter(torch.randn(hidden, hidden) * hidden**-0.5) for _ in range(2))
            self.v = nn.Parameter(torch.randn(hidden) * hidden**-0.5)

    def forward(self, queries: torch.Tensor, memory: torch.Tensor) -> Any:
        if self.kind == "additive":
            scores = additive_scores(queries, memory, self.w, self.u, self.v)
        else:
            scores = dot_scores(queries, memory)
        weights = torch.softmax(scores, dim=2)
        return contexts(weights, memory), weights
