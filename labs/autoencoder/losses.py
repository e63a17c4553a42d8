"""What the three models minimise, in nats: the negative logarithm of a probability, per picture."""

from __future__ import annotations

import math
from typing import Callable

import torch
from torch.nn import functional as F


def negative_log_likelihood(logits: torch.Tensor, pictures: torch.Tensor) -> torch.Tensor:
    """-log p(picture): the sum over all pixels of log(1 + e^logit) - pixel * logit, (N,); pixels are 0 or 1."""
    return (F.softplus(logits) - pictures * logits).flatten(1).sum(dim=1)


def kl_to_standard_normal(mean: torch.Tensor, log_variance: torch.Tensor) -> torch.Tensor:
    """KL(N(mean, variance) ‖ N(0, 1)), summed over the L numbers of a code: (N, L) each to (N,).

    Source: Kingma and Welling, Auto-Encoding Variational Bayes (2014), appendix B.
    """
    return 0.5 * (mean**2 + log_variance.exp() - 1 - log_variance).sum(dim=1)


def log_normal(z: torch.Tensor, mean: torch.Tensor, log_variance: torch.Tensor) -> torch.Tensor:
    """log q(z) for q = N(mean, variance), summed over the code: (N,)."""
    squares = (z - mean) ** 2 / log_variance.exp()
    return -0.5 * (squares + log_variance + math.log(2 * math.pi)).sum(dim=1)


def expectation(kind: str, f: Callable[[torch.Tensor], torch.Tensor], mean: torch.Tensor, log_variance: torch.Tensor,
                noise: torch.Tensor) -> torch.Tensor:  # fmt: skip
    """f(z), (N,), at one z ~ N(mean, variance) per row, whose gradient estimates that of the mean over all z.

    A random draw has no gradient; the notes (section 19) name two ways round it.
    pathwise: z = mean + deviation * noise is a formula, and the gradient goes through f (reparameterisation).
    score: the gradient of E f(z) is E f(z) ∇ log q(z), which needs no gradient of f; what f takes from elsewhere (the
    decoder) still gets its own. The mean of the other rows is subtracted from f, which changes no expectation.
    """
    z = mean + (0.5 * log_variance).exp() * noise
    if kind == "pathwise":
        return f(z)
    z = z.detach()
    values = f(z)
    fixed, count = values.detach(), len(values)
    baseline = (fixed.sum() - fixed) / max(count - 1, 1)
    score = log_normal(z, mean, log_variance)
    return values + (fixed - baseline) * (score - score.detach())  # the second part is 0 and has a gradient
