"""Places: sin and cos as rotations, rotary, relative, and places that are drawn."""

from __future__ import annotations

from typing import Tuple

import torch
from torch import nn

Turn = Tuple[torch.Tensor, torch.Tensor]  # cos and sin of each pair's angle, (T, d / 2) or (N, 1, T, d / 2)
MOST = 64  # places that copying knows
FARTHEST = 32  # distance, from which on relative places are all one
BASE = 10_000.0


def frequencies(size: int) -> torch.Tensor:
    """How far each pair of numbers turns from one place to the next, radians: from 1 down to about 1 / 10,000."""
    return BASE ** (-torch.arange(0, size, 2, dtype=torch.float64) / size)


def sinusoidal(places: torch.Tensor, size: int) -> torch.Tensor:
    """sin and cos of each place at each frequency, in turn: (...) to (..., size).

    Source: Vaswani and others (2017), section 3.5.
    """
    angles = places[..., None].double() * frequencies(size).to(places.device)
    return torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(-2)


def rotation(k: int, size: int) -> torch.Tensor:
    """R with sinusoidal(p + k) = R sinusoidal(p) for every p: (size, size) in float64, a turn of each pair."""
    made = torch.zeros(size, size, dtype=torch.float64)
    for pair, angle in enumerate(k * frequencies(size)):
        rows = slice(2 * pair, 2 * pair + 2)
        cos, sin = float(angle.cos()), float(angle.sin())
        made[rows, rows] = torch.tensor([[cos, sin], [-sin, cos]], dtype=torch.float64)
    return made


def angles(places: torch.Tensor, size: int, dtype: torch.dtype = torch.float32) -> Turn:
    """What `turned` needs for queries and keys of `size` numbers at these places, (T) or (N, T)."""
    found = places[..., None].double() * frequencies(size).to(places.device)
    found = found if places.dim() == 1 else found[:, None]
    return found.cos().to(dtype), found.sin().to(dtype)


def turned(x: torch.Tensor, turn: Turn) -> torch.Tensor:
    """Each pair of numbers (k, d / 2 + k) of x (N, H, T, d) turned by the angle of its place.

    Then q · k depends on how far apart their places are and on nothing else. Source: Su and others, RoFormer (2021).
    """
    cos, sin = turn
    a, b = x.chunk(2, dim=-1)
    return torch.cat([a * cos - b * sin, a * sin + b * cos], dim=-1)


class Relative(nn.Module):
    """A number for each head and distance, learned, which is added to the scores.

    Source: Raffel and others, T5 (2020), here without its logarithmic buckets.
    """

    def __init__(self, heads: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(heads, FARTHEST + 1))

    def forward(self, queries: torch.Tensor, keys: torch.Tensor) -> torch.Tensor:
        """Places (T) and (S) to what is added, (H, T, S)."""
        return self.bias[:, (queries[:, None] - keys).clamp(0, FARTHEST)]


def drawn(scheme: str, count: int, t: int, random: torch.Generator) -> torch.Tensor:
    """The places of `count` sequences of `t` words in a training step: int64 (t) or (count, t), below MOST.

    offset: 0, 1, 2, ... from a drawn beginning. randomised: a draw without repetition, sorted, so that only the order
    tells anything. Source: Ruoss and others, Randomized Positional Encodings Boost Length Generalization (2023).
    """
    if scheme == "offset":
        return torch.arange(t) + torch.randint(MOST - t + 1, (count, 1), generator=random)
    if scheme == "randomised":
        return torch.rand(count, MOST, generator=random).argsort(dim=1)[:, :t].sort(dim=1)[0]
    return torch.arange(t)


def judged(scheme: str, t: int) -> torch.Tensor:
    """The places of `t` words where a scheme is judged: randomised ones are spread evenly."""
    if scheme == "randomised":
        return torch.linspace(0, MOST - 1, t).round().to(torch.int64)
    return torch.arange(t)
