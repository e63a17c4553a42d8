"""The objective of StyleGAN and its two penalties, written out."""

from __future__ import annotations

from typing import Callable, Iterable

import torch
from torch.nn import functional as F


def discriminator_loss(real: torch.Tensor, fake: torch.Tensor) -> torch.Tensor:
    """-log σ(real) - log(1 - σ(fake)), from logits (N,)."""
    return F.softplus(-real).mean() + F.softplus(fake).mean()


def generator_loss(fake: torch.Tensor) -> torch.Tensor:
    """-log σ(fake): the form that does not saturate."""
    return F.softplus(-fake).mean()


def r1_penalty(discriminator: Callable[[torch.Tensor], torch.Tensor], real: torch.Tensor) -> torch.Tensor:
    """Half the mean squared length of the discriminator's gradient at real images (N, C, H, W).

    At rest the generator draws the real distribution, and then a discriminator should not slope there any more.
    Source: Mescheder et al., Which Training Methods for GANs do actually Converge? (2018), equation 9, with γ = 1.
    """
    real = real.detach().requires_grad_(True)
    (gradient,) = torch.autograd.grad(discriminator(real).sum(), real, create_graph=True)
    return 0.5 * gradient.pow(2).flatten(1).sum(dim=1).mean()


def orthogonal_penalty(weights: Iterable[torch.Tensor]) -> torch.Tensor:
    """Sum over the filter banks of |W Wᵀ ⊙ (1 - I)|², W with a filter in each row: filters shall not repeat each other.

    Their lengths stay free. Source: Brock et al., Large Scale GAN Training (BigGAN, 2019), equation 3.
    """
    total = torch.zeros(())
    for weight in weights:
        rows = weight.flatten(1)  # (c_out, c_in * k * k)
        products = rows @ rows.t()
        off_diagonal = products - torch.diag(torch.diag(products))
        total = total.to(weight.device) + off_diagonal.pow(2).sum()
    return total
