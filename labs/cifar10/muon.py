"""Muon: momentum whose step is made orthogonal, so that every direction of a filter bank is learned equally fast."""

from __future__ import annotations

from typing import Iterable

import torch


def orthogonalise(matrix: torch.Tensor, steps: int = 5) -> torch.Tensor:
    """The orthogonal matrix nearest to `matrix` (rows, columns), roughly: its singular values come out near 1.

    With the singular value decomposition U S V', this is U V', reached without decomposing anything: each step of the
    Newton-Schulz iteration sends every singular value s to a*s + b*s^3 + c*s^5, which makes small ones 3.4 times as
    large and keeps the others between 0.68 and 1.21: near 1, never at it (1 itself becomes 0.70).
    Source: Jordan et al., Muon: an optimizer for hidden layers in neural networks (2024), with its coefficients.
    """
    x = matrix / (matrix.norm() + 1e-7)  # all singular values are now at most 1
    if tall := len(x) > x.shape[1]:
        x = x.t()
    for _ in range(steps):
        gram = x @ x.t()
        x = 3.4445 * x + (-4.7750 * gram + 2.0315 * (gram @ gram)) @ x
    return x.t() if tall else x


class Muon(torch.optim.Optimizer):
    """Nesterov momentum, then `orthogonalise`, for convolution filters (out, in, kh, kw) that a normalisation follows.

    Such filters work the same at any length, so each keeps a fixed one (the root of its number of outputs): `lr` is
    then how far a filter bank turns per step, at the first layer as at the last. Three `steps` of the iteration bring
    every singular value from a fiftieth of the matrix's norm upwards to between 0.68 and 1.21 and make smaller ones 40
    times as large, which trains as well as more steps do and costs less.
    """

    def __init__(self, params: Iterable[torch.Tensor], lr: float, momentum: float = 0.6, steps: int = 3) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum, "steps": steps})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:
        """One update of all filters that have a gradient."""
        for group in self.param_groups:
            for weight in group["params"]:
                state = self.state[weight]
                if not state:
                    state["momentum"] = torch.zeros_like(weight)
                state["momentum"].mul_(group["momentum"]).add_(weight.grad)
                direction = weight.grad + group["momentum"] * state["momentum"]
                update = orthogonalise(direction.reshape(len(direction), -1), group["steps"]).reshape(weight.shape)
                weight.mul_(len(weight) ** 0.5 / weight.norm()).add_(update, alpha=-group["lr"])
