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
    """Nesterov momentum, then `orthogonalise`, for matrices (out, in) and convolution filters (out, in, kh, kw).

    With `keep_length` each weight keeps a fixed length, the root of its number of outputs: right for filters that a
    normalisation follows, which work the same at any length; `lr` is then how far a filter bank turns per step, at the
    first layer as at the last. Without it the update is added as it is, and longer by the root of out / in where there
    are more outputs than inputs, as for the matrices of a transformer.

    Three `steps` of the iteration bring every singular value from a fiftieth of the matrix's norm upwards to between
    0.68 and 1.21 and make smaller ones 40 times as large, which trains filters as well as more steps do and costs less.
    PyTorch has a torch.optim.Muon since 2.9, for matrices alone; 1.5.0 has none. These steps are the same on both.
    """

    def __init__(self, params: Iterable[torch.Tensor], lr: float, momentum: float = 0.6, steps: int = 3,
                 keep_length: bool = True) -> None:  # fmt: skip
        super().__init__(params, {"lr": lr, "momentum": momentum, "steps": steps})
        self.keep_length = keep_length  # no setting of a group: checkpoints from before it was there have none

    @torch.no_grad()
    def step(self, closure: None = None) -> None:
        """One update of all weights that have a gradient."""
        for group in self.param_groups:
            for weight in group["params"]:
                state = self.state[weight]
                if not state:
                    state["momentum"] = torch.zeros_like(weight)
                state["momentum"].mul_(group["momentum"]).add_(weight.grad)
                direction = weight.grad + group["momentum"] * state["momentum"]
                update = orthogonalise(direction.reshape(len(direction), -1), group["steps"]).reshape(weight.shape)
                if self.keep_length:
                    weight.mul_(len(weight) ** 0.5 / weight.norm()).add_(update, alpha=-group["lr"])
                else:
                    longer = max(1.0, len(weight) / (weight.numel() / len(weight))) ** 0.5
                    weight.add_(update, alpha=-group["lr"] * longer)
