"""What the three models minimise, in nats: the negative logarithm of a probability, per image."""

from __future__ import annotations

import math
from typing import Callable

import torch
from torch.nn import functional as F


def negative_log_likelihood(logits: torch.Tensor, images: torch.Tensor) -> torch.Tensor:
    """-log p(image): the sum over all pixels of log(1 + e^logit) - pixel * logit, (N,); pixels are 0 or 1."""
    return (F.softplus(logits) - images * logits).flatten(1).sum(dim=1)


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

    A random draw has no gradient; the notes (section 19) name two ways round it. ∇ is the gradient for the mean and the
    variance of q = N(mean, variance), E the mean over z ~ q.

        pathwise    ∇ E f(z) = E ∇ f(mean + deviation * noise)     z is a formula, and the gradient goes through f
        score       ∇ E f(z) = E (f(z) - b) ∇ log q(z)             needs no gradient of f, only its value

    The first is the reparameterisation trick, the second the score function estimator (REINFORCE). Any baseline b that
    does not depend on this row's z is right, for E ∇ log q(z) = ∇ ∫ q(z) dz = ∇ 1 = 0; here it is the mean of f over
    the other rows, so that the gradient says how much better this z is than they are. What else f depends on (the
    decoder) gets its gradient through f either way.
    Source of the second: Williams, Simple Statistical Gradient-Following Algorithms (1992).
    """
    z = mean + (0.5 * log_variance).exp() * noise
    if kind == "pathwise":
        return f(z)
    z = z.detach()  # from here on a number that was drawn
    values = f(z)
    reward, count = values.detach(), len(values)
    baseline = (reward.sum() - reward) / max(count - 1, 1)
    log_q = log_normal(z, mean, log_variance)
    # Its value is 0, for log_q - log_q.detach() is x - x, so what is returned is still f(z). Its gradient is not: to
    # autograd the detached log_q is a constant, as reward and baseline are, which leaves (f(z) - b) ∇ log q(z).
    gradient_carrier = (reward - baseline) * (log_q - log_q.detach())
    return values + gradient_carrier
