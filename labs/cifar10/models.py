"""The backbone made for few epochs on few cores, `Fast`.

Shapes: N images of a batch, C channels, H x W pixels. A backbone takes normalised images (N, 3, H, W) and returns
logits (N, classes). The well-known ones are in backbones.py.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F


def whitening_filters(images: torch.Tensor, size: int = 2, eps: float = 5e-4) -> torch.Tensor:
    """Filters that turn patches of `images` (N, 3, H, W), normalised, into uncorrelated numbers of variance 1.

    They are the eigenvectors of the patches' covariance, each divided by the root of its eigenvalue; `eps` keeps the
    nearly empty directions from becoming pure noise. Returns float32 (3 * size * size, 3, size, size).
    Source: D. Page, How to train your ResNet 8 (2019); LeCun et al., Efficient BackProp (1998), section 4.3.
    """
    patches = F.unfold(images, size, stride=size).transpose(1, 2).reshape(-1, 3 * size * size)  # (N * positions, 12)
    # numpy, because the eigenvalue routines of torch 1.5 and 2.x have different names
    eigenvalues, eigenvectors = np.linalg.eigh(np.cov(patches.double().cpu().numpy(), rowvar=False))
    filters = (eigenvectors / np.sqrt(eigenvalues + eps)).T[::-1].copy()  # largest variance first
    return torch.from_numpy(filters).float().reshape(-1, 3, size, size)


class BiasNorm(nn.BatchNorm2d):
    """Batch normalisation whose scale stays 1, as in the recipe that `Fast` follows.

    The next layer is normalised again, so filters can take over most of what a scale does, but not all: GELU is not the
    same at every scale.
    """

    def __init__(self, channels: int) -> None:
        super().__init__(channels, momentum=0.4)  # a run has few steps, so the running averages must follow quickly
        self.weight.requires_grad_(False)


class Block(nn.Module):
    """conv - pool - norm - GELU - conv - norm - GELU: halves the image's sides and sets the number of channels."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
        self.norm1 = BiasNorm(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.norm2 = BiasNorm(outputs)
        for conv in (self.conv1, self.conv2):  # a new layer first hands its input on, and learns from there
            nn.init.dirac_(conv.weight.data[:inputs])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.gelu(self.norm1(F.max_pool2d(self.conv1(x), 2)))  # (N, outputs, H / 2, W / 2)
        return F.gelu(self.norm2(self.conv2(x)))


class Fast(nn.Module):
    """A series network for few epochs: frozen whitening layer, three blocks, a linear head on the strongest responses.

    `widths` are the channels of the three blocks. The form follows K. Jordan, 94% on CIFAR-10 in 3.29 Seconds (2024).
    """

    def __init__(self, classes: int, widths: tuple[int, int, int]) -> None:
        super().__init__()
        self.whiten = nn.Conv2d(3, 24, 2, bias=False)
        self.whiten.weight.requires_grad_(False)  # so no gradient is computed below the first block
        channels = (24, *widths)
        self.blocks = nn.Sequential(*[Block(i, o) for i, o in zip(channels, channels[1:])])
        self.head = nn.Linear(widths[-1], classes, bias=False)

    def set_whitening(self, images: torch.Tensor) -> None:
        """Take the first layer from the patches of `images` (N, 3, H, W), normalised."""
        filters = whitening_filters(images)
        # each direction and its negative: GELU would throw one half of the signal away
        self.whiten.weight.data.copy_(torch.cat([filters, -filters]))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.gelu(self.whiten(x))  # (N, 24, 31, 31)
        x = self.blocks(x)  # (N, widths[2], 3, 3)
        x = x.flatten(2).max(dim=2)[0]  # (N, widths[2]): where in the image does not matter
        return self.head(x) / 9  # small logits: the softmax starts flat and the first gradients stay calm
