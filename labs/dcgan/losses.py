"""The four objectives of a GAN, written out, and what goes with them: targets, gradient penalty, gradient norm.

Logits are what the discriminator says before a sigmoid: x > 0 means "real". σ(x) = 1 / (1 + e^-x).
"""

from __future__ import annotations

from typing import Callable

import torch
from torch import nn
from torch.nn import functional as F


def discriminator_loss(kind: str, real: torch.Tensor, fake: torch.Tensor, real_target: torch.Tensor,
                       fake_target: torch.Tensor) -> torch.Tensor:  # fmt: skip
    """What the discriminator minimises, from its logits (N,) of real and of generated images and their targets (N,).

    The gradient penalty of wgan-gp comes on top; this loss has no targets.
    """
    if kind == "wgan-gp":  # minus the estimated Wasserstein distance
        return fake.mean() - real.mean()
    if kind == "lsgan":  # Mao et al., 2017: squared distance from the target
        return ((real - real_target) ** 2).mean() + ((fake - fake_target) ** 2).mean()
    return cross_entropy(real, real_target).mean() + cross_entropy(fake, fake_target).mean()


def generator_loss(kind: str, fake: torch.Tensor) -> torch.Tensor:
    """What the generator minimises, from the discriminator's logits (N,) of its images."""
    if kind == "wgan-gp":
        return -fake.mean()
    if kind == "lsgan":
        return ((fake - 1) ** 2).mean()
    if kind == "minimax":  # log(1 - σ(x)): slope -σ(x), which is 0 where the discriminator is sure
        return -F.softplus(fake).mean()
    return F.softplus(-fake).mean()  # -log σ(x): slope -(1 - σ(x)), which is -1 where the discriminator is sure


def cross_entropy(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """-t log σ(x) - (1 - t) log(1 - σ(x)) = log(1 + e^x) - t x, for each logit."""
    return F.softplus(logits) - targets * logits


def targets(count: int, smooth: str, amount: float, flip: float, device: torch.device
            ) -> tuple[torch.Tensor, torch.Tensor]:  # fmt: skip
    """What the discriminator shall say to `count` real and `count` generated images: float32 (count,) each.

    Smoothing moves 1 to 1 - amount, and 0 to amount where it is two-sided. A share `flip` of the pairs is exchanged.
    """
    real = torch.full((count,), 1.0 if smooth == "none" else 1.0 - amount, device=device)
    fake = torch.full((count,), amount if smooth == "two-sided" else 0.0, device=device)
    if flip:
        wrong = torch.rand(count, device=device) < flip
        real, fake = torch.where(wrong, fake, real), torch.where(wrong, real, fake)
    return real, fake


def gradient_penalty(critic: Callable[..., torch.Tensor], real: torch.Tensor, fake: torch.Tensor,
                     *told: torch.Tensor) -> torch.Tensor:  # fmt: skip
    """Mean of (|gradient| - 1)² at one random point between each real and each generated image, both (N, C, H, W).

    What the critic is `told` beside the images, such as their classes, does not change between the two.

    The Wasserstein distance wants a critic whose slope is 1 at most; this asks for it where the two sets meet.
    Source: Gulrajani et al., Improved Training of Wasserstein GANs (2017), equation 3 without its factor of 10.
    """
    share = torch.rand(len(real), 1, 1, 1, device=real.device)
    between = (real + share * (fake - real)).detach().requires_grad_(True)
    (gradient,) = torch.autograd.grad(critic(between, *told).sum(), between, create_graph=True)
    length = (gradient.flatten(1).pow(2).sum(dim=1) + 1e-12).sqrt()  # (N,); a root has no slope at 0
    return ((length - 1) ** 2).mean()


def gradient_norm(network: nn.Module) -> torch.Tensor:
    """The length of all gradients of `network` together: what a vanishing gradient is seen by."""
    return torch.stack([p.grad.pow(2).sum() for p in network.parameters() if p.grad is not None]).sum().sqrt()
