"""Distances between all images of a batch, and which pairs of them are of one class.

Shapes: N images of a batch, D numbers that the network makes of each: its embedding.
"""

from __future__ import annotations

import torch

TINY = 1e-12


def distances(x: torch.Tensor) -> torch.Tensor:
    """Euclidean distances between all rows of x (N, D): (N, N). On the unit sphere they are between 0 and 2.

    By |a - b|² = |a|² + |b|² - 2 a·b, one product of matrices. The root is taken of TINY at least: its slope at 0 is
    infinite, and infinite times 0, the slope of a row's distance from itself, is nan.
    """
    squares = (x * x).sum(dim=1)
    squared = squares.unsqueeze(1) + squares - 2 * (x @ x.t())
    return squared.clamp(min=TINY).sqrt()


def pairs(labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Which pairs are positive (of one class) and which are negative (of two): bool (N, N) each, for labels (N,).

    No image makes a pair with itself.
    """
    same = labels.unsqueeze(1) == labels
    return same & ~torch.eye(len(labels), device=labels.device).bool(), ~same
